"""A model swapped while cameras send frames: each frame answered once, by a model that its camera knows of."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from actors import wire
from actors.inference import InferenceService
from actors.link import LinkedModel, ModelLink, Peer
from actors.mailbox import MailboxWriter, Shape
from actors.models import ModelError
from actors.models.files import open_package
from hoaban import probation
from hoaban.probation import Probation, Verdict, budget_after
from tests.torch_models import Bright, Fails, Lost, NotNumbers, write_model

BRIGHTNESS = 40


class Camera:
    """One that heeds a welcome that comes again: a new mailbox, and the next frame goes there."""

    def __init__(self, session: str, number: int) -> None:
        self.brightness = BRIGHTNESS + number
        self.welcomes: list[dict] = []
        self.offered: dict[int, int] = {}
        """frame -> generation of the model it was scaled for"""
        self.results: list[wire.Result] = []
        self._over = threading.Event()
        self._connection = wire.connect(wire.address(session, "swapped"), 5.0)
        wire.send_json(self._connection, {"camera": f"cam-{number}", "model": "bright", "rate": 5.0})
        self._hear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        data, _ = wire.receive(self._connection)
        if data[:1] != b"{":
            self.results.append(wire.unpack_result(data))
            return
        welcome = wire.parse_json(data)
        shape = Shape(welcome["height"], welcome["width"])
        self._mailbox = MailboxWriter(shape)
        attach = {"height": shape.height, "width": shape.width, "generation": welcome["generation"]}
        wire.send_json(self._connection, attach, self._mailbox.fd)
        self.welcomes.append(welcome)

    def _run(self) -> None:
        """A frame as soon as the one before was answered: no overload, so no frame may be lost."""
        for seq in range(1, 10**6):
            self._mailbox.begin()[:] = self.brightness
            self._mailbox.commit(seq)
            self.offered[seq] = self.welcomes[-1]["generation"]
            self._connection.send(wire.pack_offer(seq))
            while len(self.results) < seq:
                self._hear()
            if self._over.is_set():
                break

    def stop(self) -> None:
        self._over.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "a frame was never answered"
        self._connection.close()

    def served_by(self, generation: int, frames: int = 5) -> bool:
        return [result.generation for result in self.results[-frames:]] == [generation] * frames

    def answers_fit(self) -> None:
        """Each frame was answered once and in order, by the model that it was scaled for."""
        assert [result.seq for result in self.results] == list(self.offered)
        for result in self.results:
            assert result.generation == self.offered[result.seq]
            if not result.failed:
                assert round(float(result.rows[0, 0])) == self.brightness


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_model(tmp_path / "fleet", "bright", Bright())
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path / "fleet"))
    return tmp_path


Start = Callable[[], tuple[InferenceService, list[Camera]]]


@pytest.fixture
def start(packages: Path) -> Iterator[Start]:
    cameras: list[Camera] = []

    def begin() -> tuple[InferenceService, list[Camera]]:
        session = os.urandom(4).hex()
        service = InferenceService("swapped", session, ["bright"], threads=2, device="cpu", most=2)
        cameras.extend(Camera(session, number) for number in range(4))
        until(lambda: all(len(camera.results) > 5 for camera in cameras))
        return service, cameras

    yield begin
    for camera in cameras:
        camera.stop()
        camera.answers_fit()


def until(what: Callable[[], object], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("size", [64, 96])
def test_a_swap_under_load_loses_no_frame_and_mixes_no_answers(
    packages: Path, start: Start, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probation, "PICTURES", 20)
    write_model(packages / "other", "brighter", Bright(), size=size, version="2")
    service, cameras = start()
    generation = service.swap("bright", open_package(str(packages / "other" / "brighter")), budget_s=60)
    until(lambda: all(camera.served_by(generation) for camera in cameras))
    assert [camera.welcomes[-1]["model"]["version"] for camera in cameras] == ["2"] * 4
    assert {camera.welcomes[-1]["width"] for camera in cameras} == {size}
    until(lambda: service.stats()["swaps"]["bright"]["state"] == "kept")
    assert service.stats()["models"]["bright"]["version"] == "2"
    assert service.load("bright")["generation"] == generation  # so are cameras that come later


@pytest.mark.parametrize(
    ("module", "budget_s", "why"),
    [(Fails, 60, "failed on"), (NotNumbers, 60, "failed on"), (Bright, 1e-9, "ms are allowed")],
)
def test_a_model_that_fails_its_first_frames_is_taken_back(
    packages: Path, start: Start, module: type, budget_s: float, why: str
) -> None:
    write_model(packages / "bad", "bad", module(), size=96)
    service, cameras = start()
    first = cameras[0].welcomes[0]["generation"]
    generation = service.swap("bright", open_package(str(packages / "bad" / "bad")), budget_s)
    until(lambda: service.stats()["swaps"]["bright"]["state"] == "rolled back")
    assert why in service.stats()["swaps"]["bright"]["why"]
    until(lambda: all(camera.served_by(first) for camera in cameras))
    assert service.stats()["models"]["bright"]["version"] == "1"
    assert generation in {result.generation for camera in cameras for result in camera.results}
    failed = sum(result.failed for camera in cameras for result in camera.results)
    assert (failed >= probation.MOST_FAILED) == (module is not Bright)
    assert all(camera.welcomes[-1]["generation"] == first for camera in cameras)


def test_what_cannot_be_swapped_changes_nothing(packages: Path, start: Start) -> None:
    write_model(packages / "bad", "lost", Lost())
    broken = packages / "bad" / "broken"
    write_model(packages / "bad", "broken", Bright())
    (broken / "m.pt").write_bytes(b"no model")
    service, cameras = start()
    good = open_package("bright")
    with pytest.raises(ModelError, match="not finite"):
        service.swap("bright", open_package(str(packages / "bad" / "lost")))
    with pytest.raises(ModelError, match="sha256"):
        open_package(str(broken))
    (broken / "m.pt").unlink()
    with pytest.raises(ModelError, match="is missing"):
        open_package(str(broken))
    with pytest.raises(ModelError, match="not loaded here"):
        service.swap("nothing", good)
    seen = [len(camera.results) for camera in cameras]
    until(lambda: all(len(camera.results) > n + 5 for camera, n in zip(cameras, seen, strict=True)))
    assert all(len(camera.welcomes) == 1 for camera in cameras)
    generation = service.swap("bright", good, 60)
    with pytest.raises(ModelError, match="another swap goes on"):
        service.swap("bright", good, 60)
    until(lambda: all(camera.served_by(generation) for camera in cameras))


def test_a_frame_of_another_node_is_answered_by_the_model_that_it_was_made_for(packages: Path) -> None:
    write_model(packages / "other", "brighter", Bright(), size=96, version="2")
    service = InferenceService("far", os.urandom(4).hex(), ["bright"], threads=1, device="cpu")
    hello = {"camera": "far", "model": "bright", "rate": 5.0}
    pixels = [np.full((size, size, 3), BRIGHTNESS, np.uint8) for size in (64, 96)]
    first = service.seats.welcome(hello, service.shelf["bright"])["generation"]
    assert service.submit(hello, 1, pixels[0], first).result(timeout=60).generation == first
    assert service.seats.news(hello, first) is None
    second = service.swap("bright", open_package(str(packages / "other" / "brighter")), 60)
    assert service.submit(hello, 2, pixels[0], first).result(timeout=60).generation == first
    news = service.seats.news(hello, first)
    assert news is not None
    assert (news["generation"], news["width"]) == (second, 96)
    assert service.submit(hello, 3, pixels[0], first).result(timeout=60).generation == first  # was on its way
    assert service.submit(hello, 4, pixels[1], second).result(timeout=60).generation == second
    with pytest.raises(ModelError, match="ask for it again"):
        service.submit(hello, 5, pixels[0], second + 1).result(timeout=60)


def test_the_cameras_own_link_goes_on_with_the_new_model_and_loses_no_frame(packages: Path) -> None:
    write_model(packages / "other", "brighter", Bright(), size=96, version="2")
    session = os.urandom(4).hex()
    service = InferenceService("linked", session, ["bright"], threads=2, device="cpu")
    answered = threading.Semaphore(0)
    got: list[tuple[int, str, int]] = []

    def take(result: wire.Result, model: LinkedModel) -> None:
        got.append((result.seq, model.ref.version, result.generation))
        answered.release()

    hello = {"camera": "cam", "model": "bright", "rate": 5.0}
    link = ModelLink(hello, [Peer("linked", "here", session)], "here", take)
    link.start()
    try:
        until(lambda: link.model is not None)
        scaled_for = []
        for seq in range(60):
            if seq == 20:
                service.swap("bright", open_package(str(packages / "other" / "brighter")), 60)

            def fill(into: np.ndarray, model: LinkedModel) -> None:
                assert into.shape[:2] == (model.shape.height, model.shape.width)
                into.fill(BRIGHTNESS)
                scaled_for.append(model.ref.version)

            assert link.offer(seq, fill)
            assert answered.acquire(timeout=30), link.error
    finally:
        link.stop()
    assert [seq for seq, _, _ in got] == list(range(60))
    assert [version for _, version, _ in got] == scaled_for == sorted(scaled_for)
    assert {(version, generation) for _, version, generation in got} == {("1", 1), ("2", 2)}


def test_a_model_is_judged_by_its_first_pictures() -> None:
    good = Probation(0.1)
    for _ in range(probation.PICTURES):
        assert good.verdict is Verdict.OPEN
        good.saw(1, 0, 0.05)
    assert good.verdict is Verdict.KEPT
    assert good.saw(100, 100, 9.0) is Verdict.KEPT
    slow_at_first = Probation(0.1)
    verdicts = [slow_at_first.saw(2, 0, 2.0 if i < 4 else 0.1) for i in range(probation.PICTURES // 2)]
    assert verdicts[-1] is Verdict.KEPT
    slow = Probation(0.1)
    assert [slow.saw(1, 0, 0.2) for _ in range(probation.LEAST_TIMED)][-2:] == [Verdict.OPEN, Verdict.FAILED]
    unlimited = Probation(budget_after([]))
    assert [unlimited.saw(1, 0, 9.0) for _ in range(50)][-1] is Verdict.OPEN
    assert unlimited.saw(probation.MOST_FAILED, probation.MOST_FAILED, 1.0) is Verdict.FAILED
    assert budget_after([0.01, 0.02, 0.9]) == pytest.approx(0.06)
