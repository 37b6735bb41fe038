"""From candidates to packages: sealed, then stamped and redacted. One sealer a system; it may be killed at any time."""

import json
import threading
import time
from collections.abc import Iterable
from typing import Any

import ray
import redis
import sqlalchemy.exc
import structlog

from actors.board import Board
from actors.duties import SEALING, Duty
from actors.proof.files import REDACTED, REDACTION, PackageFiles
from actors.proof.keys import Keys
from actors.proof.owners import Owners
from actors.proof.redact import Redactor
from actors.proof.tsa import Authority
from actors.store import EventStore, EvidenceRecords
from hoaban.events import format_time, utc
from hoaban.evidence import manifest as m
from hoaban.evidence.signing import Signer, SigningKeyError
from hoaban.evidence.stamps import StampError

log = structlog.get_logger(__name__)

EVERY_S = 2.0
STAMP_AGAIN_S = 60.0
"""an authority that is away is asked again after so long"""
SWEEP_EVERY_S = 600.0
"""how often what is erased is looked for among the files: a recorder may write late"""


UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""what reading a damaged candidate may raise"""


class Sealer:
    """Makes packages of what the recorders wrote. `step` seals all that waits; `behind`: there is more to redact."""

    def __init__(
        self,
        files: PackageFiles,
        records: EvidenceRecords,
        signer: Signer,
        authority: Authority | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._files, self._records, self._signer = files, records, signer
        self._authority, self._redactor = authority, redactor
        self._known = records.known()
        self._cleaned = self.behind = False
        self._ask_s = self._swept_s = float("-inf")

    def step(self) -> int:
        """Seal, stamp and redact what waits; how many packages were sealed.

        Raises OSError or SQLAlchemyError when a store is away: nothing is lost, call again.
        """
        if not self._cleaned:
            if left := self._files.clean():
                log.info("half written files of an earlier process removed", count=left)
            self._cleaned = True
        packages = self._files.packages()
        if time.monotonic() - self._swept_s >= SWEEP_EVERY_S:
            self._remove(self._records.gone([*packages, *self._files.redacted()]))
            self._swept_s = time.monotonic()
        fresh = [package for package in packages if package not in self._known]
        sealed = sum(self._seal_or_tell(package) for package in fresh)
        if self._authority is not None and time.monotonic() - self._ask_s >= STAMP_AGAIN_S:
            self._stamp_all(self._authority)
        waiting = self._records.waiting("redacted") if self._redactor is not None else []
        if waiting and self._redactor is not None:
            # One at a time: a clip takes seconds, and what was recorded meanwhile must not wait to be sealed.
            self._redact(waiting[0], self._redactor)
        self.behind = len(waiting) > 1
        return sealed

    def _seal_or_tell(self, package: str) -> bool:
        """One that cannot be sealed, whatever is wrong with it, must not hold the others up."""
        try:
            return self.seal(package)
        except (IsADirectoryError, NotADirectoryError) as error:
            self._refuse(package, b"{}", f"{type(error).__name__}: {error}")
            return False
        except (OSError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError):
            raise  # a store is away; what is wrong with a package is told in other words
        except Exception as error:
            log.exception("evidence cannot be sealed", package=package)
            self._refuse(package, b"{}", f"{type(error).__name__}: {error}")
            return False

    def seal(self, package: str) -> bool:
        """Seal one candidate; False for what is none (yet), or is not what was recorded: then the case says so."""
        if self._records.gone([package]):
            self._remove([package])
            return False
        files = self._files.read_all(package)
        if m.CANDIDATE not in files:
            return False
        if m.MANIFEST in files:  # a process ended between the package and its row
            manifest = files[m.MANIFEST]
        else:
            parts = {name: data for name, data in files.items() if name not in m.ABOUT}
            try:
                manifest = m.canonical(self._body(parts))
            except m.ManifestError as error:
                self._refuse(package, files[m.CANDIDATE], str(error))
                return False
            signature = self._signer.sign(manifest)
            self._files.write(package, {m.SIGNATURE: signature, m.MANIFEST: manifest}, last=m.MANIFEST)
        body = dict(m.parse(manifest).body)
        if not self._records.add(body, m.digest(manifest)):  # erased while it was sealed
            self._remove([package])
            return False
        self._known.add(package)
        log.info("evidence sealed", package=package, key=body["key"])
        return True

    def _remove(self, packages: Iterable[str]) -> None:
        """What a recorder wrote late of what is erased: it does not come back."""
        for package in packages:
            self._files.remove(f"{REDACTED}/{package}", last=REDACTION)
            self._files.remove(package)
            log.info("evidence that is erased is not sealed", package=package)

    def _body(self, files: dict[str, bytes]) -> dict[str, Any]:
        try:
            candidate = json.loads(files[m.CANDIDATE])
        except (ValueError, RecursionError) as error:
            raise m.ManifestError(f"{m.CANDIDATE}: {error}") from None
        return m.of_candidate(
            candidate,
            files,
            key=self._signer.id,
            sealed=format_time(utc(time.time())),
            stamp_wanted=self._authority is not None,
        )

    def _refuse(self, package: str, candidate: bytes, why: str) -> None:
        log.error("evidence is not sealed: it is not what was recorded", package=package, why=why)
        try:
            self._records.add_damaged(package, json.loads(candidate), why)
        except (*UNREADABLE, sqlalchemy.exc.DataError, sqlalchemy.exc.StatementError) as error:
            if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
                raise
            try:
                self._records.add_damaged(package, {}, why[:400])
            except sqlalchemy.exc.DataError:  # a folder whose very name is none of ours
                log.exception("evidence cannot even be listed", package=package)
        self._known.add(package)

    def _stamp_all(self, authority: Authority) -> None:
        for package in self._records.waiting("stamped"):
            try:
                stamp, said = authority.stamp(self._files.read(package, m.SIGNATURE))
            except StampError as error:
                log.warning("no timestamp; it is asked for again", package=package, why=str(error))
                self._ask_s = time.monotonic()
                return
            signed = self._signer.sign(stamp)
            self._files.write(package, {m.STAMP: stamp, m.STAMP_SIGNATURE: signed}, last=m.STAMP)
            if not self._records.mark(package, stamped=said.time.isoformat()):
                self._remove([package])

    def _redact(self, package: str, redactor: Redactor) -> None:
        files = self._files.read_all(package)
        try:
            shown, how = redactor.package(files, json.loads(files[m.CANDIDATE]))
        except Exception as error:  # a picture that no decoder takes: nothing of it is shown
            log.exception("evidence cannot be redacted", package=package)
            shown, how = {}, f"nothing is shown: {error}"[:64]
        told = {"how": how, "files": {name: m.Entry.of(data).as_dict() for name, data in shown.items()}}
        target = f"{REDACTED}/{package}"
        self._files.write(target, {**shown, REDACTION: json.dumps(told).encode()}, last=REDACTION)
        if not self._records.mark(package, redacted=how):  # erased meanwhile
            self._remove([package])


@ray.remote
class EvidenceActor:
    """The sealer in the cluster, named `evidence`."""

    def __init__(self, store_url: str, evidence_url: str, data_dir: str, redis_url: str) -> None:
        self._store, self._board = EventStore.open(store_url), Board(redis_url)
        self._duty = Duty(self._board, SEALING)
        self._where = (evidence_url, data_dir)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seal", daemon=True)
        self._thread.start()

    def _make(self) -> Sealer:
        url, data_dir = self._where
        signer = Keys(data_dir).signer()
        authority = Authority.from_environment()
        return Sealer(PackageFiles(url), EvidenceRecords(self._store.engine), signer, authority, Redactor())

    def _run(self) -> None:
        sealer: Sealer | None = None
        owners = Owners(self._board, EvidenceRecords(self._store.engine))
        while not self._stopping.is_set():
            try:
                sealer = sealer or self._make()
                sealer.step()
                owners.keep()
                self._duty.tell()
            except (OSError, sqlalchemy.exc.SQLAlchemyError, redis.RedisError, SigningKeyError, StampError) as error:
                why = (str(error) or type(error).__name__).splitlines()[0]
                log.warning("evidence is not sealed; trying again", error=why)
                self._duty.tell(why)
                self._stopping.wait(5.0)
            except Exception as error:
                log.exception("evidence is not sealed; trying again")
                self._duty.tell(type(error).__name__)
                self._stopping.wait(5.0)
            if sealer is None or not sealer.behind:
                self._stopping.wait(EVERY_S)

    def ready(self) -> bool:
        return True

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
