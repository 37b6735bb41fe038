"""A backup made while the system writes comes back whole in an empty place; one that was changed is refused."""

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
from actors.proof.keys import Keys
from actors.store import AuditStore, EventStore
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from tests.evidence import lay_out, red_light, sealed_files

pytestmark = pytest.mark.integration
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
        (data / "models").mkdir()
        (data / "models" / "promotions.jsonl").write_text("{}\n")
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
    done = hoaban("restore", out, "--data", new, "--keys", keys, "--json", HOABAN_STORE_URL=url)
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
    assert (new / "models" / "promotions.jsonl").read_text() == "{}\n"
    assert (out / "fleet" / "0-fleet.yaml").exists()
    again = hoaban("restore", out, "--data", new, HOABAN_STORE_URL=url)
    assert again.returncode == 2
    assert "not empty" in again.stderr or "is there" in again.stderr


def test_a_backup_that_was_changed_is_refused_and_without_keys_the_anchor_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with System(tmp_path / "data", f"sqlite:///{tmp_path / 'data.db'}") as system:
        assert hoaban("backup", out, "--data", system.data, HOABAN_STORE_URL=system.store_url).returncode == 0
        taken = hoaban("backup", out, "--data", system.data, HOABAN_STORE_URL=system.store_url)
    assert (taken.returncode, "not empty" in taken.stderr) == (2, True), taken.stderr
    bare = hoaban("restore", out, "--data", tmp_path / "bare")
    assert bare.returncode == 1
    assert "restore with --keys" in bare.stdout
    package = next((out / "evidence").iterdir())
    (package / "at.jpg").write_bytes(b"another picture")
    shutil.rmtree(next(path for path in (out / "evidence").iterdir() if path != package))
    spoilt = hoaban("restore", out, "--data", tmp_path / "spoilt")
    assert spoilt.returncode == 2
    assert "at.jpg was changed" in spoilt.stderr
    assert "is missing" in spoilt.stderr
    assert not (tmp_path / "spoilt").exists()
