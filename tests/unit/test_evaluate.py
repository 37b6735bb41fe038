"""`hoaban models evaluate`, `promote`, `rollback` and `current`: what is passed, what is refused, and what is kept."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from actors.models.files import find_model
from actors.promotions import FILE, PromotionRegistry
from cli.main import main
from cli.recording import who
from hoaban.evaluation.report import Report
from hoaban.models.promotion import in_force
from tests.blocks import write_block_model, write_suite

Answer = tuple[int, str, str]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models; each test has a copy of its own."""
    folder = tmp_path_factory.mktemp("made")
    write_block_model(folder, "blocks")
    write_block_model(folder, "equal", version="2")
    write_block_model(folder, "half", 0.45)
    return folder


@pytest.fixture
def models(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(made, tmp_path / "models"))
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(folder))
    return folder


def run(data: Path, *arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["models", *map(str, arguments), "--data", str(data)])
    return int(ended.value.code or 0)


@pytest.fixture
def hoaban(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`hoaban models …` with a data folder of the test's own."""

    (tmp_path / "data").mkdir()

    def command(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run(tmp_path / "data", *arguments)
        return code, *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def judged(made: Path, suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(made))
        report = folder / "equal.json"
        assert run(folder, "evaluate", "equal@2", "--against", "blocks", "--suite", suite, "--out", report) == 0
    return report


@pytest.fixture(scope="module")
def told_of_half(made: Path, suite: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """The report on which `half` was refused against `blocks`, and what the command said."""
    report, out, err = tmp_path_factory.mktemp("refused") / "half.json", io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("HOABAN_MODEL_PATH", str(made))
        code = run(report.parent, "evaluate", "half", "--against", "blocks", "--suite", suite, "--out", report)
    return report, (code, out.getvalue(), err.getvalue())


@pytest.fixture
def passed(judged: Path, tmp_path: Path) -> Path:
    """A report on which `equal` passed against `blocks`; a copy of the test's own."""
    return Path(shutil.copy(judged, tmp_path / "equal.json"))


def test_the_same_models_give_the_same_report(
    hoaban: Callable[..., Answer], passed: Path, suite: Path, tmp_path: Path
) -> None:
    code, out, _ = hoaban(
        "evaluate", "equal", "--against", "blocks", "--suite", suite, "--json", "--out", tmp_path / "again.json"
    )
    assert code == 0
    assert (tmp_path / "again.json").read_bytes() == passed.read_bytes()
    report = Report.model_validate_json(passed.read_text())
    assert json.loads(out) == report.model_dump(mode="json")
    (one,) = report.recordings
    assert one.truths == one.same == one.present.told == sum(segment.truths for segment in one.segments) == 80
    assert (one.lost, one.gained, one.changed, one.candidate.missed, one.candidate.false) == ((),) * 5
    assert (report.present.sha256, report.candidate.ref) == (find_model("blocks").card.sha256, "equal@2")


def test_a_worse_model_is_refused_with_what_it_lost(
    hoaban: Callable[..., Answer], told_of_half: tuple[Path, Answer]
) -> None:
    report, (code, out, _) = told_of_half
    assert code == 1
    assert "REFUSED: traffic_counting: errors per happening 0.000 -> 1.000: no better than seeing" in out
    assert out.count("    - 00:0") == 80
    code, _, err = hoaban("promote", "half@1", "--report", report)
    assert code == 1
    assert "promotion of half@1 to 'blocks': refused: traffic_counting: errors per happening 0.000 -> 1.000" in err
    assert hoaban("current")[1] == "nothing was promoted: every name stands for itself\n"


def test_a_role_that_the_suite_does_not_show_is_not_passed(hoaban: Callable[..., Answer], suite: Path) -> None:
    role = ("--role", "traffic_enforcement")
    code, out, _ = hoaban("evaluate", "equal", "--against", "blocks", "--suite", suite, *role)
    assert code == 1
    assert "REFUSED: traffic_enforcement: too little to judge by: 0 known happenings" in out


def test_bad_input_ends_with_two(hoaban: Callable[..., Answer], suite: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("clip: a.mp4\nkey: 1\n")
    code, _, err = hoaban("evaluate", "equal", "--against", "blocks", "--suite", bad)
    assert (code, err) == (2, f"{bad}:2: key: unknown key; remove it or correct its spelling\n")
    for told, arguments in {
        "model 'nobody' is not known": ("evaluate", "nobody", "--against", "blocks", "--suite", suite),
        "write NAME@VERSION": ("promote", "equal", "--report", bad),
        "bad.yaml:1: ": ("promote", "equal@2", "--report", bad),
        "none.json: cannot be read": ("promote", "equal@2", "--report", tmp_path / "none.json"),
    }.items():
        code, _, err = hoaban(*arguments)
        assert (code, told in err, "Traceback" in err) == (2, True, False), err


def test_promoted_and_rolled_back(hoaban: Callable[..., Answer], passed: Path, tmp_path: Path) -> None:
    code, out, err = hoaban("promote", "equal@2", "--report", passed, "--by", "Lan")
    assert (code, "blocks stands for equal@2 (it was blocks@1)" in out) == (0, True), err
    registry = PromotionRegistry(tmp_path / "data")
    (step,) = registry.steps()
    assert (step.by, step.report) == (
        f"Lan (typed by {who()})",
        Report.model_validate_json(passed.read_text()).digest(),
    )
    assert in_force(registry.steps())["blocks"].sha256 == find_model("equal").card.sha256
    assert "blocks stands for equal@2" in hoaban("current")[1]
    code, _, err = hoaban("promote", "equal@2", "--report", passed)
    assert (code, "the report's present model is blocks@1, it is equal@2 now" in err) == (1, True), err
    code, out, _ = hoaban("rollback", "blocks", "--why", "too slow")
    assert (code, "blocks stands for blocks@1 again" in out) == (0, True)
    assert "(too slow)" in hoaban("current")[1]
    assert json.loads(hoaban("current", "--json")[1])["stands_for"] == {}
    code, _, err = hoaban("rollback", "blocks")
    assert (code, "nothing was promoted to it" in err) == (1, True)


def test_a_report_holds_for_exactly_the_models_that_it_judged(
    hoaban: Callable[..., Answer], passed: Path, models: Path
) -> None:
    write_block_model(models, "equal", 0.91, version="2")
    code, _, err = hoaban("promote", "equal@2", "--report", passed)
    assert (code, "the candidate is not the one that was judged (file " in err) == (1, True), err
    write_block_model(models, "equal", version="2")
    card = models / "equal" / "card.yaml"
    card.write_text(card.read_text() + "min_score: 0.3\n")
    code, _, err = hoaban("promote", "equal@2", "--report", passed)
    assert (code, "the candidate is not the one that was judged (card " in err) == (1, True), err


def test_a_report_with_another_verdict_written_into_it_is_refused(
    hoaban: Callable[..., Answer], told_of_half: tuple[Path, Answer], tmp_path: Path
) -> None:
    report = tmp_path / "half.json"
    text = told_of_half[0].read_text()
    assert '"passed": false' in text
    report.write_text(text.replace('"passed": false', '"passed": true'))
    assert hoaban("promote", "half@1", "--report", report)[0] == 1


def test_a_damaged_registry_is_told_and_not_written_to(
    hoaban: Callable[..., Answer], passed: Path, tmp_path: Path
) -> None:
    hoaban("promote", "equal@2", "--report", passed)
    file = tmp_path / "data" / FILE
    file.write_text(file.read_text() + '{"kind": "prom')
    before = file.read_text()
    for arguments in (("current",), ("rollback", "blocks"), ("promote", "equal@2", "--report", passed)):
        code, _, err = hoaban(*arguments)
        assert code == 2
        assert f"{file}:2: no step of the registry" in err
    assert file.read_text() == before


def test_what_was_removed_meanwhile_is_told_and_a_bad_model_leaves_all_the_same(
    hoaban: Callable[..., Answer], passed: Path, models: Path
) -> None:
    assert hoaban("promote", "equal@2", "--report", passed)[0] == 0
    shutil.rmtree(models / "blocks")
    code, out, err = hoaban("rollback", "blocks")
    assert (code, "blocks stands for blocks@1 again" in out) == (0, True)
    assert "it cannot be run here: model 'blocks@1' is not known" in err
    code, _, err = hoaban("promote", "equal@2", "--report", passed)
    assert (code, "model 'blocks' is not known" in err) == (2, True)


def test_a_report_whose_known_happenings_were_edited_says_something_else(
    hoaban: Callable[..., Answer], passed: Path, suite: Path, tmp_path: Path
) -> None:
    """Another truth gives another digest of the suite, so two reports can be told apart by it."""
    other = Path(shutil.copytree(suite, tmp_path / "other"))
    text = (other / "blocks.yaml").read_text()
    (other / "blocks.yaml").write_text(text.replace("class: thing", "class: other", 1))
    report = tmp_path / "again.json"
    hoaban("evaluate", "equal@2", "--against", "blocks", "--suite", other, "--out", report)
    one, again = (Report.model_validate_json(path.read_text()) for path in (passed, report))
    assert one.suite != again.suite
    assert (one.digest(), one.candidate) != (again.digest(), again.candidate)
    assert again.recordings[0].candidate.wrong_class or again.recordings[0].candidate.missed
