"""How long things are kept, and what stops their erasure. Law is settings: the fleet file's `retention`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hoaban.evidence.review import State
from hoaban.shapes import Strict

DAY_S = 86400.0
WATCHED = ("face_watchlist", "plate_watchlist")
Days = Annotated[int, Field(ge=1, le=36500)]
"""no term is shorter than a day or longer than a hundred years"""


class EvidenceDays(Strict):
    """Terms of evidence, by what was decided. Counted from the capture."""

    open: Days = Field(180, description="nobody decided")
    confirmed: Days = 1825
    rejected: Days = 30
    not_evidential: Days = Field(30, description="undecided, and the validity guard speaks against it")
    damaged: Days = 30


class Retention(Strict):
    """How many days things are kept. The shortest term that applies counts, an owner's `terms.retention_days` too."""

    events_days: Days | None = Field(None, description="events, and the counts made of them; none: no limit")
    events_by_type: Mapping[str, Days] = Field({}, description='by type: {"face_watchlist": 30}')
    watchlist_days: Days = Field(90, description="events of faces and plates that were looked for, if not by type")
    events_by_role: Mapping[str, Days] = Field({}, description='by the camera\'s role: {"neighbourhood": 30}')
    evidence_days: EvidenceDays = EvidenceDays()
    clips_days: Days | None = Field(None, description="clips of evidence; none: as long as their package")
    reports_days: Days | None = Field(
        None, description="citizens' reports, from their closing; none: incidents.reports.keep_days"
    )
    disagreements_days: Days = Field(30, description="pictures on which a candidate model and the present one differ")
    disagreements_mib: int = Field(512, ge=1, description="of all these pictures together; the oldest go first")
    dead_letters_days: Days = Field(
        30,
        description="events that no database took, from when they were put aside, or for their own term",
    )
    audit_days: Days = 3650
    audit_least_days: Days = Field(1825, description="the law's: audit_days may not be shorter")

    @model_validator(mode="after")
    def _audit_is_lawful(self) -> "Retention":
        if self.audit_days < self.audit_least_days:
            raise ValueError(
                f"audit_days {self.audit_days} is shorter than audit_least_days {self.audit_least_days}, the law's term"
            )
        return self

    def events(self, kind: str, role: str | None, owner_days: int | None) -> "Term":
        """For events of a type (without its prefix) from cameras of a role, under an owner's terms.

        A type's term is also that of its later parts: crowd's of crowd_grow and crowd_end.
        """
        kind = kind.removesuffix("_end").removesuffix("_grow")
        by_type = self.events_by_type.get(kind)
        watched = self.watchlist_days if kind in WATCHED and by_type is None else None
        return _shortest(
            {
                "watchlist_days": watched,
                "events_days": self.events_days,
                f"events_by_type.{kind}": by_type,
                f"events_by_role.{role}": self.events_by_role.get(role or ""),
                OWNER: owner_days,
            }
        )

    def evidence(self, state: State, evidential: bool, owner_days: int | None) -> "Term":
        """For a case."""
        name = state.value
        if state in (State.ERASING, State.ERASED):
            return Term(None, "it goes already")
        if state is State.OPEN and not evidential:
            name = "not_evidential"
        return _shortest({f"evidence_days.{name}": getattr(self.evidence_days, name, None), OWNER: owner_days})

    def disagreement(self, owner_days: int | None) -> "Term":
        """For a picture on which two models differ."""
        return _shortest({"disagreements_days": self.disagreements_days, OWNER: owner_days})

    def reports(self, keep_days: int) -> "Term":
        """For citizens' reports. keep_days: what the settings of incidents say."""
        return _shortest({"reports_days": self.reports_days, "incidents.reports.keep_days": keep_days})

    def clip(self) -> "Term":
        """For the clip of a case, whose stills may stay longer."""
        return _shortest({"clips_days": self.clips_days})


OWNER = "terms.retention_days"


@dataclass(frozen=True, slots=True)
class Term:
    """days: None for no limit. rule: the setting that says so."""

    days: int | None
    rule: str

    def over_at(self, captured_s: float) -> float | None:
        return None if self.days is None else captured_s + self.days * DAY_S

    def is_over(self, captured_s: float, now_s: float) -> bool:
        at_s = self.over_at(captured_s)
        return at_s is not None and at_s < now_s


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold: nothing that it names is erased while it lasts.

    kind "evidence": one case and its event, by its id. kind "report": a citizen's report, by its number. kind "camera":
    all that a camera saw, and was reported near it, in [from_s, until_s).
    ends_s: when the hold ends by itself, None: when somebody lifts it.
    """

    id: str
    kind: Literal["evidence", "camera", "report"]
    subject: str
    reason: str
    from_s: float | None = None
    until_s: float | None = None
    ends_s: float | None = None
    lifted_s: float | None = None

    def lasts(self, now_s: float) -> bool:
        return self.lifted_s is None and (self.ends_s is None or now_s < self.ends_s)

    def covers(self, id: str, camera: str, captured_s: float) -> bool:
        """Whether it keeps a case or an event."""
        if self.kind == "report":
            return False
        if self.kind == "evidence":
            return self.subject == id
        after = self.from_s is None or captured_s >= self.from_s
        return self.subject == camera and after and (self.until_s is None or captured_s < self.until_s)


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that may be erased."""

    id: str
    camera: str
    captured_s: float
    term: Term


@dataclass(frozen=True, slots=True)
class Sorted:
    """What becomes of things: ids with the rule that erases them, and ids with the hold that keeps them."""

    over: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)


def sort_out(items: Iterable[Item], holds: Iterable[Hold], now_s: float) -> Sorted:
    """Which things go now. A hold keeps what would go."""
    lasting = [hold for hold in holds if hold.lasts(now_s)]
    over: dict[str, str] = {}
    held: dict[str, str] = {}
    for item in items:
        if not item.term.is_over(item.captured_s, now_s):
            continue
        keeper = next((h for h in lasting if h.covers(item.id, item.camera, item.captured_s)), None)
        if keeper is None:
            over[item.id] = item.term.rule
        else:
            held[item.id] = keeper.id
    return Sorted(over, held)


def refusal(state: State, evidential: bool, held_by: str | None) -> str | None:
    """Why a case may not be erased at the request of the person it shows; None where it may.

    What may ground a fine is kept for its term: the request is answered then, not before.
    """
    if held_by is not None:
        return f"a legal hold keeps it ({held_by})"
    if state is State.CONFIRMED:
        return "an officer confirmed it: it is kept for its term as the ground of a decision"
    if state is State.OPEN and evidential:
        return "no officer has decided yet: decide first"
    if state in (State.ERASING, State.ERASED):
        return f"it is {state} already"
    return None


def _shortest(terms: Mapping[str, int | None]) -> Term:
    limits = {rule: days for rule, days in terms.items() if days is not None}
    if not limits:
        return Term(None, "no limit")
    rule = min(limits, key=lambda name: limits[name])
    return Term(limits[rule], rule)
