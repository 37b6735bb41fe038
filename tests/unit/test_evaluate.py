"""`hoaban models evaluate` on simulated recordings, with models that see their colours, well or badly."""

import io
import json
from pathlib import Path

import pytest
import yaml

from actors.models import find_model, load_detector
from cli.main import main
from cli.replay import run
from hoaban.evaluation.report import Report
from hoaban.evaluation.suite import parse_recording
from hoaban.events import Event
from hoaban.models.card import SIM_COLOURS
from tests.planted import package

SECONDS = 210
CLIP = f"sim://road?size=320x180&fps=5&duration={SECONDS}&seed=3"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One long recording, in which that happened which the present model tells."""
    folder = tmp_path_factory.mktemp("suite")
    document = {
        "clip": CLIP,
        "camera": {"analysis_fps": 5, "begin_score": 0.3},
        "lines": [{"id": "l", "from": [0.0, 0.6], "to": [1.0, 0.6]}],
    }
    recording = parse_recording("f", yaml.safe_dump(document))
    out = io.StringIO()
    detector = load_detector(find_model("sim-colours"), threads=1, device="cpu")
    run(recording.on("suite", CLIP), CLIP, detector, out)
    told = [Event.from_json(line) for line in out.getvalue().splitlines()]
    crossings = [{"at_s": e.time.timestamp(), **{k: e.data[k] for k in ("line", "direction", "class")}} for e in told]
    assert len(crossings) >= 30
    (folder / "road.yaml").write_text(yaml.safe_dump(document | {"crossings": crossings}))
    return folder


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["models", "evaluate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_an_equal_model_passes_and_the_report_says_the_same_twice(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    equal = package(tmp_path / "equal", SIM_COLOURS, name="equal", version="2")
    arguments = (equal, "--against", "sim-colours", "--suite", suite)
    code, out, _ = evaluate(capsys, *arguments, "--json", "--out", tmp_path / "report.json")
    assert code == 0
    report = Report.model_validate_json((tmp_path / "report.json").read_text())
    assert json.loads(out) == report.model_dump(mode="json")
    assert report.passed
    assert report.judged_anew()[0]
    (one,) = report.recordings
    assert (one.lost, one.gained, one.changed) == ((), (), ())
    assert one.truths == one.same == sum(segment.truths for segment in one.segments)
    assert report.candidate.ref == "equal@2"
    assert report.candidate.card != report.present.card
    evaluate(capsys, *arguments, "--out", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "report.json").read_bytes()


def test_a_blinder_model_is_refused_with_what_it_lost(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = package(tmp_path / "worse", SIM_COLOURS, name="worse", min_score=1.0)
    code, out, _ = evaluate(capsys, worse, "--against", "sim-colours", "--suite", suite)
    assert code == 1
    assert "REFUSED: traffic_counting: errors per happening 0.000 -> " in out
    assert "    - 00:0" in out


def test_a_role_that_the_suite_does_not_show_is_not_passed(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    equal = package(tmp_path / "equal", SIM_COLOURS, name="equal", version="2")
    code, out, _ = evaluate(
        capsys, equal, "--against", "sim-colours", "--suite", suite, "--role", "traffic_enforcement"
    )
    assert code == 1
    assert "traffic_enforcement: too little to judge by: 0 known happenings" in out


def test_bad_input_ends_with_two(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("clip: a.mp4\nkey: 1\n")
    code, _, err = evaluate(capsys, "sim-colours", "--suite", tmp_path / "bad.yaml")
    assert (code, err) == (2, f"{tmp_path}/bad.yaml:2: key: unknown key; remove it or correct its spelling\n")
    code, _, err = evaluate(capsys, "nobody", "--suite", suite)
    assert code == 2
    assert "model 'nobody' is not known" in err
