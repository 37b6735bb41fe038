"""Incidents, reports and work orders: what belongs together, what may be done, what becomes due."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.incidents import Happening, IncidentSettings, OpenIncident, Seen, Severity, distance_m, happening, join
from hoaban.incidents.states import (
    BY_THE_CAMERA,
    INCIDENT,
    OPEN,
    ORDER,
    REPORT,
    Action,
    NotAllowedError,
    OrderAction,
    OrderState,
    ReportState,
    State,
    after,
    allowed_in,
)
from hoaban.incidents.timers import Fault, Waiting, escalates, order_moves, order_opens, quiet

SETTINGS = IncidentSettings()
HERE = (21.386, 103.017)
NEAR, FAR = (21.3865, 103.0175), (21.40, 103.03)
SEEN = Seen("gate", "door", 1000.0, 1100.0, HERE)
INCIDENT_1 = OpenIncident(1, "intrusion", (SEEN,))


def at(time_s: float, **fields: object) -> Happening:
    return replace(Happening("intrusion", "gate", "door", time_s, HERE), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "joins"),
    [
        (at(1100 + 300), True),
        (at(1100 + 300.001), False),
        (at(1000 - 300), True),
        (at(1000 - 300.001), False),
        (at(1200, spot="yard"), False),
        (at(1200, kind="loitering"), False),
        (at(1200, simulated=True), False),
        (at(1200, camera="bridge", spot="x", place=NEAR), True),
        (at(1200, camera="bridge", spot="x", place=FAR), False),
        (at(1200, camera="bridge", place=None), False),
        (at(1401, camera="bridge", place=NEAR), False),
        (at(1200, camera="bridge", place=NEAR, over=True), False),
    ],
)
def test_events_join_by_spot_or_neighbourhood_kind_and_time(new: Happening, joins: bool) -> None:
    assert (join(new, [INCIDENT_1], SETTINGS) is not None) == joins


def test_what_lasts_is_one_incident_however_long_and_its_end_belongs_to_it() -> None:
    lasting = replace(INCIDENT_1, seen=(replace(SEEN, lasting=1),))
    for new in (at(90_000), at(90_000, over=True), at(90_000, camera="bridge", place=NEAR)):
        assert join(new, [lasting], SETTINGS) is lasting
        assert join(new, [INCIDENT_1], SETTINGS) is None


def test_of_several_incidents_the_same_spot_goes_first_then_the_nearest_then_the_newest() -> None:
    beside = OpenIncident(2, "intrusion", (replace(SEEN, camera="bridge", place=HERE),))
    further = OpenIncident(3, "intrusion", (replace(SEEN, camera="school", place=NEAR),))
    newer = OpenIncident(4, "intrusion", (replace(SEEN, camera="market", last_s=1150.0),))
    assert join(at(1200), [further, beside, INCIDENT_1], SETTINGS) is INCIDENT_1
    assert join(at(1200), [further, beside], SETTINGS) is beside
    assert join(at(1200), [beside, newer], SETTINGS) is newer


def test_traffic_is_over_when_it_flows_again() -> None:
    def told(level: str, was: str) -> tuple[bool, bool]:
        one = happening("congestion", "gate", 0.0, {"zone": "road", "level": level, "was": was}, None)
        return one.begins, one.over

    assert told("jam", "slow") == (True, False)
    assert told("congested", "jam") == (False, False)
    assert told("slow", "jam") == (False, True)
    assert happening("line_crossing", "gate", 0.0, {"line": "fence"}, None).spot == "fence"


places = st.tuples(st.floats(-80, 80), st.floats(-179, 179))


@given(places, places, places)
def test_distance_is_a_metric(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> None:
    assert distance_m(a, a) == 0
    assert distance_m(a, b) == pytest.approx(distance_m(b, a), abs=1e-6)
    assert distance_m(a, c) <= distance_m(a, b) + distance_m(b, c) + 1e-3
    assert distance_m(a, b) <= math.pi * 6_371_009


def test_a_degree_north_is_as_long_as_on_a_map() -> None:
    assert distance_m((21.0, 103.0), (22.0, 103.0)) == pytest.approx(111_195, abs=1)
    assert distance_m((21.0, 103.0), (21.0, 104.0)) == pytest.approx(111_195 * math.cos(math.radians(21)), rel=1e-4)


@pytest.mark.parametrize("table", [INCIDENT, REPORT, ORDER])
def test_each_action_leads_where_the_table_says_and_nowhere_else(table: dict) -> None:  # type: ignore[type-arg]
    states = type(next(iter(next(iter(table.values())))))
    for action, moves in table.items():
        for state in states:
            if state in moves:
                assert after(table, action, state) is moves[state]
            else:
                with pytest.raises(NotAllowedError, match=f"state {state.value}; possible: "):
                    after(table, action, state)


def reachable(table: dict, start: object, without: tuple[object, ...] = ()) -> set[object]:  # type: ignore[type-arg]
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for action, moves in table.items():
            if action not in without and state in moves and moves[state] not in found:
                found.add(moves[state])
                waiting.append(moves[state])
    return found


def test_every_state_can_be_reached_and_nothing_is_resolved_that_nobody_took() -> None:
    assert reachable(INCIDENT, State.NEW) == set(State)
    assert reachable(REPORT, ReportState.RECEIVED) == set(ReportState)
    assert reachable(ORDER, OrderState.OPEN) == set(OrderState)
    assert Action.RESOLVE not in allowed_in(INCIDENT, State.NEW)
    # A person alone cannot call a camera repaired whose fault is not over.
    assert OrderState.DONE not in reachable(ORDER, OrderState.OPEN, BY_THE_CAMERA)
    assert all(Action.COMMENT in allowed_in(INCIDENT, state) for state in State)


def test_an_incident_escalates_once_and_only_while_nobody_has_taken_it() -> None:
    waiting = Waiting(State.NEW, Severity.HIGH, 0.0, 0.0)
    assert not escalates(waiting, SETTINGS, 599.9)
    assert escalates(waiting, SETTINGS, 600.0)
    assert not escalates(replace(waiting, escalated=True), SETTINGS, 6000.0)
    assert escalates(replace(waiting, severity=Severity.CRITICAL), SETTINGS, 180.0)
    for state in set(State) - {State.NEW}:
        assert not escalates(replace(waiting, state=state), SETTINGS, 6000.0)


def test_quiet_is_told_once_and_not_while_something_lasts() -> None:
    waiting = Waiting(OPEN[1], Severity.LOW, 0.0, 1000.0)
    assert not quiet(waiting, SETTINGS, 1899.9)
    assert quiet(waiting, SETTINGS, 1900.0)
    assert not quiet(replace(waiting, lasting=True), SETTINGS, 9e9)
    assert not quiet(replace(waiting, proposed=True), SETTINGS, 9e9)


def test_a_fault_is_told_by_its_first_start_and_its_first_end() -> None:
    fault = Fault(100.0)
    orders = SETTINGS.work_orders
    assert fault.began(150.0, orders) is fault
    assert fault.ended(99.0) is fault
    over = fault.ended(200.0)
    assert over == Fault(100.0, 200.0)
    assert over.ended(300.0) is over
    assert over.began(499.9, orders) == Fault(100.0)
    assert over.began(500.0, orders) == Fault(500.0)


@given(st.lists(st.floats(1, 10_000), min_size=1, max_size=60))
def test_a_flickering_fault_keeps_one_order_open(steps: list[float]) -> None:
    """Whatever the course: at most one order, to be checked only when the fault was over for check_after_s."""
    orders = SETTINGS.work_orders
    now, fault, state = 0.0, Fault(0.0), OrderState.OPEN
    for number, step in enumerate(steps):
        now += step
        action = order_moves(state, fault, orders, now)
        if action is OrderAction.FAULT_OVER:
            assert fault.ended_s is not None
            assert now - fault.ended_s >= orders.check_after_s
        if action is OrderAction.FAULT_BACK:
            assert fault.ended_s is None
        if action is not None:
            state = after(ORDER, action, state)
            assert order_moves(state, fault, orders, now) is None
        fault = fault.ended(now) if number % 2 == 0 else fault.began(now, orders)


def test_a_fault_opens_an_order_only_when_it_lasted_by_its_own_times_once_it_is_over() -> None:
    orders = SETTINGS.work_orders
    assert not order_opens(Fault(0.0), orders, 179.9)
    assert order_opens(Fault(0.0), orders, 180.0)
    assert not order_opens(Fault(0.0, 100.0), orders, 9e9)
    assert order_opens(Fault(0.0, 180.0), orders, 180.0)


def test_kinds_and_faults_are_as_set_with_defaults_for_the_rest() -> None:
    settings = IncidentSettings.model_validate(
        {"kinds": {"loitering": "none", "red_light": "high"}, "work_orders": {"faults": {"dark": "none"}}}
    )
    assert settings.severity("loitering") is None
    assert settings.severity("red_light") is Severity.HIGH
    assert settings.severity("intrusion") is Severity.HIGH
    assert settings.severity("line_count") is None
    assert settings.work_orders.severity("dark") is None
    assert settings.work_orders.severity("covered") is Severity.HIGH
    assert settings.work_orders.severity("not_yet_known") is Severity.MEDIUM


FLEET = """version: 1
province: {name: P}
districts: [{id: d, name: D}]
incidents:
  kinds:
    intrusion: critical
"""


def errors_of(text: str) -> Iterator[str]:
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("fleet.yaml", text)], {})
    return (str(error) for error in caught.value.errors)


def test_the_fleet_file_takes_the_block_and_refuses_what_it_does_not_know() -> None:
    assert parse_fleet([("fleet.yaml", FLEET)], {}).incidents.severity("intrusion") is Severity.CRITICAL
    wrong = FLEET + "    smoke: high\n  work_orders:\n    faults: {rusty: low}\n    maintainers: {x: An}\n"
    assert [[*error.split(":")[1:3], error.split("; ")[0].split(": ", 2)[2]] for error in errors_of(wrong)] == [
        ["7", " incidents.kinds.smoke", "'smoke' is no rule type"],
        ["9", " incidents.work_orders.faults.rusty", "'rusty' is no fault of a camera"],
        ["10", " incidents.work_orders.maintainers.x", "'x' is no district of this fleet"],
    ]
    (unknown,) = errors_of(FLEET + "  joinwithin: 3\n")
    assert unknown.startswith("fleet.yaml:7: incidents.joinwithin: ")


def test_the_page_names_every_state_and_setting() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "incidents.md").read_text()
    for table in (INCIDENT, REPORT, ORDER):
        for action in table:
            assert f"`{action.value}`" in text
    for name in (*IncidentSettings.model_fields, *type(SETTINGS.reports).model_fields):
        assert f"`{name}`" in text
