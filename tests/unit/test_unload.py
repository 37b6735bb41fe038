"""Models that no camera asks for are unloaded, and seats of silent cameras of other nodes are given back."""

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors import seats, wire
from actors.inference import InferenceActor, InferenceService
from actors.link import LinkedModel, ModelLink, Peer
from actors.models.files import find_model
from hoaban import probation
from hoaban.evaluation.report import ModelIdentity
from hoaban.probation import Verdict
from tests.torch_models import SIZE, Bright, write_model

CANDIDATE = "candidate@2"
AFTER_S = 0.3
BRIGHT = np.full((SIZE, SIZE, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, "bright", Bright())
    write_model(tmp_path, "candidate", Bright(), version="2")
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))
    monkeypatch.setattr(seats, "SWEEP_EVERY_S", 0.05)


def begin(unload_after_s: float | None = AFTER_S) -> tuple[InferenceService, Peer]:
    session = os.urandom(4).hex()
    service = InferenceService("unloads", session, ["bright"], threads=1, device="cpu", unload_after_s=unload_after_s)
    return service, Peer("unloads", "here", session)


def until(what: Callable[[], object], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Looker:
    """A camera's link for its candidate."""

    def __init__(self, peer: Peer) -> None:
        self.answered = threading.Semaphore(0)
        hello = {"camera": "gate/shadow", "model": CANDIDATE, "rate": 5.0, "spare": True}
        self.link = ModelLink(hello, [peer], "here", self._take)
        self.link.start()

    def _take(self, result: wire.Result, model: LinkedModel) -> None:
        self.answered.release()

    def looks(self, seq: int) -> None:
        until(lambda: self.link.offer(seq, lambda into, model: into.fill(90)))
        assert self.answered.acquire(timeout=60)


def test_a_candidate_goes_when_its_last_camera_went_and_comes_back_when_one_asks() -> None:
    service, peer = begin()
    for turn in range(2):
        looker = Looker(peer)
        looker.looks(1)
        time.sleep(3 * AFTER_S)  # a camera that is linked asks for it, whether it has frames or not
        told = service.stats()["models"][CANDIDATE]
        assert (told["seats"], told["unloads_in_s"]) == (1, None)
        looker.looks(2)
        let_go = weakref.ref(service.shelf[CANDIDATE].detector)
        looker.link.stop()
        until(lambda: CANDIDATE not in service.stats()["models"])
        until(lambda gone=let_go: gc.collect() >= 0 and gone() is None)  # its memory with it
        assert service.stats()["unloaded"] == {CANDIDATE: turn + 1}
    told = service.stats()["models"]["bright"]  # the fleet's own stays, without any camera
    assert (told["seats"], told["unloads_in_s"]) == (0, None)


def test_it_tells_how_long_it_stays_and_what_the_fleet_asks_for_no_more_goes_too() -> None:
    service, _ = begin(unload_after_s=3600)
    service.load(CANDIDATE)
    assert 3590 < service.stats()["models"][CANDIDATE]["unloads_in_s"] <= 3600
    service.shelf.keep([CANDIDATE], AFTER_S)
    until(lambda: "bright" not in service.stats()["models"])
    assert list(service.stats()["models"]) == [CANDIDATE]
    service.shelf.keep([], None)
    time.sleep(3 * AFTER_S)
    assert list(service.stats()["models"]) == [CANDIDATE]


def test_no_model_goes_while_it_or_its_forerunner_is_on_probation() -> None:
    service, _ = begin()
    service.load("candidate")
    standing = ModelIdentity.of(find_model("bright").card)
    assert service.shelf.stand_for("candidate", standing)
    time.sleep(3 * AFTER_S)
    assert service.stats()["swaps"]["candidate"]["state"] == Verdict.OPEN.value
    assert service.stats()["models"]["candidate"]["unloads_in_s"] is None
    service.shelf.judge(service.shelf["candidate"], probation.PICTURES, 0, 0.01)
    until(lambda: "candidate" not in service.stats()["models"])
    assert service.load("candidate")["model"]["name"] == "bright"  # what was promoted holds


def test_a_trial_lasts_as_long_as_the_process() -> None:
    service, _ = begin()
    service.load(CANDIDATE)
    service.swap(CANDIDATE, find_model("bright"), 60)
    service.shelf.judge(service.shelf[CANDIDATE], probation.PICTURES, 0, 0.01)
    time.sleep(3 * AFTER_S)
    assert service.stats()["models"][CANDIDATE]["name"] == "bright"


def test_a_silent_camera_of_another_node_gives_its_seat_back_and_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seats, "SILENT_S", AFTER_S)
    monkeypatch.setattr(seats, "SILENT_PERIODS", 1)
    plain = InferenceActor.__ray_metadata__.modified_class
    actor = plain("far", os.urandom(4).hex(), ["bright"], 1, "cpu", unload_after_s=AFTER_S)
    service = actor._service
    hello = {"camera": "far", "model": CANDIDATE, "rate": 5.0}

    async def passes() -> None:
        first = (await actor.welcome(hello))["generation"]
        packed, news = await actor.infer(hello, first, 1, BRIGHT)
        assert (wire.unpack_result(packed).generation, news) == (first, None)
        assert service.stats()["models"][CANDIDATE]["seats"] == 1
        until(lambda: service.stats()["cameras"] == 0)
        until(lambda: CANDIDATE not in service.stats()["models"])
        packed, news = await actor.infer(hello, first, 2, BRIGHT)  # made for the one that was unloaded
        assert packed is None
        assert news["generation"] > first
        packed, news = await actor.infer(hello, news["generation"], 3, BRIGHT)
        assert (wire.unpack_result(packed).seq, news) == (3, None)

    asyncio.run(passes())


def test_a_seat_is_kept_while_its_frame_waits_and_at_a_slow_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "SILENT_S", 0.0)
    service, _ = begin()
    go = threading.Event()
    detector = service.shelf["bright"].detector
    monkeypatch.setattr(detector, "infer", lambda batch: go.wait(60) and [np.zeros((0, 6), np.float32)] * len(batch))
    waits = service.submit({"camera": "waits", "model": "bright", "rate": 1000.0}, 1, BRIGHT)
    slow = service.submit({"camera": "slow", "model": "bright", "rate": 0.01}, 1, BRIGHT)
    time.sleep(0.5)
    assert service.stats()["cameras"] == 2
    go.set()
    assert waits.result(60).seq == slow.result(60).seq == 1
    until(lambda: service.stats()["cameras"] == 1)
    assert service.stats()["models"]["bright"]["seats"] == 1
