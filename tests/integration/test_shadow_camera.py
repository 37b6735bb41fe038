"""A candidate beside a camera's detector: real models, links and pictures; nothing of it in tracks or events."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.camera import CameraRuntime
from actors.disagreements import Disagreements, folder_beside
from actors.inference import InferenceService
from actors.link import Peer
from actors.models.files import search_path
from actors.shadow_watch import MOST_FAILED
from actors.shadows import begin
from hoaban.evidence.retention import DAY_S
from hoaban.fleet import Camera
from hoaban.shadow import ShadowOrder
from tests.blocks import write_block_model, write_suite
from tests.stub_models import Kept
from tests.torch_models import Fails, write_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("shadow")
    write_block_model(folder / "models", "street")
    write_block_model(folder / "models", "unsure", 0.55, version="2")
    write_model(folder / "models", "fails", Fails())
    write_suite(folder / "film")
    with pytest.MonkeyPatch.context() as patch:
        others = [str(place) for place in search_path("models")]  # YuNet, for the faces
        patch.setenv("HOABAN_MODEL_PATH", os.pathsep.join([str(folder / "models"), *others]))
        yield folder


@pytest.fixture
def runtime(folder: Path, tmp_path: Path) -> Iterator[CameraRuntime]:
    camera = Camera.model_validate(
        {"id": "gate", "name": "Gate", "role": "overview", "district": "d", "owner": "o", "model": "street"}
        | {"source": str(folder / "film" / "blocks.mp4"), "analysis_fps": 5, "motion_gate": False, "begin_score": 0.5}
        | {"lines": [{"id": "l", "from": [0.0, 0.5], "to": [1.0, 0.5]}]}
        | {"rules": [{"type": "line_count", "line": "l", "classes": ["thing"]}]}
        | {"privacy_zones": [{"id": "window", "polygon": [[0.0, 0.0], [0.2, 0.0], [0.2, 1.0], [0.0, 1.0]]}]}
    )
    session = os.urandom(4).hex()
    InferenceService("shadowed", session, ["street"], threads=2, device="cpu")
    running = CameraRuntime(
        camera,
        peers=[Peer("shadowed", "here", session)],
        node="here",
        publisher=Kept(),
        board=None,
        pacing="demand",
        evidence_url=str(tmp_path / "evidence"),
    )
    running.start()
    yield running
    running.stop()


def candidate(name: str, sample: float = 1.0) -> ShadowOrder:
    return begin(name, cameras=(), role=None, share=1.0, sample=sample, by="test")


def until(what: Callable[[], object], limit_s: float = 90) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.02)


def shadow(runtime: CameraRuntime) -> dict:
    return runtime.status().shadow or {}


def test_a_candidate_that_differs_is_counted_and_its_pictures_are_kept(runtime: CameraRuntime, tmp_path: Path) -> None:
    assert runtime.status().shadow is None
    runtime.set_shadow(candidate("unsure@2"))
    until(lambda: shadow(runtime).get("stored"))
    until(lambda: shadow(runtime)["looked"] >= 20)
    told = shadow(runtime)
    assert told["error"] is None
    assert told["kinds"]["score"] == told["disagreeing"] == sum(told["kinds"].values()) > 0
    assert told["sampled"] >= told["looked"] + told["dropped"] - 1
    assert runtime.status().model["version"] == "1"
    kept = Disagreements(folder_beside(str(tmp_path / "evidence")))
    one = kept.kept("unsure@2")[-1]
    record = kept.record(one)
    assert record is not None
    assert record["primary"]["name"] == "street"
    assert record["differences"][0]["kind"] == "score"
    image = cv2.imdecode(np.frombuffer(kept.picture(one) or b"", np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (record["height"], record["width"]) == (48, 64)
    assert image[:, :10].max() < 40  # a privacy zone; the film is grey 60 there
    assert kept.find(one.id) == one
    assert kept.sweep(lambda k: k.captured_s < time.time() - DAY_S, lambda _: False, 10**9) == 0
    assert kept.sweep(lambda _: True, lambda _: True, 0) == 0  # held
    runtime.set_shadow(None)
    assert runtime.status().shadow is None
    assert kept.sweep(lambda _: False, lambda _: False, 0) >= 1  # no room
    assert (kept.kept(), kept.record(one)) == ([], None)


def test_a_candidate_that_fails_is_shown_no_more_and_the_camera_goes_on(runtime: CameraRuntime) -> None:
    runtime.set_shadow(candidate("fails@1"))
    until(lambda: shadow(runtime).get("failed") == MOST_FAILED)
    before = runtime.status()
    until(lambda: runtime.status().frames_analysed > before.frames_analysed + 50)
    told = shadow(runtime)
    assert (told["failed"], told["looked"]) == (MOST_FAILED, 0)
    assert "shown no more" in told["error"]
    assert runtime.status().frames_failed == 0


def test_a_sample_is_a_share_of_the_analysed_frames(runtime: CameraRuntime) -> None:
    until(lambda: runtime.status().frames_analysed > 5)
    runtime.set_shadow(candidate("unsure@2", sample=0.1))
    before = runtime.status().frames_analysed
    until(lambda: runtime.status().frames_analysed > before + 100)
    runtime._source.stop()
    share = shadow(runtime)["sampled"] / (runtime.status().frames_analysed - before)
    assert 0.08 < share < 0.12


def test_a_card_that_is_not_the_ordered_one_is_shown_nothing(runtime: CameraRuntime) -> None:
    order = candidate("unsure@2")
    other = order.candidate.model_copy(update={"card": "ab" * 32})
    runtime.set_shadow(order.model_copy(update={"candidate": other}))
    until(lambda: "another card under the name unsure@2" in (shadow(runtime).get("error") or ""))
    assert shadow(runtime)["looked"] == 0
