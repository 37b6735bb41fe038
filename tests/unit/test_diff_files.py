"""Event files of `hoaban diff`: a line ends at its line feed, whatever characters the texts hold."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from hoaban.events import Event
from tests.events import some_events

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)


@given(TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_a_file_of_any_texts_is_the_same_as_itself(tmp_path: Path, texts: list[str]) -> None:
    events = [
        Event(event.id, event.type, event.camera, event.time, {"rule": text, "note": "\u2028\x85\x0b" + text})
        for event, text in zip(some_events(5), texts, strict=False)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(event.to_json() + "\n" for event in events), encoding="utf-8", newline="\n")
    done = CliRunner().invoke(app, ["diff", str(path), str(path)])
    assert (done.exit_code, done.stdout.strip()) == (0, f"0 gained, 0 lost, 0 changed, {len(texts)} the same")


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(event.to_json() + "\n" for event in some_events(2)) + "{}\n")
    done = CliRunner().invoke(app, ["diff", str(path), str(path)])
    assert done.exit_code == 2
    assert f"{path}:3: not an event" in done.output
