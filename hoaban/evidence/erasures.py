"""The chain of erasures' records: each names the one before it, so none can be changed, taken out or put in alone.

Records of before 0009_proof may name an earlier one instead: an erasure that was cut off and finished after a newer one
was named by none. Of these alone it cannot be told when they are taken out; since then each names the one before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hoaban.evidence import manifest as m
from hoaban.evidence.manifest import Manifest, ManifestError
from hoaban.evidence.signing import Trusted


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is kept. number: 1, 2, 3, … without gaps. id: of the erasure that it is kept for."""

    number: int
    id: str
    manifest: bytes
    signature: bytes


def broken(records: Iterable[Record], trusted: Trusted, head: str | None = None) -> list[str]:
    """All that is wrong with the chain, in its order; empty when it is sound.

    head: the sha256 of a record that was once the newest and is kept elsewhere. Without one, records missing at the end
    cannot be told.
    """
    found: list[str] = []
    last, before = 0, set[str | None]()
    for record in records:
        name = f"record {record.number}"
        if record.number != last + 1:
            found.append(f"{name} follows {last}: records are missing, or out of order")
        manifest = _read(record.manifest)
        if manifest is None:
            found.append(f"{name} is no record of an erasure")
        else:
            if not trusted.signed(manifest.key, record.signature, record.manifest):
                found.append(f"{name} was changed after it was signed, or signed with a key that is not trusted")
            if manifest.id != record.id:
                found.append(f"{name} is of erasure {manifest.id} and kept for {record.id}")
            if manifest.body.get("previous") not in (before or {None}):
                found.append(f"{name} does not follow the one before it: that one was changed, or one is gone")
        last = record.number
        before.add(m.digest(record.manifest))
    if head is not None and head not in before:
        found.append(f"the record {head} was once the newest and is gone: records are missing at the end")
    return found


def audit_cuts(records: Iterable[Record], trusted: Trusted) -> set[tuple[int, str]]:
    """Which cuts of the audit chain signed records tell of: (seq, digest) of the last audit record taken out."""
    found: set[tuple[int, str]] = set()
    for record in records:
        manifest = _read(record.manifest)
        if manifest is None or not trusted.signed(manifest.key, record.signature, record.manifest):
            continue
        for one in manifest.body.get("erased", ()):
            if one.get("what") == "audit":
                found.add((one.get("through"), one.get("digest")))
    return found


def vouched(
    record: Record, plan: Sequence[Mapping[str, Any]], rule: str, basis: str, by: str, trusted: Trusted
) -> bool:
    """Whether the key's holder signed just this: what goes (plan), by which rule, on which basis, by whom."""
    manifest = _read(record.manifest)
    if manifest is None or not trusted.signed(manifest.key, record.signature, record.manifest):
        return False
    told = {"id": record.id, "erased": list(plan), "rule": rule, "basis": basis, "by": by}
    return all(manifest.body.get(name) == value for name, value in told.items())


def _read(data: bytes) -> Manifest | None:
    try:
        manifest = m.parse(data)
    except ManifestError:
        return None
    return manifest if manifest.kind == m.ERASURE else None
