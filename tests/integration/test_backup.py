"""A backup made while the system writes comes back whole in an empty place; one that was changed is refused."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.audit_anchor import Anchor, advance, begin
from actors.backup import BackupError, Place, restore
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.sealer import Sealer
from actors.retention import Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, NewReport, ReportStore, RetentionStore
from actors.watchlist.key import WatchlistKey
from hoaban.access import Person
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.evidence.review import Verdict
from hoaban.frames import FrameMeta
from hoaban.incidents.states import ReportAction
from tests.evidence import lay_out, leave_candidate, red_light, sealed_files

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
AN = Person("a", "An")
NONE = ("--without-erasures", "nothing was erased in this test")
PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")


def event(number: int) -> Event:
    finding = Finding("intrusion", "r", track=number, label="person", zone="yard")
    return bind(finding, FrameMeta("gate", number, 1000.0 + number, 10, 10), "shared", PROVENANCE)


class System:
    """What a system keeps, written to all the time by a thread, as the writer, the API and the sealer do."""

    def __init__(self, data: Path, store_url: str) -> None:
        self.data, self.store_url = data, store_url
        data.mkdir()
        self.store = EventStore.open(store_url)
        self.audit, self.anchor, self.signer = AuditStore(self.store.engine), Anchor(data), Keys(data).signer()
        begin(self.audit, self.anchor)
        (data / "watchlist.key").write_text("a key")
        for name in ("models/promotions.jsonl", "models/shadows.jsonl", "configs/0.json"):
            (data / name).parent.mkdir(exist_ok=True)
            (data / name).write_text("{}\n")
        self.written = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def step(self) -> None:
        self.store.write([event(self.written)])
        self.audit.append("", "somebody", "event.search", "gate", reason=str(self.written))
        advance(self.audit, self.anchor)
        if self.written % 5 == 0:
            crossing = red_light(track=self.written)
            lay_out(self.data / "evidence" / crossing.id, sealed_files(self.signer, crossing))
        self.written += 1

    def _write(self) -> None:
        while not self._stopping.wait(0.05):
            self.step()

    def __enter__(self) -> "System":
        for _ in range(12):
            self.step()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)
        self.store.close()


def hoaban(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hoaban")), *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def system(tmp_path: Path, store_url: str) -> Iterator[System]:
    made = System(tmp_path / "data", store_url)
    with made:
        yield made


def new_store(request: pytest.FixtureRequest, system: System, data: Path) -> str:
    if system.store_url.startswith("sqlite"):
        return f"sqlite:///{data / 'hoaban.db'}"
    return str(request.getfixturevalue("postgres").create())


def test_what_is_backed_up_while_it_is_written_comes_back_whole(
    system: System, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fleet, out, keys, new = (tmp_path / name for name in ("fleet.yaml", "out", "keys", "new"))
    fleet.write_text("version: 1\n")
    least = system.written
    done = hoaban(
        "backup", out, "--data", system.data, "--keys", keys, "--fleet", fleet, HOABAN_STORE_URL=system.store_url
    )
    assert done.returncode == 0, done.stderr
    assert not {"audit.key", "watchlist.key", "private.pem"} & {path.name for path in out.rglob("*")}
    assert {path.name for path in keys.rglob("*")} >= {"audit.key", "watchlist.key", "private.pem"}
    assert (keys.stat().st_mode & 0o077) == 0
    url = new_store(request, system, new)
    done = hoaban("restore", out, "--data", new, "--keys", keys, *NONE, "--json", HOABAN_STORE_URL=url)
    assert done.returncode == 0, (done.stdout, done.stderr)
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["packages"] >= 3
    assert found["records"] >= least
    store = EventStore.open(url)
    try:
        # None is missing: numbers grow without a gap from the first event.
        assert [item.seq for item in store.page(limit=1000).events][-1] == 1
        assert store.last_seq() >= least
    finally:
        store.close()
    assert hoaban("audit", "verify", "--data", new, HOABAN_STORE_URL=url).returncode == 0
    for name in ("models/promotions.jsonl", "models/shadows.jsonl", "configs/0.json"):
        assert (new / name).read_text() == "{}\n"
    assert (out / "fleet" / "0-fleet.yaml").exists()
    again = hoaban("restore", out, "--data", new, *NONE, HOABAN_STORE_URL=url)
    assert again.returncode == 2
    assert "not empty" in again.stderr or "is there" in again.stderr


def test_a_backup_that_was_changed_is_refused_and_without_keys_the_anchor_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with System(tmp_path / "data", f"sqlite:///{tmp_path / 'data.db'}") as system:
        assert hoaban("backup", out, "--data", system.data, HOABAN_STORE_URL=system.store_url).returncode == 0
        taken = hoaban("backup", out, "--data", system.data, HOABAN_STORE_URL=system.store_url)
    assert (taken.returncode, "not empty" in taken.stderr) == (2, True), taken.stderr
    bare = hoaban("restore", out, "--data", tmp_path / "bare", *NONE)
    assert bare.returncode == 1
    assert "restore with --keys" in bare.stdout
    package = next((out / "evidence").iterdir())
    (package / "at.jpg").write_bytes(b"another picture")
    shutil.rmtree(next(path for path in (out / "evidence").iterdir() if path != package))
    spoilt = hoaban("restore", out, "--data", tmp_path / "spoilt", *NONE)
    assert spoilt.returncode == 2
    assert "at.jpg was changed" in spoilt.stderr
    assert "is missing" in spoilt.stderr
    assert not (tmp_path / "spoilt").exists()


def test_what_was_erased_since_the_backup_does_not_come_back(
    store_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A case, an event and a citizen's report erased at a request after the backup, and one more case left alone."""
    data, out, keys, file = (tmp_path / name for name in ("data", "out", "keys", "erasures.jsonl"))
    data.mkdir()
    store = EventStore.open(store_url)
    begin(AuditStore(store.engine), Anchor(data))
    records, files = EvidenceRecords(store.engine), PackageFiles(str(data / "evidence"))
    sealer, eraser = (
        Sealer(files, records, Keys(data).signer()),
        Eraser(RetentionStore(store.engine), records, files, Keys(data)),
    )
    crossings = [red_light(track=number) for number in range(3)]
    store.write([*crossings, event(1), event(2)])
    for crossing in crossings:
        leave_candidate(data / "evidence", crossing)
    assert sealer.step() == 3
    early, gone, left = (crossing.id for crossing in crossings)
    filed = ReportStore(store.engine, lambda: WatchlistKey.load_or_make(data))
    filed.file(
        NewReport(text="Xe đổ", happened_s=900.0, channel="public", contact={"phone": "0912 345 678"}), AN, 1000.0
    )
    basis = ("request", "7/2026: the person asked", "Officer", 2000.0)
    for case in crossings[:2]:
        records.decide(case.id, Verdict.REJECTED, "no_violation", "", 0, AN)
    eraser.erase([records.get(early)], [], *basis)
    done = hoaban("backup", out, "--data", data, "--keys", keys, HOABAN_STORE_URL=store_url)
    assert done.returncode == 0, done.stderr
    eraser.erase([records.get(gone)], [event(1).id], *basis)
    for number, action in enumerate((ReportAction.CHECK, ReportAction.ANSWER, ReportAction.CLOSE), 1):
        filed.act(1, action, number, AN, 1000.0, answer="x")
    assert eraser.erase_reports(5000.0, "reports_days", "closed for 1 day", 6000.0) == 1
    done = hoaban("evidence", "save-erasures", file, "--data", data, HOABAN_STORE_URL=store_url)
    assert (done.returncode, "3 records" in done.stdout) == (0, True), done.stderr
    store.close()

    new = tmp_path / "new"
    url = f"sqlite:///{new / 'hoaban.db'}"
    if not store_url.startswith("sqlite"):
        url = request.getfixturevalue("postgres").create()
    place = Place(new, url, str(new / "evidence"))
    for wrong, words in (
        (None, "--without-erasures REASON"),
        (tmp_path / "none", "No such"),
        (changed(file), "changed"),
    ):
        with pytest.raises(BackupError, match=words):
            restore(out, place, keys, wrong, "An")
        assert not new.exists()
    done = hoaban("restore", out, "--data", new, "--keys", keys, "--erasures", file, "--json", HOABAN_STORE_URL=url)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["erased_again"] == 2
    store = EventStore.open(url)
    records = EvidenceRecords(store.engine)
    assert [records.get(id).state.value for id in (early, gone, left)] == ["erased", "erased", "open"]
    assert [(new / "evidence" / id).exists() for id in (early, gone, left)] == [False, False, True]
    assert {item.event.id for item in store.page(limit=100).events} == {left, event(2).id}
    with pytest.raises(KeyError):
        ReportStore(store.engine, lambda: WatchlistKey.load_or_make(new)).get(1)
    last = list(AuditStore(store.engine).records())[-1]
    told = {"erased_again": 2, "newest_erasure": 3, "sessions_ended": 0, "watchlist_waits": 0}
    assert (last.action, last.detail) == ("backup.restore", told)
    store.close()
    assert hoaban("evidence", "verify-erasures", "--data", new, HOABAN_STORE_URL=url).returncode == 0


def changed(file: Path) -> Path:
    """The file with another record in it than was signed."""
    first, *rest = map(json.loads, file.read_text().splitlines())
    first["manifest"] = base64.b64encode(base64.b64decode(first["manifest"]).replace(b"7/2026", b"8/2026")).decode()
    copy = file.with_name("changed.jsonl")
    copy.write_text("\n".join(map(json.dumps, [first, *rest])))
    return copy
