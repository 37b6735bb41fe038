"""Pictures in which a candidate and the model that counts did not agree, for those who correct labels.

A folder, or a URL that fsspec knows, beside that of the evidence: a folder for each candidate in it, and of each
picture a JPEG with faces and plates hidden and a JSON file, which comes last and makes it whole.
"""

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
import structlog

log = structlog.get_logger(__name__)

SUFFIX = "-disagreements"
KEPT_EACH = 50
"""of one camera and candidate, what a legal hold keeps left out"""
NAME = re.compile(r"^(\d{15})\.([a-z0-9][a-z0-9_-]{0,62})\.([0-9a-f]{8})$")
MODEL = re.compile(r"^[a-z0-9][a-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """A picture that is kept. id: begins with the capture time, so that names sort by it."""

    id: str
    model: str
    nbytes: int = 0

    @property
    def captured_s(self) -> float:
        return int(self.id[:15]) / 1000

    @property
    def camera(self) -> str:
        return self.id.split(".")[1]


def folder_beside(evidence_url: str) -> str:
    """Where disagreements lie in a system whose evidence lies there. Beside a whole bucket is another one, of somebody
    else perhaps: then it is a folder in it that no package has the name of."""
    root = evidence_url.rstrip("/")
    scheme, _, path = root.rpartition("://")
    return f"{root}/.{SUFFIX[1:]}" if scheme and "/" not in path else root + SUFFIX


def name_of(camera: str, captured_s: float, model: str) -> str:
    """The id of a picture: the same for the same frame and candidate."""
    digest = hashlib.sha256(f"{model} {camera} {captured_s:.6f}".encode()).hexdigest()
    return f"{round(captured_s * 1000):015d}.{camera}.{digest[:8]}"


class Disagreements:
    """The folder. Raises OSError (of a remote one: what its library raises) where it cannot be read or written."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def put(self, model: str, id: str, jpeg: bytes, record: dict[str, Any]) -> None:
        """Keep a picture and what is known of it. model: the candidate, NAME@VERSION."""
        self._fs.makedirs(f"{self._root}/{model}", exist_ok=True)
        self._fs.pipe_file(f"{self._root}/{model}/{id}.jpg", jpeg)
        self._fs.pipe_file(f"{self._root}/{model}/{id}.json", json.dumps(record, ensure_ascii=False).encode())

    def kept(self, model: str | None = None, *, halves: bool = False) -> list[Kept]:
        """Those that are whole, the newest first; of one candidate, or of all. halves: also pictures whose JSON file a
        killed process did not write any more, or which it did not remove any more."""
        found = [one for name in ([model] if model else self._models()) for one in self._of(name, halves)]
        return sorted(found, reverse=True)

    def find(self, id: str) -> Kept | None:
        """The one with an id, or None."""
        if not NAME.match(id):
            return None
        return next((one for name in self._models() for one in self._of(name) if one.id == id), None)

    def record(self, one: Kept) -> dict[str, Any] | None:
        """What is known of it; None when it went meanwhile."""
        data = self._read(one, "json")
        return None if data is None else dict(json.loads(data))

    def picture(self, one: Kept) -> bytes | None:
        """Its JPEG; None when it went meanwhile."""
        return self._read(one, "jpg")

    def remove(self, one: Kept) -> None:
        """What makes it whole goes first."""
        for suffix in ("json", "jpg"):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._root}/{one.model}/{one.id}.{suffix}")

    def remove_id(self, id: str) -> None:
        """Remove the one with an id, of whichever candidate, without a look at what else is kept."""
        if NAME.match(id):
            for model in self._models():
                self.remove(Kept(id, model))

    def sweep(self, over: Callable[[Kept], bool], held: Callable[[Kept], bool], most_bytes: int) -> int:
        """Remove those that are over, and the oldest of what is more than most_bytes, or more than KEPT_EACH; how many
        went. Halves too.

        held: kept by a legal hold, whatever else says.
        """
        gone, room = 0, most_bytes
        each: Counter[tuple[str, str]] = Counter()
        for one in self.kept(halves=True):
            if held(one):
                continue
            room -= one.nbytes
            each[one.model, one.camera] += 1
            if over(one) or room < 0 or each[one.model, one.camera] > KEPT_EACH:
                self.remove(one)
                gone += 1
        return gone

    def _models(self) -> Collection[str]:
        if not self._fs.exists(self._root):
            return ()
        self._fs.invalidate_cache()
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False))
        return sorted(name for name in names if MODEL.match(name))

    def _of(self, model: str, halves: bool = False) -> Iterator[Kept]:
        if not MODEL.match(model):
            return
        try:
            entries = self._fs.ls(f"{self._root}/{model}", detail=True)
        except FileNotFoundError:
            return
        sizes = {entry["name"].rsplit("/", 1)[-1]: int(entry.get("size") or 0) for entry in entries}
        for id in {name.rpartition(".")[0] for name in sizes if name.endswith((".json", ".jpg"))}:
            if NAME.match(id) and (halves or f"{id}.json" in sizes):
                yield Kept(id, model, sizes.get(f"{id}.json", 0) + sizes.get(f"{id}.jpg", 0))

    def _read(self, one: Kept, suffix: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{one.model}/{one.id}.{suffix}"))
        except FileNotFoundError:
            return None
