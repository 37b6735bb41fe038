"""The whole way on the simulation: `hoaban replay` with every enforcement rule, judged by its truth, with evidence."""

import hashlib
import json
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.enforcement import judge, junction_camera
from cli.main import app
from hoaban.events import Event
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film
from hoaban.sim.truth import ViolationTruth

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
DURATION_S = 110
SOURCE = f"sim://junction?seed=1&duration={DURATION_S}&violations=0.9&fps=8&noise=4&drop=0.05&jitter=0.2"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], Path]:
    """The events of a replay, and the folder of its candidates."""
    folder = tmp_path_factory.mktemp("replay")
    camera = junction_camera(Film(parse_address(SOURCE)).setup())
    document = {
        "version": 1, "province": {"name": "X"}, "districts": [{"id": "sim", "name": "S"}],
        "agencies": [{"id": "sim", "name": "S"}], "cameras": [camera.model_dump(mode="json", by_alias=True)],
    }  # fmt: skip
    (folder / "fleet.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    arguments = ["replay", str(folder / "fleet.yaml"), "--camera", camera.id, "--out", str(folder / "events.jsonl")]
    done = CliRunner().invoke(app, [*arguments, "--evidence", str(folder / "evidence"), "--json"])
    assert done.exit_code == 0, done.output
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [Event.from_json(line) for line in lines], folder / "evidence"


def test_violations_are_found_and_hardly_any_is_made_up(replayed: tuple[list[Event], Path]) -> None:
    events, _ = replayed
    truth = [r for r in Film(parse_address(SOURCE)).truth(frames=False) if isinstance(r, ViolationTruth)]
    scores = judge(events, truth, DURATION_S)
    right, missed, wrong = (sum(getattr(s, name) for s in scores.values()) for name in ("right", "missed", "wrong"))
    print({kind: (s.right, s.missed, s.wrong) for kind, s in scores.items()})
    assert right + missed >= 8
    assert right / (right + missed) >= 0.6
    assert right / (right + wrong) >= 0.7
    assert sum(s.right > 0 for s in scores.values()) >= 3  # kinds
    for score in scores.values():
        assert all(abs(error_s) < 1.0 for error_s in score.errors_s)
        assert all(abs(error_s) < 0.5 for error_s in score.yellow_errors_s)


def test_every_event_says_simulated_and_has_a_whole_candidate(replayed: tuple[list[Event], Path]) -> None:
    events, folder = replayed
    assert events
    for event in events:
        data = event.data
        assert data["simulated"] is True
        assert data["evidential"] is False
        assert "the source is a simulation" in data["not_evidential_because"]
        assert data["evidence"] == event.id
        candidate = json.loads((folder / event.id / "candidate.json").read_text())
        for name, known in candidate["files"].items():
            assert hashlib.sha256((folder / event.id / name).read_bytes()).hexdigest() == known["sha256"]
        assert {"before.jpg", "at.jpg", "past.jpg"} <= set(candidate["files"])
        assert cv2.imread(str(folder / event.id / "at.jpg")).shape == (360, 640, 3)
        past_s = data["frames"]["past"]["captured_s"]
        assert candidate["clip"]["to_s"] == pytest.approx(min(past_s + 6, DURATION_S), abs=0.7)
    assert {path.name for path in folder.iterdir()} - {".part"} == {event.id for event in events}


def test_the_light_at_the_moments_of_a_red_light_is_red(replayed: tuple[list[Event], Path]) -> None:
    found = [event for event in replayed[0] if event.type == "hoaban.red_light"]
    for event in found:
        assert event.data["frames"]["at"]["signal"] == "red"
        assert event.data["seconds_into_red"] > 0
