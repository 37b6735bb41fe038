"""What the fleet file's retention and the owners' terms say is over goes, a bounded piece at a time."""

import math
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import Engine

from actors.board import Board
from actors.bus import EventBus
from actors.disagreements import Disagreements, Kept, folder_beside
from actors.duties import ERASING, Duty
from actors.elsewhere import Pictures, PutAside, Thing, removers
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.retention import AGAIN_S, BATCH, EVERY_S, RESTORED, SYSTEM, Eraser, first_line
from actors.store import EvidenceRecords, RetentionStore
from actors.store.evidence import CaseRow
from actors.store.retention import Group
from hoaban.events import EVENT_TYPE_PREFIX
from hoaban.evidence import manifest as m
from hoaban.evidence.retention import DAY_S, Item, Retention, Term, sort_out
from hoaban.evidence.review import State
from hoaban.incidents import IncidentSettings
from hoaban.terms import Terms

log = structlog.get_logger(__name__)
PUT_ASIDE = "dead_letters_days"


class Purger:
    """Erases what the fleet file's retention and the owners' terms say is over.

    restored: a file; while it is there, only what was begun is finished.
    """

    def __init__(
        self,
        board: Board,
        eraser: Eraser,
        disagreements: Disagreements | None = None,
        put_aside: PutAside | None = None,
        restored: Path | None = None,
    ) -> None:
        self._board, self._eraser, self._disagreements, self._put_aside = board, eraser, disagreements, put_aside
        self._restored = restored

    @property
    def stuck(self) -> str:
        """Which erasures cannot be finished now, and why, and why none begins; "" for none."""
        waits = "terms erase nothing since the restore: `hoaban evidence confirm-restore`" if self._waits else ""
        return "; ".join(filter(None, (waits, self._eraser.stuck)))

    @property
    def _waits(self) -> bool:
        return self._restored is not None and self._restored.exists()

    def step(self, now_s: float) -> int:
        """At most BATCH events or cases; how many went, 0 when nothing (more) is over. Nothing before a fleet is known.

        Raises redis.RedisError, OSError, SQLAlchemyError, SigningKeyError: call again.
        """
        fleet = self._board.get_json("fleet")
        if not fleet or "retention" not in fleet:  # what is not known is never taken for the default
            return 0
        if finished := self._eraser.finish():
            return finished
        if self._waits:  # holds placed since the backup are not there yet
            return 0
        retention = Retention.model_validate(fleet["retention"])
        owners = owners_days(fleet)
        if gone := self._cases(retention, owners, now_s) or self._clips(retention, now_s):
            return gone
        keep_days = IncidentSettings.model_validate(fleet.get("incidents") or {}).reports.keep_days
        term, said = retention.reports(keep_days), "closed for {} days"
        if gone := self._eraser.erase_reports(
            now_s - (term.days or 0) * DAY_S, term.rule, said.format(term.days), now_s
        ):
            return gone
        days = retention.audit_days
        if gone := self._eraser.erase_audit(now_s - days * DAY_S, "audit_days", f"kept for {days} days", now_s):
            return gone
        for group, term, unsealed_days in self._over(retention, owners, now_s):
            before_s, unsealed_s = now_s - (term.days or 0) * DAY_S, now_s - unsealed_days * DAY_S
            basis = f"kept for {term.days} days"
            if gone := self._eraser.erase_events(group, before_s, unsealed_s, term.rule, basis, now_s):
                return gone
        return self._dead_letters(retention, owners, now_s) or self._sweep(retention, owners, now_s)

    def _dead_letters(self, retention: Retention, owners: Mapping[str, int], now_s: float) -> int:
        """Erase events that no database took and nobody asked after, and those that no database would have any more."""
        if self._put_aside is None:
            return 0
        lasting = [hold for hold, _ in self._eraser.store.holds() if hold.lasts(now_s)]
        over = (
            (term, thing)
            for thing, put_aside_s in self._put_aside.all()
            if (term := letter_term(thing, put_aside_s, retention, owners, now_s)) and thing.held_by(lasting) is None
        )
        rules: dict[Term, list[Thing]] = {}
        for term, thing in islice(over, BATCH):
            rules.setdefault(term, []).append(thing)
        gone = 0
        for term, going in rules.items():
            basis = f"put aside for {term.days} days" if term.rule == PUT_ASIDE else f"kept for {term.days} days"
            erased = self._eraser.erase([], [], term.rule, basis, SYSTEM, now_s, going).erasure
            gone += 0 if erased is None else len(erased.plan)
        return gone

    def _sweep(self, retention: Retention, owners: Mapping[str, int], now_s: float) -> int:
        """Erase pictures on which two models differ. They are no evidence: no signed record is made of it."""
        if self._disagreements is None:
            return 0
        holds = [hold for hold, _ in self._eraser.store.holds() if hold.lasts(now_s)]

        def over(one: Kept) -> bool:
            return retention.disagreement(owners.get(one.camera)).is_over(one.captured_s, now_s)

        def held(one: Kept) -> bool:
            return any(hold.covers(one.id, one.camera, one.captured_s) for hold in holds)

        return self._disagreements.sweep(over, held, retention.disagreements_mib * 2**20)

    def _cases(self, retention: Retention, owners: Mapping[str, int], now_s: float) -> int:
        cases = {case.id: case for case in self._eraser.records.kept()}
        items = (Item(c.id, c.camera, c.captured_s, case_term(c, retention, owners)) for c in cases.values())
        found = sort_out(items, (hold for hold, _ in self._eraser.store.holds()), now_s)
        rules: dict[str, list[CaseRow]] = {}
        for id, rule in list(found.over.items())[:BATCH]:
            rules.setdefault(rule, []).append(cases[id])
        gone = 0
        for rule, going in rules.items():
            erased = self._eraser.erase(going, [], rule, "its term is over", SYSTEM, now_s).erasure
            gone += 0 if erased is None else len(erased.plan)
        return gone

    def _clips(self, retention: Retention, now_s: float) -> int:
        term = retention.clip()
        cases = {case.id: case for case in self._eraser.records.kept() if m.CLIP in case.files}
        items = (Item(case.id, case.camera, case.captured_s, term) for case in cases.values())
        found = sort_out(items, (hold for hold, _ in self._eraser.store.holds()), now_s)
        return sum(
            self._eraser.erase_clip(cases[id], rule, f"kept for {term.days} days", now_s)
            for id, rule in found.over.items()
        )

    def _over(
        self, retention: Retention, owners: Mapping[str, int], now_s: float
    ) -> Iterator[tuple[Group, Term, float]]:
        """Groups with events that are over, their term, and the days after which evidence of them is over unsealed."""
        for group in self._eraser.store.groups():
            days = shorter(group.days, owners.get(group.camera))
            term = retention.events(group.type.removeprefix("hoaban."), group.role, days)
            if term.is_over(group.first_s, now_s):
                undecided = [retention.evidence(State.OPEN, evidential, days).days for evidential in (True, False)]
                yield group, term, max(math.inf if one is None else one for one in undecided)


class PurgeTimer:
    """Calls a purger every hour, and on at once while there is more to do. What goes wrong is tried again."""

    def __init__(self, purger: Purger, duty: Duty | None = None) -> None:
        self._purger, self._duty = purger, duty
        self._due_s, self._why = float("-inf"), ""

    def tick(self) -> None:
        """A piece of work, when it is due. Raises nothing: events must be stored whatever becomes of old ones."""
        if time.monotonic() >= self._due_s:
            self._step()
        if self._duty is not None:
            self._duty.tell(self._why)

    def _step(self) -> None:
        try:
            if gone := self._purger.step(time.time()):
                log.info("erased what is over", count=gone)
            else:
                self._due_s = time.monotonic() + (AGAIN_S if self._purger.stuck else EVERY_S)
            self._why = self._purger.stuck
        except Exception as error:
            log.exception("nothing is erased now; trying again")
            self._due_s = time.monotonic() + AGAIN_S
            self._why = first_line(error)


def purge_timer(board: Board, bus: EventBus, engine: Engine, evidence_url: str, data_dir: str) -> PurgeTimer:
    """The purge of a system. Raises OSError when the evidence's place cannot be reached."""
    records, files = EvidenceRecords(engine), PackageFiles(evidence_url)
    pictures, put_aside = Disagreements(folder_beside(evidence_url)), PutAside(bus)
    elsewhere = removers([Pictures(pictures), put_aside])
    eraser = Eraser(RetentionStore(engine), records, files, Keys(data_dir), elsewhere, bus.forget)
    return PurgeTimer(Purger(board, eraser, pictures, put_aside, Path(data_dir) / RESTORED), Duty(board, ERASING))


def case_term(case: CaseRow, retention: Retention, owners: Mapping[str, int]) -> Term:
    """How long a case is kept."""
    return retention.evidence(case.state, case.evidential, shorter(case.owner_days, owners.get(case.camera)))


def letter_term(
    thing: Thing, put_aside_s: float, retention: Retention, owners: Mapping[str, int], now_s: float
) -> Term | None:
    """The term by which an event that no database took is over, None while it is not: that of what is put aside, or
    that which it would have as an event."""
    aside = Term(retention.dead_letters_days, PUT_ASIDE)
    if aside.is_over(put_aside_s, now_s):
        return aside
    if thing.event is None:
        return None
    role, days = (thing.event.data.get(name) for name in ("role", "retention_days"))  # whoever sent it, whatever it is
    own = shorter(days if type(days) is int and days > 0 else None, owners.get(thing.camera))
    kind = thing.event.type.removeprefix(EVENT_TYPE_PREFIX)
    term = retention.events(kind, role if isinstance(role, str) else None, own)
    return term if term.is_over(thing.captured_s, now_s) else None


def owners_days(fleet: Mapping[str, Any]) -> dict[str, int]:
    """camera -> the retention of its owner's terms as they are now; what was recorded under longer ones follows."""
    terms = {
        camera["id"]: Terms.model_validate(camera["terms"])
        for camera in fleet.get("cameras", ())
        if camera.get("terms")
    }
    return {camera: one.retention_days for camera, one in terms.items() if one.retention_days is not None}


def shorter(one: int | None, other: int | None) -> int | None:
    return min((days for days in (one, other) if days is not None), default=None)
