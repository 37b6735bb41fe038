"""What may be done with an incident, a report or a work order: one table each, and nothing that is not in it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class NotAllowedError(ValueError):
    """The action does not fit the state; the message says what does."""


class State(StrEnum):
    """Of an incident."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


OPEN = (State.NEW, State.ACKNOWLEDGED, State.ASSIGNED, State.IN_PROGRESS)


class Action(StrEnum):
    """What a person does with an incident."""

    ACKNOWLEDGE = "acknowledge"
    ASSIGN = "assign"
    START = "start"
    RESOLVE = "resolve"
    DISMISS = "dismiss"
    REOPEN = "reopen"
    COMMENT = "comment"
    GRADE = "grade"
    """give it another severity"""


INCIDENT: Mapping[Action, Mapping[State, State]] = {
    Action.ACKNOWLEDGE: {State.NEW: State.ACKNOWLEDGED},
    Action.ASSIGN: dict.fromkeys(OPEN, State.ASSIGNED),
    Action.START: {State.ACKNOWLEDGED: State.IN_PROGRESS, State.ASSIGNED: State.IN_PROGRESS},
    Action.RESOLVE: dict.fromkeys(OPEN[1:], State.RESOLVED),
    Action.DISMISS: dict.fromkeys(OPEN, State.DISMISSED),
    # It waits for somebody again, and so does its escalation.
    Action.REOPEN: {State.RESOLVED: State.NEW, State.DISMISSED: State.NEW},
    Action.COMMENT: {state: state for state in State},
    Action.GRADE: {state: state for state in OPEN},
}


class Dismissal(StrEnum):
    """Why an incident was none."""

    FALSE_ALARM = "false_alarm"
    NOT_AN_INCIDENT = "not_an_incident"
    DUPLICATE = "duplicate"
    TEST = "test"
    CAMERA_FAULT = "camera_fault"
    OTHER = "other"


class ReportState(StrEnum):
    """Of a citizen's report, as the citizen sees it too."""

    RECEIVED = "received"
    CHECKED = "checked"
    IN_PROGRESS = "in_progress"
    ANSWERED = "answered"
    CLOSED = "closed"


class ReportAction(StrEnum):
    """What a handler does with a report. `answer` is for the citizen's eyes, `note` for colleagues' alone."""

    CHECK = "check"
    START = "start"
    ANSWER = "answer"
    CLOSE = "close"
    REOPEN = "reopen"
    NOTE = "note"
    LINK = "link"


REPORT: Mapping[ReportAction, Mapping[ReportState, ReportState]] = {
    ReportAction.CHECK: {ReportState.RECEIVED: ReportState.CHECKED},
    ReportAction.START: {ReportState.CHECKED: ReportState.IN_PROGRESS},
    ReportAction.ANSWER: dict.fromkeys(
        (ReportState.CHECKED, ReportState.IN_PROGRESS, ReportState.ANSWERED), ReportState.ANSWERED
    ),
    # Every report is answered before it is closed, one that leads nowhere too: its citizen waits for a word.
    ReportAction.CLOSE: {ReportState.ANSWERED: ReportState.CLOSED},
    ReportAction.REOPEN: dict.fromkeys((ReportState.ANSWERED, ReportState.CLOSED), ReportState.IN_PROGRESS),
    ReportAction.NOTE: {state: state for state in ReportState},
    ReportAction.LINK: {state: state for state in ReportState},
}


class OrderState(StrEnum):
    """Of a work order."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    TO_CHECK = "to_check"
    DONE = "done"
    CANCELLED = "cancelled"


ORDER_OPEN = (OrderState.OPEN, OrderState.IN_PROGRESS, OrderState.TO_CHECK)


class OrderAction(StrEnum):
    """`fault_over` and `fault_back` are told by the camera, the others are people's."""

    ASSIGN = "assign"
    START = "start"
    FAULT_OVER = "fault_over"
    FAULT_BACK = "fault_back"
    DONE = "done"
    CANCEL = "cancel"
    NOTE = "note"


BY_THE_CAMERA = (OrderAction.FAULT_OVER, OrderAction.FAULT_BACK)
ORDER: Mapping[OrderAction, Mapping[OrderState, OrderState]] = {
    OrderAction.ASSIGN: {state: state for state in ORDER_OPEN},
    OrderAction.START: {OrderState.OPEN: OrderState.IN_PROGRESS},
    OrderAction.FAULT_OVER: dict.fromkeys((OrderState.OPEN, OrderState.IN_PROGRESS), OrderState.TO_CHECK),
    OrderAction.FAULT_BACK: {OrderState.TO_CHECK: OrderState.OPEN},
    # Only what the camera itself says is over can be called repaired.
    OrderAction.DONE: {OrderState.TO_CHECK: OrderState.DONE},
    OrderAction.CANCEL: dict.fromkeys(ORDER_OPEN, OrderState.CANCELLED),
    OrderAction.NOTE: {state: state for state in OrderState},
}

A = TypeVar("A", bound=StrEnum)
S = TypeVar("S", bound=StrEnum)


def after(table: Mapping[A, Mapping[S, S]], action: A, state: S) -> S:
    """The state that an action leads to. Raises NotAllowedError."""
    try:
        return table[action][state]
    except KeyError:
        allowed = ", ".join(one.value for one in allowed_in(table, state)) or "nothing"
        raise NotAllowedError(
            f"{action.value} is not possible in the state {state.value}; possible: {allowed}"
        ) from None


def allowed_in(table: Mapping[A, Mapping[S, S]], state: S) -> list[A]:
    """What may be done in a state."""
    return [action for action, moves in table.items() if state in moves]
