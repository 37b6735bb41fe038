"""Erasing what is over: a bounded piece of work at a time, each with a signed record of what went."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from sqlalchemy.engine import Engine

from actors.board import Board
from actors.disagreements import Disagreements, Kept, folder_beside
from actors.proof.files import REDACTED, REDACTION, PackageFiles
from actors.proof.keys import Keys
from actors.store import EvidenceRecords, RetentionStore
from actors.store.evidence import CaseRow
from actors.store.retention import Erasure, Group
from hoaban.events import format_time, utc
from hoaban.evidence import manifest as m
from hoaban.evidence.retention import DAY_S, Hold, Item, Retention, Term, sort_out
from hoaban.evidence.signing import Signer
from hoaban.terms import Terms

log = structlog.get_logger(__name__)

BATCH = 1000
EVERY_S, AGAIN_S = 3600.0, 60.0
SYSTEM = "the system"


class Eraser:
    """Erases packages and events so that it can be shown: written down first, then done, then signed.

    A process killed in between leaves an erasure that `finish` takes up again.
    """

    def __init__(
        self, store: RetentionStore, records: EvidenceRecords, files: PackageFiles, signer: Callable[[], Signer]
    ) -> None:
        self.store, self.records, self.files, self._signer = store, records, files, signer

    def erase(self, cases: Iterable[CaseRow], events: Iterable[str], rule: str, basis: str, by: str) -> Erasure:
        """Erase cases with their files, and events by their ids; the finished erasure.

        Raises OSError, SQLAlchemyError, SigningKeyError: what was begun is finished later.
        """
        plan: list[dict[str, Any]] = [
            {"what": "evidence", "id": case.id, "manifest_sha256": case.manifest_sha256, "files": case.files}
            for case in cases
        ]
        plan += [
            {"what": "event", "id": id, "sha256": sha256}
            for id, sha256 in self.store.event_digests(list(events)).items()
        ]
        return self._finish(self.store.begin_erasure(rule, basis, by, plan))

    def erase_events(self, group: Group, before_s: float, holds: Iterable[Hold], rule: str, basis: str) -> int:
        """Erase a batch of a group's events; how many."""
        begun = self.store.take_events(group, before_s, holds, BATCH, rule, basis, SYSTEM)
        if begun is None:
            return 0
        self._finish(begun)
        return int(begun.plan[0]["count"])

    def finish(self) -> int:
        """Take up what an earlier process began; how many erasures."""
        begun = self.store.unfinished()
        for erasure in begun:
            self._finish(erasure)
        return len(begun)

    def erase_clip(self, case: CaseRow, rule: str, basis: str) -> Erasure:
        """Erase a case's clip and nothing else of it. The package keeps the record, so that it still verifies."""
        gone = {"what": "file", "id": case.id, "name": m.CLIP, "sha256": case.files[m.CLIP]["sha256"]}
        return self._finish(self.store.begin_erasure(rule, basis, SYSTEM, [gone]))

    def _finish(self, erasure: Erasure) -> Erasure:
        signer = self._signer()
        body = m.of_erasure(
            erasure.id,
            key=signer.id,
            at=format_time(utc(time.time())),
            rule=erasure.rule,
            by=erasure.by_name,
            basis=erasure.basis,
            previous=self.store.last_record(),
            erased=erasure.plan,
        )
        record = m.canonical(body)
        signature = signer.sign(record)
        for one in erasure.plan:
            if one["what"] == "evidence":
                self.files.remove(f"{REDACTED}/{one['id']}", last=REDACTION)
                self.files.remove(one["id"])
            elif one["what"] == "file":
                # The record first: there is no moment at which the package has a hole that nobody vouches for.
                self.files.write(one["id"], {m.ERASED_SIGNATURE: signature, m.ERASED: record}, last=m.ERASED)
                self.files.remove_file(one["id"], one["name"])
                self._unlist(f"{REDACTED}/{one['id']}", one["name"])
        self.store.forget(erasure.plan)
        self.store.end_erasure(erasure.id, record, signature)
        log.info("erased", erasure=erasure.id, rule=erasure.rule, things=len(erasure.plan))
        return self.store.erasure(erasure.id)

    def _unlist(self, redacted: str, name: str) -> None:
        """Take a file out of the redacted pictures and out of what lists them."""
        if self.files.has(redacted, REDACTION):
            told = json.loads(self.files.read(redacted, REDACTION))
            told["files"].pop(name, None)
            self.files.write(redacted, {REDACTION: json.dumps(told).encode()}, last=REDACTION)
            self.files.remove_file(redacted, name)


class Purger:
    """Erases what the fleet file's retention and the owners' terms say is over."""

    def __init__(self, board: Board, eraser: Eraser, disagreements: Disagreements | None = None) -> None:
        self._board, self._eraser, self._disagreements = board, eraser, disagreements

    def step(self, now_s: float) -> int:
        """At most BATCH events or cases; how many went, 0 when nothing (more) is over. Nothing before a fleet is known.

        Raises redis.RedisError, OSError, SQLAlchemyError, SigningKeyError: call again.
        """
        fleet = self._board.get_json("fleet")
        if not fleet or "retention" not in fleet:  # what is not known is never taken for the default
            return 0
        if finished := self._eraser.finish():
            return finished
        retention = Retention.model_validate(fleet["retention"])
        owners = owners_days(fleet)
        holds = [hold for hold, _ in self._eraser.store.holds() if hold.lasts(now_s)]
        if gone := self._cases(retention, owners, now_s) or self._clips(retention, now_s):
            return gone
        for group, term in self._over(retention, owners, now_s):
            before_s = now_s - (term.days or 0) * DAY_S
            if gone := self._eraser.erase_events(group, before_s, holds, term.rule, f"kept for {term.days} days"):
                return gone
        return self._sweep(retention, owners, holds, now_s)

    def _sweep(self, retention: Retention, owners: Mapping[str, int], holds: list[Hold], now_s: float) -> int:
        """Erase pictures on which two models differ. They are no evidence: no signed record is made of it."""
        if self._disagreements is None:
            return 0

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
        for rule, gone in rules.items():
            self._eraser.erase(gone, [], rule, "its term is over", SYSTEM)
        return sum(len(gone) for gone in rules.values())

    def _clips(self, retention: Retention, now_s: float) -> int:
        term = retention.clip()
        cases = {case.id: case for case in self._eraser.records.kept() if m.CLIP in case.files}
        items = (Item(case.id, case.camera, case.captured_s, term) for case in cases.values())
        found = sort_out(items, (hold for hold, _ in self._eraser.store.holds()), now_s)
        for id, rule in found.over.items():
            self._eraser.erase_clip(cases[id], rule, f"kept for {term.days} days")
        return len(found.over)

    def _over(self, retention: Retention, owners: Mapping[str, int], now_s: float) -> Iterator[tuple[Group, Term]]:
        for group in self._eraser.store.groups():
            days = shorter(group.days, owners.get(group.camera))
            term = retention.events(group.type.removeprefix("hoaban."), group.role, days)
            if term.is_over(group.first_s, now_s):
                yield group, term


class PurgeTimer:
    """Calls a purger every hour, and on at once while there is more to do. What goes wrong is tried again."""

    def __init__(self, purger: Purger) -> None:
        self._purger = purger
        self._due_s = float("-inf")

    def tick(self) -> None:
        """A piece of work, when it is due. Raises nothing: events must be stored whatever becomes of old ones."""
        if time.monotonic() < self._due_s:
            return
        try:
            if gone := self._purger.step(time.time()):
                log.info("erased what is over", count=gone)
            else:
                self._due_s = time.monotonic() + EVERY_S
        except Exception:
            log.exception("nothing is erased now; trying again")
            self._due_s = time.monotonic() + AGAIN_S


def purge_timer(board: Board, engine: Engine, evidence_url: str, data_dir: str) -> PurgeTimer:
    """The purge of a system. Raises OSError when the evidence's place cannot be reached."""
    records, files = EvidenceRecords(engine), PackageFiles(evidence_url)
    eraser = Eraser(RetentionStore(engine), records, files, Keys(data_dir).signer)
    return PurgeTimer(Purger(board, eraser, Disagreements(folder_beside(evidence_url))))


def case_term(case: CaseRow, retention: Retention, owners: Mapping[str, int]) -> Term:
    """How long a case is kept."""
    return retention.evidence(case.state, case.evidential, shorter(case.owner_days, owners.get(case.camera)))


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
