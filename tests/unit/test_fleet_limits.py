"""Fleet files of hostile size or shape: refused in a line, with work in proportion to what was let through."""

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoaban import fleet_yaml
from hoaban.fleet import Fleet
from hoaban.fleet_text import MOST_ERRORS, FleetError, FleetErrors, parse_fleet
from hoaban.fleet_yaml import MOST_CHARACTERS, MOST_SCALAR, MOST_VALUES, FleetYaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "dien-bien"
HEAD = (
    "version: 1\nprovince: {name: X}\ndistricts: [{id: d, name: D}]\nagencies: [{id: o, name: O}]\nsites: [east]\n"
    "cameras:\n"
)
LINES = "lines: [{id: l, from: [0, 0], to: [1, 1]}]"
CAMERA = f"  - {{id: c, name: C, role: shared, district: d, owner: o, source: a.mp4, {LINES}, MORE}}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("f.yaml", text)], {})
    return [str(error) for error in caught.value.errors]


def camera(more: str) -> str:
    return HEAD + CAMERA.replace("MORE", more)


def bomb(levels: int) -> str:
    """Aliases of aliases: nine lists of nine lists …"""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def values_of(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many values were looked at while reading a text."""
    counted = [0]
    whole = FleetYaml._value

    def value(self: FleetYaml, node: yaml.Node, path: fleet_yaml.Path) -> object:
        counted[0] += 1
        return whole(self, node, path)

    monkeypatch.setattr(FleetYaml, "_value", value)
    FleetYaml(lambda *_: None).read(text)
    return counted[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(12), f"more than {MOST_VALUES} values, repeated ones counted; remove aliases"),
        ("a: &a [*a, *a]", "or an alias of itself; correct it"),
        ("a: &a {b: *a}", "or an alias of itself; correct it"),
        ("[" * 5000, "nested more than 50 deep; correct it"),
        ("{a: " * 5000, "nested more than 50 deep; correct it"),
        ("a:\n" + "".join(f"{' ' * i}-\n" for i in range(1, 400)), "nested more than 50 deep; correct it"),
        ("x" * (MOST_CHARACTERS + 1), "split the fleet into several files"),
        (HEAD + f"# \nnote: {'x' * (MOST_SCALAR + 1)}", f"{MOST_SCALAR} are most; shorten it"),
        ("? [a, b]\n: 1", "a key that is a list or mapping; write a plain word"),
        ("version: 2024-06-31", "correct it, or quote it"),
        ("version: " + "9" * 5000, "correct it, or quote it"),
        ("version: !!python/name:os.system", "not YAML"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("\x00", "not YAML"),
        ("", "a mapping with version, province and cameras is expected"),
        ("- 1", "a mapping with version, province and cameras is expected"),
    ],
)
def test_hostile_text_is_refused_with_its_line(text: str, words: str) -> None:
    found = problems(text)
    assert any(words in line for line in found), found
    assert all(line.startswith("f.yaml:") and "\n" not in line for line in found)


def test_what_is_refused_for_its_size_is_not_worked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values_of(bomb(12), monkeypatch) <= MOST_VALUES + 10
    assert values_of("[" * 5000, monkeypatch) == 0
    assert values_of("x: [" + "1, " * 100 + "]", monkeypatch) == 102


def test_a_thousand_errors_are_told_as_a_number() -> None:
    found = problems(HEAD + "".join(f"  - {{id: c{i}}}\n" for i in range(300)))
    assert len(found) == MOST_ERRORS + 1
    assert "more from here on are not shown" in found[-1]


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ("analysis_fps: yes", "analysis_fps", "YAML reads yes, no, on and off as true and false"),
        ("analysis_fps: .nan", "analysis_fps", "finite number"),
        ("analysis_fps: .inf", "analysis_fps", "finite number"),
        ("analysis_fps: -.inf", "analysis_fps", "finite number"),
        ("stall_s: .inf", "stall_s", "finite number"),
        ("pre_roll_s: on", "pre_roll_s", "YAML reads yes"),
        ("model: no", "model", "YAML reads yes"),
        ("loop: 3", "loop", "correct it"),
        ("zones: [{id: z, polygon: [[yes, 0], [1, 0], [1, 1]]}]", "zones[0].polygon[0][0]", "YAML reads yes"),
        ("zones: [{id: z, polygon: [[.nan, 0], [1, 0], [1, 1]]}]", "zones[0].polygon[0][0]", "finite number"),
        ("zones: [{id: z, polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}]", "zones[0].polygon", "crosses itself"),
        (
            "zones: [{id: z, polygon: [[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]}]",
            "zones[0].polygon",
            "crosses itself",
        ),
        (
            "zones: [{id: z, polygon: [[0, 0], [1, 0], [1, 1], [0.2, 0.2], [0, 1], [0.2, 0.2]]}]",
            "zones[0].polygon",
            "crosses itself",
        ),
        (f"zones: [{{id: z, polygon: {[[i / 999, (i * i % 7) / 7] for i in range(999)]}}}]", "zones[0].polygon", "200"),
        ("site: north", "site", "'north' is not among sites; add it there or correct it"),
        ("rules: [{type: line_count, line: l, classes: [cra]}]", "rules[0].classes[0]", "did you mean 'car'?"),
        ("rules: [{type: line_count, line: l, classes: [qqqqqq]}]", "rules[0].classes[0]", "`hoaban models list"),
        ("rules: [{type: line_count, line: l, classes: [yes]}]", "rules[0].line_count.classes", "YAML reads yes"),
        ("source: b.mp4", "source", "given twice; remove one"),
        ('"na\\nme": 1', "'na\\nme'", "unknown key"),
        ("model: ''", "model", "at least 1 character"),
        ("timezone: ../../etc/passwd", "timezone", "is no time zone"),
    ],
)
def test_values_that_would_be_taken_for_others_are_refused(more: str, path: str, words: str) -> None:
    found = problems(camera(more))
    where = f"cameras[0].{path}".replace(".line_count", "")
    assert any(line.startswith(f"f.yaml:7: {where}") and words in line for line in found), found


def test_a_source_of_every_bad_kind_is_refused() -> None:
    for source, words in (
        ("''", "it is empty"),
        ("ftp://x", "not supported"),
        ("'rtsp://x/" + "a" * 5000 + "'", "longer than"),
        ('"a\\nb.mp4"', "control characters"),
        ("[a]", "valid string"),
        ("3", "valid string"),
        ("yes", "YAML reads yes"),
        ("sim://nowhere", "no simulated scene"),
    ):
        found = problems(HEAD + CAMERA.replace("a.mp4", source).replace(", MORE", ""))
        assert any("cameras[0].source: " in line and words in line for line in found), found


def test_labels_of_a_model_that_nobody_knows_here_are_left_to_it() -> None:
    text = camera("model: my-own, rules: [{type: line_count, line: l, classes: [helmet]}]")
    assert parse_fleet([("f.yaml", text)], {}).cameras[0].model == "my-own"
    with pytest.raises(FleetErrors, match="did you mean 'helmet'"):
        parse_fleet([("f.yaml", text.replace("[helmet]", "[helmt]"))], {}, {"my-own": ("helmet",)})


PIECES = st.sampled_from(
    ["", " ", "\n", ":", "- ", "[", "]", "{", "}", "&a ", "*a", "!!set ", "'", '"', "yes", ".nan", "-1", "1e400",
     "null", "0x", "~", "#", "\t", "é", "\u2028", "${X}", "${PATH}", "2024-02-30", "1:2:3", "<<: ", "? ", "| ", "%"]
)  # fmt: skip


def _small() -> str:
    """The example's province with two of its cameras, as a person would lay it out."""
    province, *files = (yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8")) for name in FILES)
    cameras = [{"cameras": file["cameras"][:1]} for file in files]
    joined = province | {"cameras": [camera for file in cameras for camera in file["cameras"]]}
    return yaml.safe_dump(joined, allow_unicode=True, sort_keys=False)


FILES = ("province", "traffic-counting", "shared")
SMALL = _small()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(PIECES, min_size=1, max_size=4))
def test_a_mutated_fleet_is_valid_or_explained(seed: int, pieces: list[str]) -> None:
    """Cut, doubled and overwritten anywhere: a fleet, or errors with a line within the file."""
    rng = random.Random(seed)
    text = SMALL
    for piece in pieces:
        at = rng.randrange(len(text) + 1)
        to = min(len(text), at + rng.choice([0, 0, 1, 2, 5, 40]))
        text = text[:at] + (piece if rng.random() < 0.8 else text[at:to] * 2) + text[to:]
    lines = text.count("\n") + text.count("\u2028") + text.count("\x85") + 2
    reader = FleetYaml(lambda *_: None)
    reader.read(text)
    assert reader._values <= len(text) * 2
    errors: list[FleetError] = []
    try:
        fleet = parse_fleet([("f.yaml", text)], {"X": "x"})
    except FleetErrors as refused:
        fleet, errors = None, refused.errors
    assert isinstance(fleet, Fleet) is (not errors)
    for error in errors:
        assert 1 <= error.line <= lines
        assert error.message
        assert "\n" not in str(error)


def test_the_mutated_text_is_a_fleet_before_it_is_mutated() -> None:
    assert len(parse_fleet([("f.yaml", SMALL)], {}).cameras) >= 2
