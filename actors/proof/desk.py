"""What an officer's desk does with packages: shows their redacted pictures, and makes what leaves."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from actors.proof.files import REDACTED, REDACTION, PackageFiles
from actors.proof.keys import Keys
from actors.store.evidence import CaseRow, Decision, Who
from hoaban.events import format_time, utc
from hoaban.evidence import manifest as m
from hoaban.evidence.review import RefusedError, check_export
from hoaban.evidence.verify import Problem, verify

SHOWN = ("before.jpg", "at.jpg", "past.jpg", "plate.jpg", "clip.mp4")
"""files of a package that have pictures"""


class NotReadyError(Exception):
    """The redacted pictures are not made yet."""


class Desk:
    """Packages, as far as people see them. Raises OSError when storage is away."""

    def __init__(self, files: PackageFiles, keys: Keys) -> None:
        self.files, self.keys = files, keys

    def manifest(self, case: CaseRow) -> dict[str, Any]:
        return json.loads(self.files.read(case.id, m.MANIFEST))

    def shown(self, case: CaseRow) -> list[str]:
        """Names of the redacted pictures there are."""
        return sorted(self._redaction(case)["files"])

    def redacted(self, case: CaseRow, name: str) -> bytes:
        """A picture with others hidden. Raises FileNotFoundError, NotReadyError, RefusedError."""
        entry = self._redaction(case)["files"].get(name)
        if entry is None:
            raise FileNotFoundError(name)
        data = self.files.read(f"{REDACTED}/{case.id}", name)
        if m.Entry.of(data).as_dict() != entry:
            raise RefusedError(f"{name} is not what was redacted")
        return data

    def original(self, case: CaseRow, name: str) -> bytes:
        """A picture as it was recorded, unblurred. Raises FileNotFoundError."""
        if name not in SHOWN or not self.files.has(case.id, name):
            raise FileNotFoundError(name)
        return self.files.read(case.id, name)

    def export(
        self, case: CaseRow, decisions: list[Decision], by: Who, reason: str, *, seen_version: int, unblurred: bool
    ) -> dict[str, bytes]:
        """The files of an export. seen_version: of the case, as who asks saw it.

        Raises RefusedError unless that is confirmed and its package is what was signed.
        """
        check_export(case.state, case.version, seen_version)
        told_by = next((one for one in decisions if one.version == seen_version), None)
        if told_by is None:
            raise RefusedError("the decision that it rests on is not on record")
        kept = self.files.read_all(case.id)
        found = verify(_Held(kept), self.keys.trusted())
        if not found.ok or found.manifest is None or m.digest(kept[m.MANIFEST]) != case.manifest_sha256:
            why = (
                "; ".join(f"{p.file}: {p.message}" for p in found.problems)
                or "its manifest is another than the store's"
            )
            raise RefusedError(f"the package is not what was sealed, so it does not leave: {why}")
        if unblurred:
            files, how = {name: data for name, data in kept.items() if name not in m.ABOUT}, None
        else:
            told = self._redaction(case)
            files, how = {name: self.redacted(case, name) for name in told["files"]}, str(told["how"])
        files |= {there: kept[name] for name, there in m.ORIGINAL.items() if name in kept}
        signer = self.keys.signer()
        decision = asdict(told_by)
        told_of = {"verdict": decision["verdict"], "reason": decision["reason"], "by": decision["by_name"]}
        manifest = m.canonical(
            m.of_export(
                found.manifest,
                kept[m.MANIFEST],
                files,
                key=signer.id,
                made=format_time(utc(time.time())),
                redacted=how,
                decision=told_of | {"at": format_time(utc(decision["at_s"])), "version": decision["version"]},
                by=by.name,
                reason=reason,
            )
        )
        return files | {m.MANIFEST: manifest, m.SIGNATURE: signer.sign(manifest)}

    def _redaction(self, case: CaseRow) -> dict[str, Any]:
        try:
            return json.loads(self.files.read(f"{REDACTED}/{case.id}", REDACTION))
        except FileNotFoundError:
            raise NotReadyError from None


class _Held:
    """A package that was read from its store."""

    oddities: tuple[Problem, ...] = ()

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def read(self, name: str) -> bytes:
        return self._files[name]
