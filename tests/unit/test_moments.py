"""The way of a track as the page of a moment draws it."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards.moments import sketch, way

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(
    after_s: float, box: list[float] | None, track: int | None = 7, width: int = 640, **more: Any
) -> dict[str, Any]:
    frame = {"seq": 1, "width": width, "height": 360}
    time = (START + timedelta(seconds=after_s)).isoformat()
    return {"time": time, "data": {"track": track, "bbox": box, "frame": frame, **more}}


def test_a_way_is_the_boxes_of_one_track_in_time() -> None:
    still = {"at": {"time": (START + timedelta(seconds=2)).isoformat(), "bbox": [2.0, 0, 10, 10]}}
    looked = event(4, [4.0, 0, 10, 10], frames=still)
    others = [
        event(9, [9.0, 0, 10, 10]),
        looked,
        event(0, [0.0, 0, 10, 10]),
        event(1, [99.0, 0, 10, 10], track=8),
        event(1, [99.0, 0, 10, 10], width=1280),
        event(1, None),
        event(600, [99.0, 0, 10, 10]),
    ]
    assert [box[0] for box in way(looked, others)] == [0.0, 2.0, 4.0, 9.0]


def test_what_has_no_track_or_box_has_no_way() -> None:
    for lone in (event(0, [0.0, 0, 10, 10], track=None), event(0, None)):
        assert way(lone, [lone, event(1, [1.0, 0, 10, 10], track=None)]) == []


def test_the_drawing_is_an_image_with_its_line_box_and_way() -> None:
    camera: Any = {"zones": [], "lines": [{"id": "in", "from": [0, 0.5], "to": [1, 0.5]}]}
    looked = event(4, [4.0, 0, 10, 20], line="in") | {"type": "hoaban.line_count"}
    html = sketch(camera, looked, [[0.0, 0, 6, 20], [4.0, 0, 10, 20]])
    svg = b64decode(html.partition("base64,")[2].partition('"')[0]).decode()
    assert html.startswith('<img class="hb-sketch" alt="')
    assert '<line x1="0" y1="180" x2="640" y2="180" class="hit"/>' in svg
    assert (svg.count('class="seen"'), svg.count('class="box"')) == (2, 1)
    assert '<polyline points="3,20 7,20" class="way"/>' in svg
