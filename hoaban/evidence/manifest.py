"""The manifest of a package: what it holds, where that came from, and the exact bytes that are signed.

A manifest is one JSON object in canonical form (RFC 8785). Its `kind` says what it speaks of, so that a signature under
one can never be read as a signature under another.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

EVIDENCE, EXPORT, ERASURE = "hoaban.evidence", "hoaban.evidence.export", "hoaban.erasure"
KINDS = (EVIDENCE, EXPORT, ERASURE)
VERSION = 1

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
STAMP, STAMP_SIGNATURE = "timestamp.tsr", "timestamp.sig"
ERASED, ERASED_SIGNATURE = "erased.json", "erased.sig"
"""of a package whose clip had a shorter term: the record of the clip's erasure"""
CLIP = "clip.mp4"
ABOUT = frozenset({MANIFEST, SIGNATURE, STAMP, STAMP_SIGNATURE, ERASED, ERASED_SIGNATURE})
"""files that speak of the package and are not listed in its manifest"""
CANDIDATE = "candidate.json"
ORIGINAL = {name: f"original-{name}" for name in sorted(ABOUT)}
"""under which names an export carries what speaks of the package that it was made from"""

PROVENANCE = ("model", "config", "code", "calibration", "simulated")


class ManifestError(ValueError):
    """The bytes are no manifest; the message says why."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a package."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> "Entry":
        return cls(digest(data), len(data))

    def as_dict(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "bytes": self.size}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read. body: all of it, as it was written."""

    kind: str
    id: str
    key: str
    files: Mapping[str, Entry]
    body: Mapping[str, Any]


def canonical(body: Mapping[str, Any]) -> bytes:
    """The bytes that are signed. Raises ManifestError for what RFC 8785 cannot write (integers beyond 2^53, NaN)."""
    try:
        return rfc8785.dumps(dict(body))
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise ManifestError(f"not to be written as canonical JSON: {error}") from None


def of_candidate(
    candidate: Mapping[str, Any], files: Mapping[str, bytes], *, key: str, sealed: str, stamp_wanted: bool
) -> dict[str, Any]:
    """The manifest of a candidate with these files (candidate.json among them), before it is signed.

    sealed: RFC 3339. Raises ManifestError where a file is not what the candidate says it was when it was recorded.
    """
    try:
        event, recorded = candidate["event"], candidate["files"]
        data = event["data"]
        body = {
            "kind": EVIDENCE,
            "version": VERSION,
            "id": event["id"],
            "key": key,
            "sealed": sealed,
            "timestamp": "wanted" if stamp_wanted else "none",
            "event": event,
            "provenance": {name: data.get(name) for name in PROVENANCE},
            "frames": candidate["frames"],
            "clip": candidate["clip"],
            "clock": candidate.get("clock"),
            "plate": candidate["plate"],
            "seconds_into_red": data.get("seconds_into_red"),
            "yellow_s": data.get("yellow_s"),
            "evidential": data["evidential"],
            "not_evidential_because": data.get("not_evidential_because", []),
            "missing": candidate["missing"],
            "files": {name: Entry.of(content).as_dict() for name, content in sorted(files.items())},
        }
        changed = [
            name
            for name, known in recorded.items()
            if name not in files or Entry.of(files[name]) != Entry(known["sha256"], known["bytes"])
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"no candidate: {error!r}") from None
    if changed:
        raise ManifestError(f"changed since it was recorded: {', '.join(sorted(changed))}")
    return body


def of_export(
    original: Manifest,
    original_bytes: bytes,
    files: Mapping[str, bytes],
    *,
    key: str,
    made: str,
    redacted: str | None,
    decision: Mapping[str, Any],
    by: str,
    reason: str,
) -> dict[str, Any]:
    """The manifest of what leaves: redacted says how pixels were hidden, None where they are the camera's own."""
    kept = ("event", "provenance", "frames", "clip", "clock", "plate", "seconds_into_red", "yellow_s")
    return {
        "kind": EXPORT,
        "version": VERSION,
        "id": original.id,
        "key": key,
        "exported": made,
        "exported_by": by,
        "reason": reason,
        "redacted": redacted,
        "decision": dict(decision),
        "original": {"manifest_sha256": digest(original_bytes), "key": original.key},
        **{name: original.body.get(name) for name in kept},
        "files": {name: Entry.of(content).as_dict() for name, content in sorted(files.items())},
    }


def of_erasure(
    id: str,
    *,
    key: str,
    at: str,
    rule: str,
    by: str,
    basis: str,
    previous: str | None,
    erased: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What stays of what was erased: names and digests, never the thing itself.

    rule: the setting that says so, or "request". basis: why, in words. previous: sha256 of the record before this one.
    erased: one object a thing, or a batch of events.
    """
    return {
        "kind": ERASURE,
        "version": VERSION,
        "id": id,
        "key": key,
        "erased_at": at,
        "rule": rule,
        "by": by,
        "basis": basis,
        "previous": previous,
        "erased": [dict(one) for one in erased],
        "files": {},
    }


def parse(data: bytes) -> Manifest:
    """Raises ManifestError."""
    try:
        body = json.loads(data, object_pairs_hook=_once)
        if not isinstance(body, dict):
            raise ManifestError("a JSON object is expected")
        kind, version = body["kind"], body["version"]
        if kind not in KINDS:
            raise ManifestError(f"kind {kind!r} is not known; known are {', '.join(KINDS)}")
        if version != VERSION:
            raise ManifestError(f"version {version!r} is not known to this version of hoaban")
        files = {str(name): Entry(str(e["sha256"]), int(e["bytes"])) for name, e in body["files"].items()}
        return Manifest(kind, str(body["id"]), str(body["key"]), files, body)
    except ManifestError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ManifestError(f"{type(error).__name__}: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice could be read as either."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ManifestError("a name stands twice in one object")
    return found
