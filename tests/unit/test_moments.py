"""The way of a track as the page of a moment draws it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards.moments import way

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
