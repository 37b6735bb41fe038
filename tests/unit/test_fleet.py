"""The fleet file: all that is wrong at once, each with file, line, path and cure."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hoaban.fleet_text import FleetErrors, parse_fleet

GOOD = """\
version: 1
province: {name: Điện Biên, timezone: Asia/Ho_Chi_Minh}
districts: [{id: dbp, name: Điện Biên Phủ}]
agencies: [{id: police, name: Công an tỉnh}]
models: {detect: yolox-nano}
cameras:
  - id: gate-canh-quang-1
    name: Cầu Cảnh Quang 1
    role: traffic_counting
    district: dbp
    owner: police
    location: {lat: 21.38, lon: 103.02}
    source: rtsp://127.0.0.1:8554/gate1
    analysis_fps: 5
    zones: [{id: road, polygon: [[0.1,0.5],[0.9,0.5],[0.9,1],[0.1,1]]}]
    lines: [{id: in, from: [0.1,0.7], to: [0.9,0.7]}]
    rules: [{type: line_count, line: in, classes: [car, motorcycle, bus, truck, bicycle, person]}]
"""


def problems(text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("fleet.yaml", text)], env or {})
    return [str(error) for error in caught.value.errors]


def test_the_contracts_example_is_taken_and_filled_with_defaults() -> None:
    camera = parse_fleet([("fleet.yaml", GOOD)], {}).camera("gate-canh-quang-1")
    assert camera.model == "yolox-nano"
    assert camera.lines[0].from_ == (0.1, 0.7)


def test_all_errors_come_at_once_with_their_lines() -> None:
    text = (
        GOOD.replace("district: dbp", "district: dbx")
        .replace("[0.9,1]", "[0.9,1.5]")
        .replace("line: in", "line: out")
        .replace("analysis_fps: 5", "analysis_fps: 0\n    colour: red")
    )
    found = problems(text)
    assert [line.split(": ")[:2] for line in found] == [
        ["fleet.yaml:10", "cameras[0].district"],
        ["fleet.yaml:14", "cameras[0].analysis_fps"],
        ["fleet.yaml:15", "cameras[0].colour"],
        ["fleet.yaml:16", "cameras[0].zones[0].polygon[2][1]"],
        ["fleet.yaml:18", "cameras[0].rules[0].line"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("type: line_count", "type: nonsense", "no rule type"),
        ("id: dbp", "id: dbp, id: dbq", "given twice"),
        ("role: traffic_counting", "role: counting", "not allowed"),
        ("Asia/Ho_Chi_Minh", "Asia/Nowhere", "no time zone"),
        ("[[0.1,0.5],[0.9,0.5],[0.9,1],[0.1,1]]", "[[0,0],[1,1],[1,0],[0,0.5]]", "crosses itself"),
        ("[[0.1,0.5],[0.9,0.5],[0.9,1],[0.1,1]]", "[[0,0],[0.5,0.5],[1,1]]", "no area"),
        ("to: [0.9,0.7]", "to: [0.1,0.7]", "no length"),
        ("rtsp://127", "ftp://127", "not supported"),
        ("rtsp://127.0.0.1:8554/gate1", "rtsp://u:${CAM_PASSWORD}@h/1", "CAM_PASSWORD is not set"),
        ("version: 1", "version: [", "not YAML"),
        ("version: 1", "version: 2", "not allowed"),
    ],
)
def test_each_kind_of_error_is_explained(old: str, new: str, words: str) -> None:
    assert any(words in line for line in problems(GOOD.replace(old, new)))


def test_several_files_make_one_fleet_and_name_the_file_of_an_error() -> None:
    more = "cameras: [{id: two, name: Hai, role: shared, district: dbp, owner: nobody, source: a.mp4}]"
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("a.yaml", GOOD), ("folder/b.yaml", more)], {})
    assert [str(e).split(": ")[:2] for e in caught.value.errors] == [["folder/b.yaml:1", "cameras[1].owner"]]
    fleet = parse_fleet([("a.yaml", GOOD), ("folder/b.yaml", more.replace("nobody", "police"))], {})
    assert [camera.id for camera in fleet.cameras] == ["gate-canh-quang-1", "two"]
    assert fleet.camera("two").source.reveal() == "folder/a.mp4"


def test_secrets_come_from_the_environment_and_are_not_shown() -> None:
    text = GOOD.replace("rtsp://127.0.0.1:8554", "rtsp://user:${PASS}@127.0.0.1:8554")
    camera = parse_fleet([("f", text)], {"PASS": "geheim"}).cameras[0]
    assert camera.source.reveal() == "rtsp://user:geheim@127.0.0.1:8554/gate1"
    assert "geheim" not in f"{camera!r} {camera} {camera.model_dump_json()} {camera.source!r} {camera.model_dump()}"
    assert not any("geheim" in line for line in problems(text.replace("gate1", "gate1\n    x: 1"), {"PASS": "geheim"}))


def test_a_digest_changes_with_the_configuration_only() -> None:
    one, two = (
        parse_fleet([("f", text)], {}).cameras[0] for text in (GOOD, GOOD.replace("{id: road,", "{ id: road ,"))
    )
    assert one.digest() == two.digest()
    assert one.digest() != parse_fleet([("f", GOOD.replace("0.7", "0.6"))], {}).cameras[0].digest()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "rules", "type", "zones", "polygon", "source"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(trees)
def test_no_document_brings_a_traceback(tree: object) -> None:
    document = {"version": 1, "province": {"name": "x"}, "cameras": tree}
    with contextlib.suppress(FleetErrors):
        assert parse_fleet([("f", yaml.safe_dump(document, allow_unicode=True))], {}).version == 1


@given(st.text())
def test_no_text_brings_a_traceback(text: str) -> None:
    with pytest.raises(FleetErrors):
        parse_fleet([("f", text)], {})
