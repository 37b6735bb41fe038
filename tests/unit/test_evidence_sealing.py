"""From a candidate to a package: what is in it, what a killed process leaves, stamps later, pictures without others."""

import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.clock import machine_clock
from actors.evidence import EvidenceKeeper
from actors.models import ModelError, find_model
from actors.proof.archive import folder
from actors.proof.files import UNDER_WAY, PackageFiles
from actors.proof.redact import FACES, MOSAIC, Redactor
from actors.proof.sealer import Sealer
from actors.proof.tsa import Authority
from actors.store import EventStore, EvidenceRecords
from hoaban.evidence import manifest as m
from hoaban.evidence.redaction import Subject, to_hide
from hoaban.evidence.review import State
from hoaban.evidence.signing import Signer, Trusted
from hoaban.evidence.verify import verify
from tests.conftest import absent
from tests.evidence import AT_S, RealAuthority, candidate_files, film, leave_candidate, red_light

SIGNER = Signer.make()
TRUSTED = Trusted([SIGNER.public_pem()])


@pytest.fixture
def records(store_url: str) -> Iterator[EvidenceRecords]:
    store = EventStore.open(store_url)
    yield EvidenceRecords(store.engine)
    store.close()


def checked(root: Path, package: str) -> Any:
    return verify(folder(root / package), TRUSTED)


def test_a_candidate_becomes_a_package_once(records: EvidenceRecords, tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    package = leave_candidate(root, red_light())
    (root / ".part" / "cam" / "half").mkdir(parents=True)  # a recorder's, not whole yet
    (root / "begun").mkdir()
    sealer = Sealer(PackageFiles(str(root)), records, SIGNER)
    assert sealer.step() == 1
    assert checked(root, package).problems == []
    first = (root / package / m.MANIFEST).read_bytes()
    assert sealer.step() == Sealer(PackageFiles(str(root)), records, SIGNER).step() == 0
    assert (root / package / m.MANIFEST).read_bytes() == first
    case = records.get(package)
    assert (case.state, case.plate, case.manifest_sha256) == (State.OPEN, "30A12345", m.digest(first))
    assert case.captured_s == AT_S + 0.5


def test_a_package_whose_row_was_lost_with_its_process_gets_it_back(records: EvidenceRecords, tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    package = leave_candidate(root, red_light())
    elsewhere = EvidenceRecords(EventStore.open(f"sqlite:///{tmp_path / 'b.db'}").engine)
    Sealer(PackageFiles(str(root)), elsewhere, SIGNER).step()
    sealed = (root / package / m.MANIFEST).read_bytes()
    assert Sealer(PackageFiles(str(root)), records, Signer.make()).step() == 1
    assert (root / package / m.MANIFEST).read_bytes() == sealed
    assert records.get(package).key == SIGNER.id


@pytest.mark.parametrize("what", ["changed", "gone", "no JSON", "not whole"])
def test_what_is_not_what_was_recorded_is_not_sealed(records: EvidenceRecords, tmp_path: Path, what: str) -> None:
    root = tmp_path / "evidence"
    package = leave_candidate(root, red_light())
    if what == "changed":
        (root / package / "at.jpg").write_bytes(b"other")
    elif what == "gone":
        (root / package / "at.jpg").unlink()
    else:
        (root / package / m.CANDIDATE).write_text("{" if what == "no JSON" else '{"event": {}}')
    sealer = Sealer(PackageFiles(str(root)), records, SIGNER)
    assert sealer.step() == sealer.step() == 0
    assert not (root / package / m.MANIFEST).exists()
    assert records.get(package).state is State.DAMAGED
    assert records.get(package).doubts


def test_a_package_that_was_tampered_with_before_it_was_known_holds_no_other_up(
    records: EvidenceRecords, tmp_path: Path
) -> None:
    root = tmp_path / "evidence"
    bad, good = (leave_candidate(root, red_light(track=i)) for i in range(2))
    (root / bad / m.MANIFEST).write_bytes(b"{}")
    assert Sealer(PackageFiles(str(root)), records, SIGNER).step() == 1
    assert (records.get(bad).state, records.get(good).state) == (State.DAMAGED, State.OPEN)


ODD = {
    "a role that is none": '{"event": {"type": "t", "data": {"camera": "gate", "role": {}}}}',
    "a time that is none": '{"event": {"data": {"camera": "gate"}}, "frames": {"at": {"captured_s": NaN}}}',
    "a time beyond all clocks": '{"event": {"data": {"camera": "gate"}}, "frames": {"at": {"captured_s": 1e18}}}',
    "a long type": '{"event": {"type": "' + "t" * 200 + '", "data": {"camera": "gate"}}}',
    "a list": "[1]",
    "a folder in it": None,
}


@pytest.mark.parametrize("odd", ODD)
def test_a_folder_that_is_no_candidate_stops_none_after_it(records: EvidenceRecords, tmp_path: Path, odd: str) -> None:
    root = tmp_path / "evidence"
    folder = root / "0-odd"
    folder.mkdir(parents=True)
    if (text := ODD[odd]) is None:
        (folder / "below").mkdir()
    else:
        (folder / "candidate.json").write_text(text)
    good = leave_candidate(root, red_light())
    sealer = Sealer(PackageFiles(str(root)), records, SIGNER)
    assert sealer.step() == 1
    assert sealer.step() == 0
    assert {"0-odd", good} >= records.known() >= {good}
    cases, _ = records.page(limit=10)
    assert all(0 < case.captured_s < 7.3e9 for case in cases)


def test_an_object_store_gets_the_manifest_last(records: EvidenceRecords) -> None:
    root = "memory://evidence-sealing"
    package = leave_candidate(root, red_light())
    order: list[str] = []
    files = PackageFiles(root)
    pipe = files._fs.pipe_file
    files._fs.pipe_file = lambda path, data: (order.append(path.rsplit("/", 1)[-1]), pipe(path, data))
    assert Sealer(files, records, SIGNER).step() == 1
    assert order == [m.SIGNATURE, m.MANIFEST]
    files.remove(package)
    assert files.names(package) == []
    assert not fsspec.filesystem("memory").exists("/evidence-sealing/" + package)


def test_a_stamp_that_could_not_be_had_is_had_later(records: EvidenceRecords, tmp_path: Path) -> None:
    root, tsa = tmp_path / "evidence", RealAuthority(tmp_path / "tsa")
    package = leave_candidate(root, red_light())
    away = Sealer(PackageFiles(str(root)), records, SIGNER, Authority("http://127.0.0.1:1/", [tsa.root], timeout_s=1))
    assert away.step() == 1
    assert [problem.code for problem in checked(root, package).problems] == ["unstamped"]
    assert records.get(package).stamped is None
    with tsa.serving():
        Sealer(PackageFiles(str(root)), records, SIGNER, Authority(tsa.url, [tsa.root])).step()
    found = verify(folder(root / package), TRUSTED, [tsa.root])
    assert found.problems == []
    assert found.stamp.checked
    assert records.get(package).stamped == found.stamp.time.isoformat()
    assert found.manifest.body["timestamp"] == "wanted"
    assert tsa.asked == 1


def seal_for_ever(root: Path, database: str, began: Any) -> None:
    sealer = Sealer(PackageFiles(str(root)), EvidenceRecords(EventStore.open(database).engine), SIGNER)
    began.set()
    while True:
        sealer.step()


def test_a_sealer_killed_at_any_moment_leaves_no_half_package(tmp_path: Path) -> None:
    """kill -9, again and again, while packages are written; each is then whole, or plainly not sealed yet."""
    root, database = tmp_path / "evidence", f"sqlite:///{tmp_path / 'a.db'}"
    EventStore.open(database).close()
    waiting = iter([red_light(track=i) for i in range(400)])
    packages: list[str] = []
    chance, processes, cut_off = random.Random(3), multiprocessing.get_context("fork"), 0
    for _ in range(4):
        packages += [leave_candidate(root, next(waiting)) for _ in range(15)]
        began = processes.Event()
        child = processes.Process(target=seal_for_ever, args=(root, database, began))
        child.start()
        assert began.wait(30)
        before, ends = len(list(root.glob(f"*/{m.MANIFEST}"))), time.monotonic() + 30
        while len(list(root.glob(f"*/{m.MANIFEST}"))) == before and time.monotonic() < ends:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.05))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        sealed = [package for package in packages if (root / package / m.MANIFEST).exists()]
        cut_off += 0 < len(sealed) < len(packages)
        for package in sealed:
            left = {path.name for path in (root / package).iterdir() if not path.name.endswith(UNDER_WAY)}
            assert left == {*candidate_files(red_light()), m.MANIFEST, m.SIGNATURE}
            assert checked(root, package).problems == []
    assert cut_off >= 1  # it was killed amid its work, not only before or after
    (root / packages[0] / f"x{UNDER_WAY}").write_bytes(b"half")
    records = EvidenceRecords(EventStore.open(database).engine)
    Sealer(PackageFiles(str(root)), records, SIGNER).step()
    assert records.known() == set(packages)
    assert all(checked(root, package).ok for package in packages)


def seal_and_die(root: Path, database: str, at_step: int) -> None:
    """Seal, and be killed at one step: half way through a write, or before the file is moved into place."""
    steps = itertools.count()
    opened, replaced = Path.open, Path.replace

    def step() -> None:
        if next(steps) == at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def replace(path: Path, target: Path) -> Path:
        step()
        return replaced(path, target)

    def open_(path: Path, *arguments: Any, **more: Any) -> Any:
        file = opened(path, *arguments, **more)
        write = file.write

        def in_halves(data: bytes) -> None:
            write(data[: len(data) // 2])
            file.flush()
            step()
            write(data[len(data) // 2 :])

        return _Halved(file, in_halves)

    Path.open, Path.replace = open_, replace  # type: ignore[method-assign,assignment]
    Sealer(PackageFiles(str(root)), EvidenceRecords(EventStore.open(database).engine), SIGNER).step()


class _Halved:
    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write, self.flush, self.fileno = file, write, file.flush, file.fileno

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("at_step", range(6))
def test_a_sealer_killed_at_each_step_of_its_writing_leaves_no_half_package(tmp_path: Path, at_step: int) -> None:
    root, database = tmp_path / "evidence", f"sqlite:///{tmp_path / 'a.db'}"
    EventStore.open(database).close()
    package = leave_candidate(root, red_light())
    child = multiprocessing.get_context("fork").Process(target=seal_and_die, args=(root, database, at_step))
    child.start()
    child.join(30)
    killed = child.exitcode == -signal.SIGKILL
    assert killed == (at_step < 4)  # two files, each written and moved
    assert (root / package / m.MANIFEST).exists() == (not killed)
    Sealer(PackageFiles(str(root)), EvidenceRecords(EventStore.open(database).engine), SIGNER).step()
    assert checked(root, package).problems == []


# Pictures without others


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    for name in ("yunet", "sim-colours", "yolox-nano"):
        try:
            find_model(name)
        except ModelError as missing:
            absent(str(missing))
    return Redactor()


boxes = st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(5, 200)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_everybody_but_the_subject_is_hidden(
    subject: tuple[float, ...], faces: list[tuple[float, ...]], vehicles: list[tuple[float, ...]]
) -> None:
    as_rows = lambda rows: np.asarray(rows, np.float32).reshape(-1, 4)  # noqa: E731
    none = as_rows([])
    hidden = to_hide(subject, none, as_rows(faces), as_rows(vehicles))
    assert len(vehicles) - 1 <= len(hidden.vehicles) <= len(vehicles)
    for x1, y1, x2, y2 in as_rows(faces):
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        own = hidden.clear[0] <= x <= hidden.clear[2] and hidden.clear[1] <= y <= hidden.clear[3]
        assert own or [x1, y1, x2, y2] in hidden.heads.tolist()
    nobody = to_hide(None, none, as_rows(faces), as_rows(vehicles))
    assert (len(nobody.heads), len(nobody.vehicles), nobody.clear) == (len(faces), len(vehicles), None)


def test_the_subject_is_where_it_was_between_its_moments_and_nowhere_outside_of_them() -> None:
    subject = Subject([10.0, 11.0], [(0, 0, 10, 10), (100, 0, 110, 10)])
    assert subject.at(10.5) == (50, 0, 60, 10)
    assert subject.at(9.0) is None
    assert subject.at(11.05, slack_s=0.1) == (100, 0, 110, 10)


def striped(size: tuple[int, int] = (640, 360)) -> Any:
    picture = np.full((size[1], size[0], 3), 120, np.uint8)
    picture[:, ::4] = 30  # fine detail all over: where it is gone, something was hidden
    return picture


def detail(picture: Any, x1: int, y1: int, x2: int, y2: int) -> float:
    return float(np.abs(np.diff(picture[y1:y2, x1:x2].astype(int), axis=1)).mean())


def fine(picture: Any, before: Any) -> float:
    """How much of the finest detail of a picture is still there: correlation of what a small blur takes away."""
    high = [(p - cv2.blur(p, (3, 3))).ravel() for p in (picture.astype(np.float32), before.astype(np.float32))]
    return float(np.corrcoef(*high)[0, 1])


def test_without_the_models_all_but_the_subject_is_a_mosaic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))
    jpeg = cv2.imencode(".png", striped())[1].tobytes()
    event = red_light(size=(640, 360))
    files = candidate_files(event) | dict.fromkeys(("before.jpg", "at.jpg", "past.jpg"), jpeg)
    shown, how = Redactor().package(files, json.loads(files["candidate.json"]))
    assert how == MOSAIC
    at = cv2.imdecode(np.frombuffer(shown["at.jpg"], np.uint8), cv2.IMREAD_COLOR)
    left, top, right, bottom = (int(side) for side in event.data["frames"]["at"]["bbox"])
    assert detail(at, left + 4, top + 4, right - 4, bottom - 4) > 20
    assert detail(at, 300, 200, 600, 340) < 5


def test_a_vehicle_is_hidden_by_whatever_name_its_model_has_for_it(redactor: Redactor) -> None:
    class Names:
        labels, input_width, input_height = ("person", "car", "Van"), 640, 360

        def infer(self, batch: Any) -> list[Any]:
            return [np.array([[100, 100, 200, 200, 0.9, 1], [300, 100, 400, 200, 0.9, 2]], np.float32)]

    found = redactor._find(striped(), None, Names())  # type: ignore[arg-type]
    assert len(found.vehicles) == 2


def test_people_on_a_real_street_lose_their_faces_in_stills_and_clip(redactor: Redactor, clip: Any) -> None:
    """PETS: people whom YOLOX finds. The subject's box is a corner of the lawn without anybody."""
    with av.open(str(clip("pets-s2l1-v1.mp4"))) as container:
        frames = [
            frame.to_ndarray(format="bgr24") for _, frame in zip(range(12), container.decode(video=0), strict=False)
        ]
    height, width = frames[0].shape[:2]
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=10, options={"crf": "12", "preset": "ultrafast"})
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(track.encode(av.VideoFrame.from_ndarray(frame, "bgr24")))
        container.mux(track.encode())
    event = red_light()
    candidate = json.loads(candidate_files(event)["candidate.json"])
    candidate["event"]["data"]["model"]["name"] = "yolox-nano"
    candidate["frames"] = {n: f | {"bbox": [2, 2, 30, 30]} for n, f in candidate["frames"].items()}
    candidate["clip"]["from_s"] = AT_S
    still = cv2.imencode(".jpg", frames[0], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    shown, how = redactor.package({"at.jpg": still, "clip.mp4": out.getvalue()}, candidate)
    assert how == FACES
    people = redactor._find(frames[0], None, redactor._detector({"name": "yolox-nano"})).heads
    assert len(people) >= 3
    at = cv2.imdecode(np.frombuffer(shown["at.jpg"], np.uint8), cv2.IMREAD_COLOR)
    with av.open(io.BytesIO(shown["clip.mp4"])) as container:
        played = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(played) == len(frames)
    for picture in (at, played[0]):
        for x1, y1, x2, y2 in np.clip(people, 0, [width, height] * 2).astype(int).tolist():
            if min(x2 - x1, y2 - y1) >= 8:
                assert fine(picture[y1:y2, x1:x2], frames[0][y1:y2, x1:x2]) < 0.75
        assert fine(picture, frames[0]) > 0.75  # and the street is still the street


def test_a_clip_that_cannot_be_decoded_is_not_shown(redactor: Redactor) -> None:
    files = candidate_files(red_light(), clip=b"no film")
    shown, _ = redactor.package(files, json.loads(files["candidate.json"]))
    assert "clip.mp4" not in shown
    assert {"before.jpg", "at.jpg", "past.jpg"} <= shown.keys()


def test_the_film_keeps_its_times(redactor: Redactor) -> None:
    shown, _ = redactor.package({"clip.mp4": film(12, 8)}, json.loads(candidate_files(red_light())["candidate.json"]))
    with av.open(io.BytesIO(shown["clip.mp4"])) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / 8 for i in range(12)], abs=1e-3)


# Clocks


def test_the_machines_clock_says_how_it_is_known() -> None:
    told = machine_clock()
    assert set(told) == {"synchronised", "max_error_s", "estimated_error_s", "known_by"}
    if told["synchronised"]:
        assert told["max_error_s"] >= 0
    else:
        assert told["max_error_s"] is None


def test_a_candidate_tells_by_which_clock_its_times_are(tmp_path: Path, make_camera: Any) -> None:
    live = EvidenceKeeper(make_camera(), str(tmp_path), lambda *_: None, live=True)._clock_told()
    assert live["camera"]["known_by"] == "nothing"
    assert live["machine"]["known_by"]
    assert EvidenceKeeper(make_camera(), str(tmp_path), lambda *_: None, live=False)._clock_told()["machine"] is None
