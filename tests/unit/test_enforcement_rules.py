"""Enforcement rules on drawn trajectories, the light told by a list of phases."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from hoaban.detections import Tracks
from hoaban.events import Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.frames import FrameMeta
from hoaban.rules import build_rules
from hoaban.scene import Scene
from hoaban.signals import Phase, SignalState, SignalView

W, H, FPS, DAY_S = 400, 400, 10.0, 1_800_000_000.0
RED, YELLOW, GREEN, UNKNOWN = SignalState.RED, SignalState.YELLOW, SignalState.GREEN, SignalState.UNKNOWN
Plan = Sequence[tuple[SignalState, float]]
ALL_RED: Plan = [(GREEN, 1), (YELLOW, 3), (RED, 1000)]

SETUP = {
    "lines": [
        {"id": "stop", "from": [0.1, 0.6], "to": [0.9, 0.6]},
        {"id": "past", "from": [0.1, 0.4], "to": [0.9, 0.4]},
        {"id": "left", "from": [0.15, 0.1], "to": [0.15, 0.5]},
        {"id": "lane", "from": [0.5, 0.9], "to": [0.5, 0.1]},
    ],
    "zones": [
        {"id": "junction", "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 0.45], [0.0, 0.45]]},
        {"id": "kerb", "polygon": [[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0]]},
    ],
    "signals": [{"id": "main", "feed": {}}],
}
RED_LIGHT = {"type": "red_light", "signal": "main", "line": "stop", "past": "past", "direction": "backward"}
WRONG_WAY = {"type": "wrong_way", "line": "lane"}
STOP_LINE = {"type": "stop_line", "signal": "main", "line": "stop", "direction": "backward"}
Way = Iterable[tuple[float, float] | None]


def signal(plan: Plan, start_s: float, now_s: float, lag_s: float = 0.0) -> SignalView:
    """The view at a time of a light that follows a plan from start_s on."""
    phases, at_s = [], start_s
    for state, length_s in plan:
        if at_s <= now_s:
            phases.append(Phase(state, at_s, at_s - 0.1))
        at_s += length_s
    why = "a bus stands before it" if phases[-1].state is UNKNOWN else None
    return SignalView("main", "lamps", tuple(phases), now_s - lag_s, why)


def run(
    camera: Camera,
    *ways: Way,
    plan: Plan = ALL_RED,
    label: str = "car",
    start_s: float = DAY_S,
    lost: Callable[[int], bool] = lambda i: False,
    lag_s: float = 0.0,
    **more: Any,
) -> list[Finding]:
    """What the camera's one rule finds when vehicles go these ways; a way may hold None where none is seen.

    lost: which frames never came.
    """
    (rule,) = build_rules(camera.rules, camera.site_for(W, H))
    found: list[Finding] = []
    listed = [list(way) for way in ways]
    for i in range(max(map(len, listed))):
        now_s = start_s + i / FPS
        if lost(i):
            continue
        here = [(n, way[i]) for n, way in enumerate(listed) if i < len(way) and way[i] is not None]
        boxes = np.array([[x - 15, y - 40, x + 15, y] for _, (x, y) in here], np.float32).reshape(-1, 4)
        n = len(here)
        tracks = Tracks(
            np.array([k for k, _ in here], np.int64), boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32),
            np.full(n, i + 1, np.int32), (label,),
        )  # fmt: skip
        frame = FrameMeta("cam", i, now_s, W, H, more.get("simulated", False))
        scene = Scene(frame, tracks, {}, more.get("faults", {}), {"main": signal(plan, start_s, now_s, lag_s)})
        found += rule.update(scene)
    return found


@pytest.fixture
def camera(make_camera: Callable[..., Camera]) -> Callable[..., Camera]:
    def make(rule: dict[str, Any], **fields: Any) -> Camera:
        return make_camera(rules=[rule], **(SETUP | fields))

    return make


def ahead(start: float, end: float, frames: int, x: float = 200) -> list[tuple[float, float]]:
    return [(x, float(y)) for y in np.linspace(start, end, frames)]


WAIT_4_5_S = [(200.0, 300.0)] * 45
THROUGH = WAIT_4_5_S + ahead(300, 100, 30)


def test_over_the_line_on_red_and_on_is_red_light_with_its_evidence(camera) -> None:
    (found,) = run(camera(RED_LIGHT), THROUGH)
    extra = found.extra
    # It drives 6.9 px a frame from 300 at frame 45: 240 is crossed 8.7 frames later, 5.37 s; red began at 4 s.
    assert extra["seconds_into_red"] == pytest.approx(1.37, abs=0.01)
    assert extra["yellow_s"] == pytest.approx(3.0)
    assert extra["evidential"] is True
    assert extra["not_evidential_because"] == []
    frames = extra["frames"]
    assert [frames[k]["signal"] for k in ("before", "at", "past")] == ["red"] * 3
    assert (frames["before"]["seq"], frames["at"]["seq"]) == (53, 54)
    assert frames["past"]["bbox"][3] < 160
    assert frames["at"]["time"].startswith("2027-01-15T08:00:05.4")
    event = bind(found, FrameMeta("cam", 70, DAY_S + 7, W, H), "shared", Provenance(ModelRef("m", "1", ""), "c", "0"))
    assert event.data["evidential"] is True
    event.to_json()


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ([(RED, 5.3), (GREEN, 100)], "green when it crossed"),
        ([(GREEN, 1), (YELLOW, 100)], "yellow"),
        ([(GREEN, 1), (YELLOW, 4.2), (RED, 100)], "within the grace time"),
        ([(GREEN, 1), (YELLOW, 3), (RED, 1.6), (GREEN, 100)], "just before green"),
        ([(UNKNOWN, 100)], "never known"),
        ([(GREEN, 5), (UNKNOWN, 100)], "green before it became unknown"),
        ([(RED, 1), (UNKNOWN, 100)], "unknown for too long"),
        ([(RED, 0.5), (GREEN, 0.5)] * 2 + [(RED, 1), (UNKNOWN, 100)], "longer than a red of this light is"),
        ([(RED, 0.9), (UNKNOWN, 0.5), (YELLOW, 0.1)] * 2 + [(RED, 0.9), (UNKNOWN, 99)], "green is hidden each time"),
    ],
)
def test_what_is_no_red_light(camera, plan, why) -> None:
    plan = [(s, t + 6) if s is UNKNOWN and why == "unknown for too long" else (s, t) for s, t in plan]
    way = [(200.0, 300.0)] * 100 + THROUGH if why == "unknown for too long" else THROUGH
    assert run(camera(RED_LIGHT), way, plan=plan) == [], why


def test_a_light_that_was_red_and_is_hidden_is_red_for_as_long_as_its_reds_were(camera) -> None:
    # It crosses 1.6 s into the last red and is in the junction 1.2 s later.
    plan = [(GREEN, 0.1), (RED, 3), (GREEN, 0.2), (RED, 0.2), (GREEN, 0.2), (RED, 0.5), (UNKNOWN, 100)]
    (found,) = run(camera(RED_LIGHT), THROUGH, plan=plan)
    assert "was not known when it went over the stop line" in doubts([found])


def test_who_starts_too_early_is_reported_who_waits_is_not(camera) -> None:
    early = [(GREEN, 1), (YELLOW, 3), (RED, 2), (GREEN, 100)]  # over the line at 5.37 s, in the junction at 6.6 s
    (found,) = run(camera(RED_LIGHT), THROUGH, plan=early)
    assert [found.extra["frames"][k]["signal"] for k in ("before", "at", "past")] == ["red", "red", "green"]
    assert run(camera(RED_LIGHT | {"dash_s": 0}), THROUGH, plan=early) == []


def test_standing_where_nobody_can_say_which_side_is_no_certain_moment(camera) -> None:
    near = [*WAIT_4_5_S, *ahead(300, 239, 10), *[(200.0, 239.0)] * 60, *ahead(239, 100, 20)]
    (found,) = run(camera(RED_LIGHT), near)
    assert "it had stood on the line" in doubts([found])
    assert found.extra["seconds_into_red"] == pytest.approx(7.5, abs=0.3)  # when it moved on
    assert run(camera(STOP_LINE), near) == []


def test_stopping_on_the_line_and_going_on_green_is_no_red_light(camera) -> None:
    way = [*WAIT_4_5_S, *ahead(300, 225, 10), *[(200.0, 225.0)] * 60, *ahead(225, 100, 20)]
    assert run(camera(RED_LIGHT), way, plan=[(GREEN, 1), (YELLOW, 3), (RED, 6), (GREEN, 99)]) == []
    # Through a whole green to the next red: two different reds.
    plan = [(GREEN, 1), (YELLOW, 3), (RED, 4), (GREEN, 2), (YELLOW, 1), (RED, 99)]
    assert run(camera(RED_LIGHT), way, plan=plan) == []


def test_backing_off_the_line_is_no_red_light_and_cooldown_tells_once(camera) -> None:
    back = [*WAIT_4_5_S, *ahead(300, 225, 10), *ahead(225, 300, 10), *[(200.0, 300.0)] * 10]
    assert run(camera(RED_LIGHT), back) == []
    assert len(run(camera(RED_LIGHT), THROUGH + ahead(100, 300, 20) + ahead(300, 100, 20))) == 1


def test_a_vehicle_whose_number_changes_is_told_once_two_behind_each_other_twice(camera) -> None:
    way = ahead(100, 380, 40)
    first, second = way[:20] + [None] * 20, [None] * 20 + way[20:]
    assert len(run(camera(WRONG_WAY | {"min_hits": 1}), first, second)) == 1
    behind = [None] * 8 + way[:32]
    assert len(run(camera(WRONG_WAY), way, behind)) == 2


def test_beside_the_line_the_other_way_and_other_classes_are_not_meant(camera) -> None:
    assert run(camera(RED_LIGHT), [(20, y) for _, y in THROUGH]) == []
    assert run(camera(RED_LIGHT), THROUGH[::-1]) == []
    assert run(camera(RED_LIGHT), THROUGH, label="person") == []


def test_a_trembling_box_before_the_line_is_no_crossing(camera) -> None:
    rng = np.random.default_rng(0)
    way = [(200.0, 243 + rng.normal(0, 1.5)) for _ in range(200)]
    assert run(camera(RED_LIGHT), way) == []


def test_into_the_zone_instead_of_over_a_second_line(camera) -> None:
    rule = {key: value for key, value in RED_LIGHT.items() if key != "past"} | {"zone": "junction"}
    (found,) = run(camera(rule), THROUGH)
    assert found.zone == "junction"
    assert found.extra["frames"]["past"]["bbox"][3] < 180


def test_a_light_told_late_is_waited_for(camera) -> None:
    (late,) = run(camera(RED_LIGHT), THROUGH + [(200.0, 100.0)] * 20, lag_s=1.0)
    (early,) = run(camera(RED_LIGHT), THROUGH)
    assert late.extra == early.extra


def doubts(found: list[Finding]) -> str:
    (finding,) = found
    assert finding.extra["evidential"] is (not finding.extra["not_evidential_because"])
    return "; ".join(finding.extra["not_evidential_because"])


def test_each_doubt_makes_it_not_evidential_and_says_why(camera) -> None:
    red_light = camera(RED_LIGHT)
    assert doubts(run(red_light, THROUGH)) == ""
    assert doubts(run(red_light, THROUGH, simulated=True)) == "the source is a simulation"
    faults = {"moved": "the picture is 14 px off", "wrong_time": "the clock is 3 s slow"}
    said = doubts(run(red_light, THROUGH, faults=faults))
    assert said == "camera moved: the picture is 14 px off; camera wrong_time: the clock is 3 s slow"
    lost = [(GREEN, 1), (YELLOW, 3), (RED, 1), (UNKNOWN, 99)]
    said = doubts(run(red_light, THROUGH, plan=lost))
    assert "not known when it went over the stop line, red 0.4 s before (a bus stands before it)" in said
    assert "not known when it reached the junction" in said
    gaps = run(red_light, THROUGH, lost=lambda i: 53 < i < 60)
    assert "frames are missing: 0.70 s" in doubts(gaps)
    assert "a recording's own" in doubts(run(red_light, THROUGH, start_s=0.0))


@pytest.mark.parametrize(("valid_until", "evidential"), [("2027-01-14", False), ("2027-01-15", True)])
def test_an_expired_calibration_is_a_doubt(camera, valid_until, evidential) -> None:
    calibration = {
        "id": "c1", "measured": "2026-01-01", "valid_until": valid_until,
        "picture": [[0, 1], [1, 1], [1, 0], [0, 0]], "ground_m": [[0, 0], [40, 0], [40, 40], [0, 40]],
    }  # fmt: skip
    (found,) = run(camera(RED_LIGHT, calibration=calibration), THROUGH)
    assert found.extra["evidential"] is evidential
    assert evidential or found.extra["not_evidential_because"] == ["calibration c1 ran out on 2027-01-14"]


def test_the_front_of_a_vehicle_is_over_the_line_before_its_rear(camera) -> None:
    calibration = {
        "id": "c1", "measured": "2026-01-01",
        "picture": [[0, 1], [1, 1], [1, 0], [0, 0]], "ground_m": [[0, 0], [40, 0], [40, 40], [0, 40]],
    }  # fmt: skip
    rule = RED_LIGHT | {"point": "front", "lengths_m": {"car": 5.0}}
    (front,) = run(camera(rule, calibration=calibration), THROUGH)
    (foot,) = run(camera(RED_LIGHT), THROUGH)
    # 5 m are 50 px here, at 6.9 px a frame 0.725 s.
    gained_s = foot.extra["seconds_into_red"] - front.extra["seconds_into_red"]
    assert gained_s == pytest.approx(0.725, abs=0.01)


def test_standing_beyond_the_line_on_red_is_stop_line(camera) -> None:
    stands = [*WAIT_4_5_S, *ahead(300, 225, 10), *[(200.0, 225.0)] * 60]
    (found,) = run(camera(STOP_LINE), stands)
    assert found.extra["crossed_on"] == "red"
    assert found.extra["stood_s"] >= 1.5
    assert found.extra["evidential"] is True
    on_green = [(GREEN, 5.8), (RED, 99)]
    assert run(camera(STOP_LINE), stands, plan=on_green) == [], "held up after green"
    on_yellow = [(GREEN, 3), (YELLOW, 2.5), (RED, 99)]
    assert [f.extra["crossed_on"] for f in run(camera(STOP_LINE), stands, plan=on_yellow)] == ["yellow"]
    assert run(camera(STOP_LINE | {"yellow": False}), stands, plan=on_yellow) == []
    assert run(camera(STOP_LINE), THROUGH) == [], "it did not stand"
    short = [*WAIT_4_5_S, *ahead(300, 225, 10), *[(200.0, 225.0)] * 10, *ahead(225, 100, 20)]
    assert run(camera(STOP_LINE), short) == []
    beyond_reach = [*WAIT_4_5_S, *ahead(300, 120, 25), *[(200.0, 120.0)] * 60]
    assert run(camera(STOP_LINE), beyond_reach) == [], "it stands far behind the junction"


def test_wrong_way_is_a_distance_against_the_lane(camera) -> None:
    (found,) = run(camera(WRONG_WAY), ahead(100, 380, 40))
    frames = found.extra["frames"]
    assert frames["before"]["seq"] < frames["at"]["seq"] < frames["past"]["seq"]
    assert frames["past"]["bbox"][3] - frames["before"]["bbox"][3] == pytest.approx(0.12 * H, abs=8)
    assert run(camera(WRONG_WAY), ahead(380, 100, 40)) == []
    assert run(camera(WRONG_WAY), ahead(200, 230, 40)) == [], "too short"
    assert run(camera(WRONG_WAY), [(x, 100 + 0.2 * x) for x in np.linspace(0, 390, 40)]) == [], "across"
    rng = np.random.default_rng(1)
    assert run(camera(WRONG_WAY), [(200.0, 200 + rng.normal(0, 4)) for _ in range(300)]) == [], "trembling"
    creeping = [(200.0, 100 + i * 0.1) for i in range(2000)]
    assert run(camera(WRONG_WAY), creeping) == [], "slower than within_s"
    outside = {**WRONG_WAY, "zone": "kerb"}
    assert run(camera(outside), ahead(100, 380, 40, x=100)) == []
    assert len(run(camera(outside), ahead(100, 380, 40, x=300))) == 1


def test_in_by_one_line_and_out_by_a_forbidden_one(camera) -> None:
    rule = {"type": "illegal_turn", "enter": "stop", "enter_direction": "backward", "leave": ["left"]}
    turn = [*ahead(300, 140, 20), *[(float(x), 140.0) for x in np.linspace(200, 20, 20)]]
    (found,) = run(camera(rule | {"leave_direction": "backward"}), turn) or run(camera(rule), turn)
    assert (found.line, found.extra["entered_by"]) == ("left", "stop")
    assert run(camera(rule), THROUGH) == []
    other = [(float(x), 140.0) for x in np.linspace(350, 20, 20)]
    for direction in ("forward", "backward"):
        assert run(camera(rule | {"leave_direction": direction}), other) == [], "it came in by another line"


TURN = {"type": "illegal_turn", "enter": "stop", "enter_direction": "backward", "leave": ["left"]}
OUT = [(float(x), 140.0) for x in np.linspace(200, 20, 20)]
ACROSS = [(float(x), 140.0) for x in np.linspace(20, 200, 20)]
AROUND = [(float(x), 380.0) for x in np.linspace(200, 20, 20)] + ahead(380, 140, 20, x=20)


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (OUT, "first seen inside the junction"),
        ([(200.0, 140.0)] * 50 + OUT, "first seen standing inside the junction"),
        (ACROSS + OUT, "in by the forbidden line and, turned around, out by it"),
        (ahead(300, 140, 20) + ahead(140, 300, 20), "turned around, out by the line it came in by"),
        (ahead(300, 140, 20) + ahead(140, 380, 20) + AROUND + ACROSS + OUT, "so, and then inside by another way"),
        (ahead(300, 140, 20) + ahead(140, 235, 20) + ahead(235, 140, 20), "turned to and fro inside"),
        (ahead(300, 140, 20) + [(200.0, 140.0)] * 310 + OUT, "stood inside for longer than within_s"),
    ],
)
def test_who_made_no_turn_that_is_forbidden(camera, way: list[tuple[float, float] | None], why: str) -> None:
    (turned,) = run(camera(TURN), ahead(300, 140, 20) + OUT)  # with this leave_direction a turn would be told
    assert turned.line == "left"
    assert run(camera(TURN), way) == [], why


def test_out_before_in_is_no_turn_even_where_both_are_seen_in_one_frame(camera) -> None:
    lines = [{"id": "in", "from": [0, 0.5], "to": [1, 0.5]}, {"id": "out", "from": [0.5, 0], "to": [0.5, 1]}]
    for direction, out in ((a, b) for a in ("forward", "backward") for b in ("forward", "backward")):
        rule = {"type": "illegal_turn", "enter": "in", "leave": ["out"], "min_hits": 1}
        watching = camera(rule | {"enter_direction": direction, "leave_direction": out}, lines=lines)
        out_first = [(150.0, 340.0)] * 5 + [(300.0, 150.0)] * 5  # over x = 200 first, then over y = 200
        assert run(watching, out_first) == []
    in_first = [(100.0, 250.0)] * 5 + [(250.0, 60.0)] * 5
    both = [
        run(camera(rule | {"enter_direction": a, "leave_direction": b}, lines=lines), in_first)
        for a in ("forward", "backward")
        for b in ("forward", "backward")
    ]
    assert sorted(map(len, both)) == [0, 0, 0, 1]


PARKING = {"type": "illegal_parking", "zone": "kerb", "after_s": 20}


def test_parking_is_told_once_and_survives_gaps_and_new_numbers(camera) -> None:
    stays = [(300.0, 300.0)] * 400
    (found,) = run(camera(PARKING), stays)
    assert found.extra["stood_s"] == pytest.approx(20, abs=0.2)
    assert found.extra["frames"]["before"]["seq"] <= 20
    first, second = stays[:120] + [None] * 280, [None] * 150 + stays[:250]
    (found,) = run(camera(PARKING), first, second)
    assert found.extra["stood_s"] == pytest.approx(20, abs=0.2)
    assert run(camera(PARKING), stays[:120] + [None] * 200 + stays[:150]) == [], "another stay after a long gap"
    assert run(camera(PARKING), [*stays[:150], *ahead(300, 500, 20, 300), *stays[:150]]) == [], "it left and came back"
    assert run(camera(PARKING), [(100.0, 300.0)] * 400) == [], "outside"
    assert run(camera(PARKING), [(300.0, 250 + 0.3 * i) for i in range(400)]) == [], "creeping"


def test_a_queue_at_red_does_not_park(camera) -> None:
    queue = PARKING | {"signal": "main", "clear_s": 5}
    stays = [(300.0, 300.0)] * 600
    assert run(camera(queue), stays, plan=[(RED, 50), (GREEN, 10)]) == []
    (found,) = run(camera(queue), stays, plan=[(RED, 20), (GREEN, 99)])
    assert found.extra["frames"]["past"]["seq"] == pytest.approx(10 * (20 + 5 + 20), abs=8)


def test_the_fleet_file_names_signals_and_is_told_what_is_wrong() -> None:
    text = """\
version: 1
province: {name: X}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - id: cam
    name: Cam
    role: traffic_enforcement
    district: d
    owner: o
    source: rtsp://127.0.0.1/x
    lines: [{id: stop, from: [0, 0.5], to: [1, 0.5]}]
    signals:
      - {id: main, lamps: {red: [[0, 0], [0.1, 0], [0.1, 0.1]], green: [[0, 0.2], [0.1, 0.2], [0.1, 0.3]]}}
    rules:
      - {type: red_light, signal: main, line: stop, past: stop}
"""
    assert parse_fleet([("f", text)], {}).cameras[0].signals[0].lamps is not None
    for old, new, words in [
        ("signal: main", "signal: other", "the camera has no signal 'other'; it has: main"),
        ("past: stop", "past: nowhere", "the camera has no line 'nowhere'"),
        (", past: stop", "", "give one"),
        ("past: stop", "past: stop, point: front", "needs the camera's calibration"),
        ("lamps: {", "feed: {}, lamps: {", "one of lamps and feed"),
        ("[0.1, 0.1]]", "[0, 0]]", "no area"),
        ("signal: main,", "", "signal: is missing"),
    ]:
        with pytest.raises(FleetErrors) as caught:
            parse_fleet([("f", text.replace(old, new))], {})
        assert any(words in str(error) for error in caught.value.errors), (new, caught.value)
