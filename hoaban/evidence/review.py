"""An officer decides. What may be decided of a case, and what of it may leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OPEN = "open"
    """nobody has decided yet"""
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    DAMAGED = "damaged"
    """its files are not what was recorded: it was never sealed, and nothing can be decided by it"""
    ERASING = "erasing"
    """its erasure has begun and will be finished: nothing can be decided, held or exported any more"""
    ERASED = "erased"


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


REASONS: dict[Verdict, tuple[str, ...]] = {
    Verdict.CONFIRMED: ("seen_in_stills", "seen_in_clip"),
    Verdict.REJECTED: (
        "no_violation",
        "emergency_vehicle",
        "directed_by_police",
        "wrong_vehicle",
        "plate_unreadable",
        "light_not_visible",
        "picture_unusable",
        "equipment_fault",
        "other",
    ),
}
LEAST_NOTE = 10
"""letters, where the list's reason says too little by itself"""


class RefusedError(Exception):
    """What was asked is not allowed; the message says why. conflict: the case changed meanwhile; look again."""

    def __init__(self, message: str, *, conflict: bool = False) -> None:
        super().__init__(message)
        self.conflict = conflict


@dataclass(frozen=True, slots=True)
class Case:
    """What deciding depends on. version: how many decisions there were."""

    state: State
    version: int
    evidential: bool
    doubts: Sequence[str] = ()


def check_decision(case: Case, verdict: Verdict, reason: str, note: str, seen_version: int) -> None:
    """Raises RefusedError unless this may be decided by somebody who looked at the case at seen_version."""
    if case.state in (State.DAMAGED, State.ERASING, State.ERASED):
        gone = case.state is not State.DAMAGED
        raise RefusedError(f"the case is {case.state}: there is nothing to decide by", conflict=gone)
    if seen_version != case.version:
        raise RefusedError(
            f"it was decided meanwhile (version {case.version}, you saw {seen_version}); look again", conflict=True
        )
    if verdict is Verdict.CONFIRMED and not case.evidential:
        raise RefusedError(f"it cannot be confirmed as proof: {'; '.join(case.doubts) or 'no reason was kept'}")
    if reason not in REASONS[verdict]:
        raise RefusedError(f"reason {reason!r} is none for {verdict}; use one of {', '.join(REASONS[verdict])}")
    changes = case.state in (State.CONFIRMED, State.REJECTED)
    if (reason == "other" or changes) and len(note.strip()) < LEAST_NOTE:
        what = "a changed decision" if changes else "the reason 'other'"
        raise RefusedError(f"{what} needs a note of at least {LEAST_NOTE} letters")


def check_export(state: State, version: int, seen_version: int) -> None:
    """Raises RefusedError unless the case may leave: an officer has confirmed it, and who asks saw that decision."""
    if seen_version != version:
        raise RefusedError(
            f"it was decided meanwhile (version {version}, you saw {seen_version}); look again", conflict=True
        )
    if state is not State.CONFIRMED or version < 1:
        raise RefusedError(f"the case is {state}: nothing leaves that an officer has not confirmed")
