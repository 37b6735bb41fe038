"""The format of recordings with known happenings, and what is said of a file that is not of it."""

from pathlib import Path

import pytest

from actors.suite import SHIPPED, load_suite
from hoaban.evaluation.report import Suited, suite_digest
from hoaban.evaluation.suite import parse_recording
from hoaban.events import Finding, ModelRef, Provenance, bind
from hoaban.fleet_text import FleetErrors
from hoaban.frames import FrameMeta

GOOD = """\
clip: road.mp4
lines: [{id: l, from: [0, 0.5], to: [1, 0.5]}]
zones: [{id: z, polygon: [[0, 0], [1, 0], [1, 1]]}]
camera:
  rules: [{type: line_count, line: l}, {type: intrusion, zone: z}]
crossings:
  - {at_s: 4, line: l, direction: forward, class: car, also: [truck]}
happenings:
  - {at_s: 2, type: intrusion, place: z, class: person}
"""


def errors(text: str) -> list[str]:
    with pytest.raises(FleetErrors) as refused:
        parse_recording("f.yaml", text)
    return str(refused.value).splitlines()


def test_what_happened_in_order_of_time() -> None:
    first, second = parse_recording("f", GOOD).truths
    assert (first.at_s, first.place, first.classes) == (2, ("intrusion", "z", ""), ("person",))
    assert (second.at_s, second.place, second.classes) == (4, ("line_count", "l", "forward"), ("car", "truck"))


def test_what_rules_tell_and_nobody_saw_is_false() -> None:
    """A recording in which nothing happened judges too."""
    quiet = parse_recording("f", GOOD.split("happenings")[0])
    finding = Finding("intrusion", "intrusion:z", 1, "person", "z")
    event = bind(finding, FrameMeta("suite", 1, 3.0, 8, 8), "shared", Provenance(ModelRef("m", "1", ""), "", "0"))
    assert [happening.place for happening in quiet.told([event])] == [("intrusion", "z", "")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("clip: road.mp4", "clip: [", "f.yaml:3: not YAML"),
        (GOOD, "- 1", "f.yaml:1: a mapping with clip, lines and crossings is expected; see docs/models.md"),
        ("clip: road.mp4\n", "", "f.yaml:1: clip: is missing; add it"),
        ("at_s: 4", "at_s: -4", "f.yaml:7: crossings[0].at_s: input should be greater than or equal to 0; correct it"),
        ("at_s: 4", "at_s: yes", "f.yaml:7: crossings[0].at_s: input should be a valid number; correct it"),
        ("class: car", "clas: car", "f.yaml:7: crossings[0].clas: unknown key; remove it or correct its spelling"),
        ("line: l, d", "line: m, d", "f.yaml:7: crossings[0].line: no line 'm'; name one of the lines"),
        ("place: z", "place: y", "f.yaml:9: happenings[0].place: no zone or line 'y'; name one of them"),
        ("type: intrusion, p", "type: crowd, p", "f.yaml:9: happenings[0].type: no rule 'crowd' is in camera.rules"),
        ("{type: line_count, line: l}, ", "", "f.yaml:7: crossings[0]: no rule line_count is in camera.rules; add it"),
        ("zone: z}]", "zone: y}]", "f.yaml:5: camera.rules[1].zone: the camera has no zone 'y'; it has: z"),
        ("camera:", "camera:\n  source: b.mp4", "f.yaml:5: camera.source: may not stand there; remove it"),
        ("camera:", "camera:\n  analysis_fps: 99", "f.yaml:5: camera.analysis_fps: input should be less than or equal"),
        ("clip: road.mp4", "clip: a\nclip: b", "f.yaml:2: clip: given twice; remove one"),
    ],
)
def test_each_wrong_thing_is_told_with_its_line_and_cure(old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = errors(GOOD.replace(old, new))
    assert any(line.startswith(told) for line in found), found


def test_a_recording_that_is_not_there_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("clip: nowhere.mp4\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.yaml").write_text("clip: 'sim://nothing'\n")
    (tmp_path / "c.yaml").write_bytes(b"clip: \xff")
    with pytest.raises(FleetErrors) as refused:
        load_suite([tmp_path, tmp_path / "empty", tmp_path / "none.yaml"])
    told = str(refused.value)
    assert f"{tmp_path}/a.yaml:1: clip: clip 'nowhere.mp4' was not found" in told
    assert f"{tmp_path}/b.yaml:1: clip: " in told
    assert f"{tmp_path}/c.yaml:1: not UTF-8 text" in told
    assert f"{tmp_path}/empty:1: no recording" in told
    assert f"{tmp_path}/none.yaml:1: cannot be read: No such file" in told


def test_the_digest_is_that_of_what_is_known_and_of_the_recordings() -> None:
    one, other = (Suited(name, parse_recording("f", GOOD), name) for name in ("one", "other"))
    changed = Suited("one", parse_recording("f", GOOD.replace("at_s: 4", "at_s: 4.5")), "one")
    refilmed = Suited("one", one.recording, "two")
    assert suite_digest([one, other]) == suite_digest([other, one])
    assert len({suite_digest(s) for s in ([one], [one, other], [changed], [refilmed])}) == 4


def test_the_hand_counts_are_of_the_format_and_in_the_package() -> None:
    files = sorted(SHIPPED.glob("*.yaml"))
    assert sum(len(parse_recording(str(f), f.read_text("utf-8")).truths) for f in files) == 97
    patterns = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert '"hoaban.evaluation" = ["counts/*.yaml"]' in patterns
