"""Erasing what is over: a bounded piece of work at a time, each with a signed record of what went."""

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from actors.proof.files import REDACTED, REDACTION, PackageFiles
from actors.store import EvidenceRecords, RetentionStore
from actors.store.erasures import LEASE_S, Erasure
from actors.store.evidence import CaseRow
from actors.store.retention import Begun, Going, Group, Outside
from hoaban.events import format_time, utc
from hoaban.evidence import manifest as m
from hoaban.evidence.erasures import Record, vouched
from hoaban.evidence.signing import Signer, Trusted

log = structlog.get_logger(__name__)

BATCH = 1000
EVERY_S, AGAIN_S = 3600.0, 60.0
SYSTEM = "the system"
RESTORED = "restored"
"""a file in the data folder: from a restore until somebody says that holds are as they were, terms erase nothing"""


class SigningKeys(Protocol):
    """The key in use, and all that are trusted; see Keys."""

    def signer(self) -> Signer: ...

    def trusted(self) -> Trusted: ...


Elsewhere = Mapping[str, Callable[[Mapping[str, Any]], None]]
"""what a thing is called in an erasure -> removes the one that a record names, if it is there"""


@dataclass(frozen=True, slots=True)
class _Aside:
    """An erasure that is left alone for a while. until_s: by time.monotonic()."""

    until_s: float
    pause_s: float
    why: str


class Eraser:
    """Erases packages and events so that it can be shown: written down and signed first, then done.

    A process killed in between leaves an erasure that `finish` takes up again. What lies in the database and is not
    signed, or not as it lies there, is not done. elsewhere: how things outside database and packages go. forget: takes
    events, by ids, out of what is kept for whoever goes on with a camera.
    """

    def __init__(
        self,
        store: RetentionStore,
        records: EvidenceRecords,
        files: PackageFiles,
        keys: SigningKeys,
        elsewhere: Elsewhere | None = None,
        forget: Callable[[Collection[str]], None] | None = None,
    ) -> None:
        self.store, self.records, self.files, self._keys = store, records, files, keys
        self._elsewhere, self._forget = elsewhere or {}, forget
        self._worker = secrets.token_hex(8)
        self._aside: dict[str, _Aside] = {}

    @property
    def stuck(self) -> str:
        """Which erasures cannot be finished now, and why; "" for none."""
        return "; ".join(f"erasure {id} cannot be finished: {one.why}" for id, one in sorted(self._aside.items()))

    def erase(
        self,
        cases: Iterable[CaseRow],
        events: Iterable[str],
        rule: str,
        basis: str,
        by: str,
        now_s: float,
        others: Iterable[Outside] = (),
        reports: Iterable[int] = (),
    ) -> Begun:
        """Erase cases with their files, events by their ids, others (of `elsewhere`), and reports by their
        numbers; the finished erasure, and what stays after all.

        Raises OSError, SQLAlchemyError, SigningKeyError: what was begun is finished later.
        """
        going = Going(list(cases), list(events), list(reports), list(others))
        begun = self.store.begin_erasure(going, rule, basis, by, self._worker, now_s, self._record)
        return begun if begun.erasure is None else Begun(self._finish(begun.erasure), begun.kept)

    def erase_events(
        self, group: Group, before_s: float, unsealed_before_s: float, rule: str, basis: str, now_s: float
    ) -> int:
        """Erase a batch of a group's events; how many. Times as RetentionStore.take_events takes them."""
        begun = self.store.take_events(
            group, before_s, unsealed_before_s, BATCH, rule, basis, SYSTEM, self._worker, now_s, self._record
        )
        if begun is None:
            return 0
        self._finish(begun)
        return int(begun.plan[0]["count"])

    def erase_reports(self, before_s: float, rule: str, basis: str, now_s: float) -> int:
        """Erase a batch of citizens' reports closed before a time; how many."""
        begun = self.store.take_reports(before_s, BATCH, rule, basis, SYSTEM, self._worker, now_s, self._record)
        if begun is None:
            return 0
        self._finish(begun)
        return len(begun.plan)

    def erase_audit(self, before_s: float, rule: str, basis: str, now_s: float) -> int:
        """Prune a batch of the audit chain; how many records."""
        begun = self.store.take_audit(before_s, BATCH, rule, basis, SYSTEM, self._worker, now_s, self._record)
        if begun is None:
            return 0
        self._finish(begun)
        return int(begun.plan[0]["count"])

    def finish(self) -> int:
        """Take up what an earlier process began and nobody else is finishing; how many erasures.

        One that cannot be finished is set aside for a growing while (`stuck`), so that it stops no other.
        Raises SQLAlchemyError: without the store none can be.
        """
        found = 0
        self._aside = {one.id: self._aside[one.id] for one in self.store.unfinished() if one.id in self._aside}
        while True:
            waiting = [id for id, one in self._aside.items() if one.until_s > time.monotonic()]
            erasure = self.store.lease(self._worker, time.time(), leave=waiting)
            if erasure is None:
                return found
            try:
                self._finish(erasure)
            except SQLAlchemyError:
                raise
            except Exception as error:
                log.exception("an erasure cannot be finished now; set aside", erasure=erasure.id)
                before = self._aside.get(erasure.id)
                pause_s = AGAIN_S if before is None else min(2 * before.pause_s, EVERY_S)
                self._aside[erasure.id] = _Aside(time.monotonic() + pause_s, pause_s, first_line(error))
            else:
                self._aside.pop(erasure.id, None)
                found += 1

    def vouch(self, id: str, sha256: str) -> None:
        """Sign an erasure that an earlier version began, once somebody has looked at it; see RetentionStore.vouch."""
        self.store.vouch(id, sha256, self._record)

    def erase_clip(self, case: CaseRow, rule: str, basis: str, now_s: float) -> bool:
        """Erase a case's clip and nothing else of it. The package keeps the record, so that it still verifies."""
        begun = self.store.begin_clip(case, m.CLIP, rule, basis, SYSTEM, self._worker, now_s, self._record)
        if begun is not None:
            self._finish(begun)
        return begun is not None

    def _finish(self, erasure: Erasure) -> Erasure:
        """Do what was begun: just what its record says, which was signed when it was begun."""
        try:
            record = Record(erasure.number or 0, erasure.id, erasure.manifest or b"", erasure.signature or b"")
            about = (erasure.plan, erasure.rule, erasure.basis, erasure.by_name)
            if not vouched(record, *about, self._keys.trusted()):
                raise ValueError("it is not signed as it lies there: see who wrote it (docs/runbook.md, Erasures)")
            self._remove_files(erasure)
            if self._forget is not None and (ids := _events(erasure)):
                self._forget(ids)
            self.store.finish_erasure(erasure, time.time())
        except BaseException:
            with suppress(SQLAlchemyError):
                self.store.release(erasure.id, self._worker)
            raise
        log.info("erased", erasure=erasure.id, rule=erasure.rule, things=len(erasure.plan))
        return self.store.erasure(erasure.id)

    def _record(self, erasure: Erasure, previous: str | None) -> tuple[bytes, bytes]:
        signer = self._keys.signer()
        body = m.of_erasure(
            erasure.id,
            key=signer.id,
            at=format_time(utc(time.time())),
            rule=erasure.rule,
            by=erasure.by_name,
            basis=erasure.basis,
            previous=previous,
            erased=erasure.plan,
        )
        record = m.canonical(body)
        return record, signer.sign(record)

    def _remove_files(self, erasure: Erasure) -> None:
        leased_s = time.monotonic()
        for one in erasure.plan:
            if time.monotonic() - leased_s > LEASE_S / 5:
                self.store.lease(self._worker, time.time(), erasure.id)
                leased_s = time.monotonic()
            if one["what"] == "evidence":
                self.files.remove(f"{REDACTED}/{one['id']}", last=REDACTION)
                self.files.remove(one["id"])
            elif (remove := self._elsewhere.get(one["what"])) is not None:
                remove(one)
            elif one["what"] == "file" and self.files.names(one["id"]):  # the case may have gone since
                record = {m.ERASED_SIGNATURE: erasure.signature or b"", m.ERASED: erasure.manifest or b""}
                # The record first: there is no moment at which the package has a hole that nobody vouches for.
                self.files.write(one["id"], record, last=m.ERASED)
                self.files.remove_file(one["id"], one["name"])
                self._unlist(f"{REDACTED}/{one['id']}", one["name"])

    def _unlist(self, redacted: str, name: str) -> None:
        """Take a file out of the redacted pictures and out of what lists them."""
        if self.files.has(redacted, REDACTION):
            told = json.loads(self.files.read(redacted, REDACTION))
            told["files"].pop(name, None)
            self.files.write(redacted, {REDACTION: json.dumps(told).encode()}, last=REDACTION)
            self.files.remove_file(redacted, name)


def _events(erasure: Erasure) -> set[str]:
    """The events that a plan names. A case has its event's id."""
    named = {one["id"] for one in erasure.plan if one["what"] in ("event", "evidence")}
    return named | {one["event"] for one in erasure.plan if "event" in one}


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
