"""Whether a package is what was signed: nothing changed, nothing gone, nothing added. No key of ours is needed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hoaban.evidence import manifest as m
from hoaban.evidence.manifest import Entry, Manifest, ManifestError
from hoaban.evidence.signing import Trusted
from hoaban.evidence.stamps import Stamp, StampError, read

SHOWN: tuple[str, ...] = (
    *("kind", "id", "key", "sealed", "exported", "redacted", "decision", "evidential", "not_evidential_because"),
    *("missing", "erased_at", "rule", "by", "basis", "erased"),
)
"""what of a manifest a verification tells"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. code: for programs."""

    code: str
    file: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "file": self.file, "message": self.message}


class Package(Protocol):
    """A package as it lies there. `oddities`: what no honest package has (links, two files of one name, …)."""

    @property
    def names(self) -> Iterable[str]: ...
    @property
    def oddities(self) -> Sequence[Problem]: ...
    def read(self, name: str) -> bytes:
        """Raises OSError, ValueError when the file cannot be read."""
        ...


@dataclass(slots=True)
class Verification:
    """What was found. `ok`: whole, and signed by a key that is trusted."""

    problems: list[Problem] = field(default_factory=list)
    manifest: Manifest | None = None
    stamp: Stamp | None = None
    erased: list[str] = field(default_factory=list)
    """files that are gone by a signed record of their erasure"""

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        body: Mapping[str, Any] = self.manifest.body if self.manifest else {}
        return {
            "ok": self.ok,
            "problems": [problem.as_dict() for problem in self.problems],
            "manifest": {name: body[name] for name in SHOWN if name in body},
            "files": {name: entry.as_dict() for name, entry in (self.manifest.files if self.manifest else {}).items()},
            "erased_files": self.erased,
            "timestamp": None
            if self.stamp is None
            else {
                "time": self.stamp.time.isoformat(),
                "policy": self.stamp.policy,
                "serial": self.stamp.serial,
                "checked": self.stamp.checked,
            },
        }


def verify(package: Package, trusted: Trusted, roots: Sequence[bytes] = ()) -> Verification:
    """Look at all of a package. roots: certificates of timestamp authorities, PEM. Raises nothing for a bad package."""
    found = Verification()
    found.problems += package.oddities
    names = set(package.names)
    contents = _Contents(package, found.problems)
    data = contents.get(m.MANIFEST)
    if data is None:
        if m.MANIFEST not in names:
            found.problems.append(Problem("missing", m.MANIFEST, "there is no manifest: the package is not whole"))
        return found
    found.manifest = _signed(m.MANIFEST, data, contents.get(m.SIGNATURE), trusted, found.problems)
    if found.manifest is not None:
        erased = _erased(found.manifest, contents, trusted, found.problems)
        found.erased = sorted(erased.keys() - names)
        for name in sorted(erased.keys() & names):
            found.problems.append(Problem("erased", name, f"{m.ERASED} says that it is erased, and it is there"))
        _files(found.manifest, names, contents, erased, found.problems)
        stamped, named = found.manifest, dict(zip(m.ORIGINAL, m.ORIGINAL, strict=True))
        if found.manifest.kind == m.EXPORT:
            original = _original(found.manifest, contents, trusted, found.problems)
            stamped, named = original or stamped, m.ORIGINAL
        found.stamp = _stamp(stamped, named, contents, trusted, roots, found.problems)
    return found


class _Contents:
    """Files of the package; one that cannot be read is a problem once."""

    def __init__(self, package: Package, problems: list[Problem]) -> None:
        self._package, self._problems = package, problems
        self._names = set(package.names)

    def get(self, name: str) -> bytes | None:
        if name not in self._names:
            return None
        try:
            return self._package.read(name)
        except (OSError, ValueError) as error:
            self._problems.append(Problem("unreadable", name, str(error) or type(error).__name__))
            self._names.discard(name)
            return None


def _signed(
    name: str, data: bytes, signature: bytes | None, trusted: Trusted, problems: list[Problem]
) -> Manifest | None:
    """The manifest in data. Its signature is looked at first, and what is wrong with either is told."""
    try:
        manifest = m.parse(data)
    except ManifestError as error:
        problems.append(Problem("manifest", name, f"it is no manifest: {error}"))
        return None
    if signature is None:
        problems.append(Problem("unsigned", name, "its signature is missing"))
    elif manifest.key not in trusted.ids:
        known = ", ".join(sorted(trusted.ids)) or "none"
        problems.append(Problem("key", name, f"signed with the key {manifest.key}, which is not trusted ({known})"))
    elif not trusted.signed(manifest.key, signature, data):
        problems.append(Problem("signature", name, "the signature is not over these bytes"))
    return manifest


def _erased(manifest: Manifest, contents: _Contents, trusted: Trusted, problems: list[Problem]) -> dict[str, str]:
    """name -> sha256 of files that may be missing: a record in the package, signed as the package is, says so."""
    data, signature = contents.get(m.ERASED), contents.get(m.ERASED_SIGNATURE)
    if data is None:
        if signature is not None:
            problems.append(Problem("missing", m.ERASED, f"{m.ERASED_SIGNATURE} is there without it"))
        return {}
    before = len(problems)
    record = _signed(m.ERASED, data, signature, trusted, problems)
    if record is None or record.kind != m.ERASURE or len(problems) > before:
        if len(problems) == before:
            problems.append(Problem("manifest", m.ERASED, "it is no record of an erasure"))
        return {}
    things = [one for one in record.body.get("erased", []) if isinstance(one, dict) and one.get("what") == "file"]
    ours = {str(one.get("name")): str(one.get("sha256")) for one in things if one.get("id") == manifest.id}
    if not ours:
        problems.append(Problem("added", m.ERASED, "it is the record of another erasure: of no file of this package"))
    return ours


def _files(
    manifest: Manifest, names: set[str], contents: _Contents, erased: Mapping[str, str], problems: list[Problem]
) -> None:
    for name, entry in sorted(manifest.files.items()):
        if name not in names and erased.get(name) == entry.sha256:
            continue
        if name not in names:
            problems.append(Problem("missing", name, "the manifest lists it and it is not there"))
        elif (data := contents.get(name)) is not None and (got := Entry.of(data)) != entry:
            same = next((other for other, known in manifest.files.items() if known == got), None)
            why = (
                f"it is {same}" if same else f"it has {got.size} bytes, sha256 {got.sha256}; signed was {entry.sha256}"
            )
            problems.append(Problem("changed", name, why))
    for name in sorted(names - manifest.files.keys() - m.ABOUT):
        problems.append(Problem("added", name, "the manifest does not list it"))


def _original(manifest: Manifest, contents: _Contents, trusted: Trusted, problems: list[Problem]) -> Manifest | None:
    """An export carries the manifest of what it was made from, with its signature: that manifest."""
    name = m.ORIGINAL[m.MANIFEST]
    data = contents.get(name)
    if data is None:
        problems.append(Problem("missing", name, "an export carries the manifest that it was made from"))
        return None
    told = manifest.body.get("original")
    if not isinstance(told, dict) or told.get("manifest_sha256") != m.digest(data):
        problems.append(Problem("changed", name, "it is not the manifest that the export was made from"))
    original = _signed(name, data, contents.get(m.ORIGINAL[m.SIGNATURE]), trusted, problems)
    if original is not None and original.id != manifest.id:
        problems.append(Problem("changed", name, f"it belongs to {original.id}"))
    return original


def _stamp(
    manifest: Manifest,
    named: Mapping[str, str],
    contents: _Contents,
    trusted: Trusted,
    roots: Sequence[bytes],
    problems: list[Problem],
) -> Stamp | None:
    """named: under which names the files that speak of the stamped package lie here."""
    stamp, signature = contents.get(named[m.STAMP]), contents.get(named[m.STAMP_SIGNATURE])
    if stamp is None:
        if signature is not None:
            problems.append(Problem("missing", named[m.STAMP], f"{named[m.STAMP_SIGNATURE]} is there without it"))
        elif manifest.body.get("timestamp") == "wanted":
            why = "a timestamp was wanted and is not there: not had yet, or taken away"
            problems.append(Problem("unstamped", named[m.STAMP], why))
        return None
    # Parts of an authority's answer are under no signature of its own; ours covers every byte.
    if signature is None or not trusted.signed(manifest.key, signature, stamp):
        problems.append(Problem("signature", named[m.STAMP], "it was changed since it was taken in, or never was"))
    try:
        return read(stamp, contents.get(named[m.SIGNATURE]) or b"", roots)
    except StampError as error:
        problems.append(Problem("timestamp", named[m.STAMP], f"the timestamp does not hold: {error}"))
        return None
