"""The chain of audit records: each one's digest covers the digest before it, so no record can be changed alone."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import rfc8785

START = "0" * 64
"""the digest before the first record"""
PRUNED = "audit.prune"
"""of the record that the oldest were taken out, their term being over: `through` and `digest` of the last of them"""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to what, why, and how it ended.

    seq: 1, 2, 3, … without gaps. at_s: seconds since 1970, UTC. outcome: done, refused, or of a change:
    begun, and then done or failed.
    """

    seq: int
    at_s: float
    who_id: str
    who_name: str
    action: str
    subject: str
    camera: str | None
    reason: str | None
    outcome: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    previous: str = START
    digest: str = ""

    def sealed(self, previous: str) -> "AuditRecord":
        """The same record with its place in the chain."""
        fields = asdict(self) | {"previous": previous}
        return AuditRecord(**fields | {"digest": link(previous, fields)})


def link(previous: str, fields: Mapping[str, Any]) -> str:
    """sha256 (hex) over the digest before and the record's fields but its own digest, as canonical JSON (RFC 8785).

    Raises rfc8785.CanonicalizationError for what JSON cannot say exactly.
    """
    content = {name: value for name, value in fields.items() if name not in ("digest", "previous")}
    return hashlib.sha256(rfc8785.dumps({"previous": previous, "record": content})).hexdigest()


def broken(
    records: Iterable[AuditRecord],
    head: tuple[int, str] | None = None,
    after: tuple[int, str] = (0, START),
    vouched: Collection[tuple[int, str]] = (),
) -> list[str]:
    """All that is wrong with a whole chain, or with what follows the record `after`; in order, empty when it is sound.

    head: (seq, digest) of a record that was once the newest and is kept elsewhere. Without one, records missing at the
    end, and a chain that was written anew from some record on, cannot be told. A whole chain may begin behind a cut:
    then one of its records tells of just that cut, and so does a signed record of an erasure. vouched: (seq, digest) of
    the last record taken out, of each cut that such a record names (hoaban/evidence/erasures.py).
    """
    found: list[str] = []
    (seq, previous), at_head = after, None
    cut: tuple[int, str] | None = None
    told: set[tuple[object, object]] = set()
    for record in records:
        if (seq, previous) == (0, START) and record.seq > 1:
            cut = seq, previous = record.seq - 1, record.previous
            at_head = previous if head is not None and head[0] == seq else None
        if record.action == PRUNED and record.outcome == "done":
            told.add((record.detail.get("through"), record.detail.get("digest")))
        if record.seq != seq + 1:
            found.append(f"record {record.seq} follows {seq}: records are missing, or out of order")
        if record.previous != previous:
            found.append(f"record {record.seq} does not follow the one before it: that one was changed, or one is gone")
        if _digest(record) != record.digest:
            found.append(f"record {record.seq} was changed after it was written")
        seq, previous = record.seq, record.digest
        if head is not None and record.seq == head[0]:
            at_head = record.digest
    if cut is not None and cut not in told:
        found.insert(0, f"records up to {cut[0]} are missing, and no record says that their term was over")
    elif cut is not None and cut not in vouched:
        found.insert(0, f"records up to {cut[0]} are missing, and no signed record of an erasure vouches for it")
    if head is not None and head[0] > 0 and at_head != head[1]:
        words = f"the chain ends at record {seq}" if at_head is None else "that record is another now"
        if cut is not None and head[0] < cut[0]:
            words = (
                f"records up to {cut[0]} were taken out since, so this anchor says nothing of the rest; use a newer one"
            )
        found.append(f"record {head[0]} was once the newest, by the anchor; {words}")
    return found


def _digest(record: AuditRecord) -> str | None:
    try:
        return link(record.previous, asdict(record))
    except (rfc8785.CanonicalizationError, UnicodeError):
        return None
