"""Which model a name stands for: the promotions and rollbacks so far, oldest first.

The rule. A bare NAME in a fleet file is a place that models take turns in: it means the model that was promoted to it
last and not rolled back, and without any the one that it names itself. NAME@VERSION in a fleet file is a pin: it means
that version whatever is promoted. So a promotion never contradicts what a fleet file says, and a fleet file never
takes a promotion back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from pydantic import Field

from hoaban.evaluation.report import ModelIdentity, Report
from hoaban.shapes import Strict


class PromotionError(Exception):
    """What was asked may not be; the message says why and what to do."""


class Step(Strict):
    """One promotion or rollback. before, after: what the name stood for. report: the digest of what it rests on."""

    kind: Literal["promote", "rollback"]
    place: str = Field(description="the bare name in fleet files")
    before: ModelIdentity
    after: ModelIdentity
    at: datetime
    by: str
    report: str = ""
    why: str = ""


def standing(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """name -> the promotions that stand, the one in force last. A name with none stands for itself."""
    stacks: dict[str, list[Step]] = {}
    for step in steps:
        stack = stacks.setdefault(step.place, [])
        if step.kind == "promote":
            stack.append(step)
        elif stack:
            stack.pop()
    return {place: stack for place, stack in stacks.items() if stack}


def in_force(steps: Iterable[Step]) -> dict[str, ModelIdentity]:
    """name -> the model it stands for, where that was promoted."""
    return {place: stack[-1].after for place, stack in standing(steps).items()}


def promotion(
    report: Report,
    candidate: ModelIdentity,
    present: ModelIdentity,
    *,
    place: str,
    at: datetime,
    by: str,
) -> Step:
    """The promotion of a candidate to a name's place.

    candidate, present: the models as they are on disk now, present the one that `place` stands for now. Raises
    PromotionError unless the report passed, and for exactly these two.
    """
    asked = f"promotion of {candidate.ref} to {place!r}"
    cure = f"run `hoaban models evaluate {candidate.ref} --against {present.ref}` again"
    for what, reported, now in (("candidate", report.candidate, candidate), ("present model", report.present, present)):
        if reported.ref != now.ref:
            raise PromotionError(f"{asked}: the report's {what} is {reported.ref}, it is {now.ref} now; {cure}")
        if differs := reported.differs(now):
            raise PromotionError(f"{asked}: the {what} is not the one that was judged ({differs}); {cure}")
    passed, reason = report.judged_anew()
    if not passed:
        raise PromotionError(f"{asked}: refused: {reason}; promote a better one, or judge it on more recordings")
    if not report.passed:
        raise PromotionError(f"{asked}: the report says refused ({report.reason}), its segments do not; {cure}")
    if not candidate.differs(present):
        raise PromotionError(f"{asked}: it stands for this very model already; there is nothing to do")
    return Step(kind="promote", place=place, before=present, after=candidate, at=at, by=by, report=report.digest())


def rollback(steps: Iterable[Step], *, place: str, at: datetime, by: str, why: str = "") -> Step:
    """Back to the model before the promotion in force. Raises PromotionError where none is."""
    stack = standing(steps).get(place)
    if not stack:
        raise PromotionError(f"rollback of {place!r}: nothing was promoted to it; there is nothing to take back")
    last = stack[-1]
    return Step(kind="rollback", place=place, before=last.after, after=last.before, at=at, by=by, why=why)


def model_of(name: str, stands_for: Mapping[str, ModelIdentity]) -> str:
    """NAME@VERSION of what a fleet file's name means; the name itself where nothing was promoted to it."""
    identity = stands_for.get(name)
    return name if identity is None else identity.ref
