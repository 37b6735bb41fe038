"""A camera live, a frame on demand, and `hoaban replay` of the same recording: the same events."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from actors.camera import CameraRuntime
from cli.main import app
from hoaban.events import Event
from hoaban.fleet import SIM_MODEL, Camera
from hoaban.sim.colours import DIRECTIONS, bgr
from hoaban.status import SourceState
from tests.integration.test_analyser import until
from tests.stub_models import Kept, serve

pytestmark = pytest.mark.integration
FPS, SECONDS = 10, 14
FIELDS = {
    "analysis_fps": 5,
    "zones": [{"id": "right", "polygon": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}],
    "lines": [{"id": "middle", "from": [0.4, 0], "to": [0.4, 1]}],
    "rules": [{"type": "line_count", "line": "middle"}, {"type": "intrusion", "zone": "right", "classes": ["car"]}],
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A car comes, stands still for eight seconds and goes back."""
    path = tmp_path_factory.mktemp("film") / "v.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(FPS * SECONDS):
            at_s = i / FPS
            left = round(80 + 120 * min(at_s, 3.0, SECONDS - at_s))
            picture = np.full((360, 640, 3), 110, np.uint8)
            picture[150:210, left : left + 110] = bgr(DIRECTIONS["car"])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode())
    return path


@pytest.fixture
def replay(tmp_path: Path, film: Path) -> Callable[..., tuple[Result, list[Event]]]:
    def run(**fields: object) -> tuple[Result, list[Event]]:
        camera = {"id": "cam", "name": "Cam", "role": "shared", "district": "d", "owner": "o", "source": str(film)}
        fleet = {
            "version": 1, "province": {"name": "P"}, "districts": [{"id": "d", "name": "D"}],
            "agencies": [{"id": "o", "name": "O"}], "cameras": [camera | {"model": SIM_MODEL} | FIELDS | fields],
        }  # fmt: skip
        (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(fleet))
        out = tmp_path / "events.jsonl"
        result = CliRunner().invoke(
            app, ["replay", str(tmp_path / "fleet.yaml"), "--camera", "cam", "--out", str(out), "--json"]
        )
        return result, [Event.from_json(line) for line in out.read_text().splitlines()] if out.exists() else []

    return run


def told(events: list[Event]) -> list[tuple[float, dict[str, object]]]:
    """What events say; times from the first one on, for a replay's clock begins in 1970."""
    first_s = events[0].time.timestamp()
    return [
        (round(event.time.timestamp() - first_s, 3), {k: v for k, v in event.data.items() if k != "config"})
        for event in events
    ]


@pytest.mark.parametrize("gate", [True, False])
def test_live_and_replayed_events_are_the_same(
    film: Path, make_camera: Callable[..., Camera], replay: Callable[..., tuple[Result, list[Event]]], gate: bool
) -> None:
    peer, _ = serve()
    kept = Kept()
    camera = make_camera(str(film), model=SIM_MODEL, loop=False, motion_gate=gate, **FIELDS)
    runtime = CameraRuntime(camera, peers=[peer], node="here", publisher=kept, board=None, pacing="demand")
    runtime.start()
    until(lambda: runtime.status().state is SourceState.ENDED)
    status = runtime.status()
    runtime.stop()
    result, events = replay(motion_gate=gate)
    summary = json.loads(result.stdout)
    assert told(kept.events) == told(events)
    assert [event.type for event in events] == ["hoaban.line_count", "hoaban.intrusion", "hoaban.line_count"]
    assert status.frames_analysed == summary["frames_analysed"]
    assert status.frames_gated == summary["frames_gated"]
    assert summary["frames_analysed"] + summary["frames_gated"] == SECONDS * FIELDS["analysis_fps"]
    assert (summary["frames_gated"] > 10) == gate


def test_a_frame_that_the_model_fails_on_is_left_out_and_counted(
    replay: Callable[..., tuple[Result, list[Event]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.models import find_model, load_detector

    kind = type(load_detector(find_model(SIM_MODEL)))
    infer, calls = kind.infer, iter(range(10**6))

    def fails(self: object, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        if next(calls) in (20, 21):
            raise RuntimeError("a model's fault")
        return infer(self, batch)

    monkeypatch.setattr(kind, "infer", fails)
    result, events = replay(motion_gate=False)
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["frames_failed"]) == (0, 2)
    assert summary["frames_analysed"] == SECONDS * 5 - 2
    assert "failed on 2 frames" in result.stderr
    assert len(events) == 3


def test_a_replay_whose_every_frame_fails_ends_with_one(
    replay: Callable[..., tuple[Result, list[Event]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a rule")

    monkeypatch.setattr("hoaban.pipeline.CameraPipeline.step_parts", broken)
    result, events = replay()
    assert (result.exit_code, events) == (1, [])
    assert json.loads(result.stdout)["frames_analysed"] == 0
