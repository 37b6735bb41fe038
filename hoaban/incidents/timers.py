"""What becomes due by time alone: an escalation, the proposal to resolve, a work order."""

from dataclasses import dataclass

from hoaban.incidents.settings import IncidentSettings, Severity, WorkOrderSettings
from hoaban.incidents.states import ORDER, ORDER_OPEN, OrderAction, OrderState, State


@dataclass(frozen=True, slots=True)
class Waiting:
    """What time must know of an open incident. Seconds since 1970.

    waiting_since_s: when it came into the state `new`. last_s: capture time of its newest event. lasting: whether
    something that it saw begin is not over.
    """

    state: State
    severity: Severity
    waiting_since_s: float
    last_s: float
    lasting: bool = False
    escalated: bool = False
    proposed: bool = False


def escalates(incident: Waiting, settings: IncidentSettings, now_s: float) -> bool:
    """Whether nobody has acknowledged it in time, and nobody was told so yet."""
    late = now_s - incident.waiting_since_s >= settings.escalate_min.after_s(incident.severity)
    return incident.state is State.NEW and not incident.escalated and late


def quiet(incident: Waiting, settings: IncidentSettings, now_s: float) -> bool:
    """Whether it is to be proposed that a person resolves it: nothing lasts, and nothing was seen for a while."""
    return not (incident.proposed or incident.lasting) and now_s - incident.last_s >= 60.0 * settings.quiet_min


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a camera, as its events tell it. ended_s: None while it lasts."""

    began_s: float
    ended_s: float | None = None

    def began(self, time_s: float, settings: WorkOrderSettings) -> "Fault":
        """The fault after a start: one that is back within check_after_s of its end was never over."""
        if self.ended_s is None:
            return self
        return Fault(self.began_s if time_s - self.ended_s < settings.check_after_s else time_s)

    def ended(self, time_s: float) -> "Fault":
        """The fault after an end; a second end, or one from before its beginning, changes nothing."""
        return self if self.ended_s is not None or time_s < self.began_s else Fault(self.began_s, time_s)


def order_opens(fault: Fault, settings: WorkOrderSettings, now_s: float) -> bool:
    """Whether a fault without a work order gets one: it lasted long enough, by its own times when it is over."""
    return (now_s if fault.ended_s is None else fault.ended_s) - fault.began_s >= settings.open_after_s


def order_moves(state: OrderState, fault: Fault, settings: WorkOrderSettings, now_s: float) -> OrderAction | None:
    """What the fault's course does to its work order.

    Back at once, over only after check_after_s: a fault that flickers keeps one order, and keeps it open.
    """
    if fault.ended_s is None:
        return OrderAction.FAULT_BACK if state is OrderState.TO_CHECK else None
    over = now_s - fault.ended_s >= settings.check_after_s
    return OrderAction.FAULT_OVER if over and state in ORDER[OrderAction.FAULT_OVER] else None


def overdue(state: OrderState, due_s: float, now_s: float) -> bool:
    """Whether a work order should have been done by now."""
    return state in ORDER_OPEN and now_s > due_s
