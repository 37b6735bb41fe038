"""A delay put into each stage of a frame's way is blamed on that stage, and told; a budget is kept by giving up."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest

from actors.camera import CameraRuntime
from actors.clients import LocalClient
from actors.picture import Picture
from actors.privacy import PrivacyMask
from actors.workers import Workers
from hoaban import latency
from hoaban.events import Finding, ModelRef, Provenance, bind
from hoaban.fleet import SIM_MODEL, Camera
from hoaban.latency import LATE, STAGES
from hoaban.pipeline import CameraPipeline, Step
from serve import metrics
from tests.integration.test_analyser import until
from tests.stub_models import Kept, serve

pytestmark = pytest.mark.integration
DELAY_S, BUDGET_S = 0.4, 0.25
WHERE: dict[str, tuple[type, str]] = {
    "decode": (PrivacyMask, "apply"),
    "send": (Picture, "model_input"),
    "queue": (Workers, "_serve"),
    "return": (LocalClient, "answer"),
    "analyse": (CameraPipeline, "step_parts"),
    "publish": (Kept, "publish"),
}
PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")


class Slow:
    """Slows a method of a class down, or the model, while it is on."""

    def __init__(self) -> None:
        self.on = True

    def wrap(self, what: Callable[..., Any]) -> Callable[..., Any]:
        def slowed(*given: Any, **named: Any) -> Any:
            if self.on:
                time.sleep(DELAY_S)
            return what(*given, **named)

        return slowed


def start(camera: Camera, slow: Slow, stage: str, monkeypatch: pytest.MonkeyPatch) -> tuple[CameraRuntime, Kept]:
    """A camera whose every frame has an event, with the delay in one stage."""
    monkeypatch.setattr(latency, "DOWN_AFTER_S", 0.5)
    monkeypatch.setattr(latency, "UP_AFTER_S", 1.0)
    monkeypatch.setattr(latency, "WINDOW_S", 2.0)
    monkeypatch.setattr("actors.reporter.REPORT_EVERY_S", 0.2)
    step = CameraPipeline.step_parts

    def with_event(self: CameraPipeline, frame: Any, *more: Any) -> Step:
        made, finding = step(self, frame, *more), Finding("line_count", "r", track=frame.seq)
        return dataclasses.replace(made, events=[bind(finding, frame, "shared", PROVENANCE)])

    monkeypatch.setattr(CameraPipeline, "step_parts", with_event)
    peer, service = serve()
    if stage == "infer":
        stub: Any = service.shelf[SIM_MODEL].detector
        stub.infer = slow.wrap(stub.infer)
    else:
        where, name = WHERE[stage]
        monkeypatch.setattr(where, name, slow.wrap(getattr(where, name)))
    kept = Kept()
    runtime = CameraRuntime(camera, peers=[peer], node="here", publisher=kept, board=None)
    runtime.start()
    return runtime, kept


def health(kept: Kept) -> list[dict[str, Any]]:
    told = [event.to_cloudevent()["data"] for event in kept.events if event.type == "hoaban.camera_health"]
    return [data for data in told if data["fault"] == LATE]


@pytest.fixture
def camera(make_camera: Callable[..., Camera]) -> Camera:
    return make_camera(
        "sim://yard?size=160x90&fps=4",
        model=SIM_MODEL,
        analysis_fps=2,
        motion_gate=False,
        latency_budget_s=BUDGET_S,
        rules=[{"type": "camera_health"}],
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_delay_is_blamed_on_its_stage(stage: str, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, kept = start(camera, Slow(), stage, monkeypatch)
    try:
        until(lambda: (runtime.status().latency or {})["late_stage"] == stage and health(kept))
        status = runtime.status().as_dict()
        assert status["latency"]["stages_p95_s"][stage] >= DELAY_S
        assert LATE in status["faults"]
        page = metrics.render({camera.id: status}).decode()
        assert f'hoaban_stage_latency_p95_seconds{{camera="{camera.id}",stage="{stage}"}} ' in page
        assert f'hoaban_latency_budget_seconds{{camera="{camera.id}"}} {BUDGET_S}' in page
    finally:
        runtime.stop()


def test_a_late_camera_gives_up_and_takes_back(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    runtime, kept = start(camera, slow, "infer", monkeypatch)
    try:
        until(lambda: (runtime.status().latency or {})["rung"] == "third")
        assert runtime.status().target_fps == pytest.approx(2 / 3, abs=0.01)
        assert "infer takes" in health(kept)[0]["reason"]
        until(lambda: "third" in runtime.status().faults.get(LATE, ""))
        slow.on = False
        until(lambda: (runtime.status().latency or {})["rung"] == "full", 120)
        until(lambda: len(health(kept)) == 2)
        assert [data["phase"] for data in health(kept)] == ["start", "end"]
        assert runtime.status().target_fps == 2
        assert LATE not in runtime.status().faults
    finally:
        runtime.stop()
