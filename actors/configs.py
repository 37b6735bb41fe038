"""Configurations of cameras by their digest: DATA/configs/DIGEST.json, so that an event leads to the one that made it.

Written as the fleet file is read, one for each edit of a camera, without the secrets of its source. They stay: an
event's term may be longer than any edit's life, and each has a few kilobytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hoaban.fleet import Camera

FOLDER = "configs"
DIGEST = re.compile(r"^[0-9a-f]{64}$")


class ConfigMissingError(Exception):
    """The configuration is not there, or not as it was; the message says why."""


class ConfigArchive:
    """The folder in a data folder. Raises OSError where it cannot be written or read."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def keep(self, cameras: Iterable[Camera]) -> int:
        """Keep those that are not there yet; how many."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = 0
        for camera in cameras:
            path = self._path(camera.digest())
            if path.exists():
                continue
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text(_canonical(camera.model_dump(mode="json", by_alias=True)), encoding="utf-8")
            part.replace(path)
            new += 1
        return new

    def has(self, digest: str) -> bool:
        return bool(DIGEST.match(digest)) and self._path(digest).is_file()

    def find(self, digest: str) -> Camera:
        """The camera's configuration. Raises ConfigMissingError."""
        if not self.has(digest):
            raise ConfigMissingError(f"configuration {digest[:12]}… is not kept in {self._folder}")
        path = self._path(digest)
        text = path.read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ConfigMissingError(f"{path}: is not what was kept: its sha256 is another; take it from a backup")
        try:
            return Camera.model_validate(json.loads(text))
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise ConfigMissingError(f"{path}: this version of Hoa Ban does not read it any more ({what})") from None

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def _canonical(document: dict[str, Any]) -> str:
    """As hoaban.fleet digests it: what is kept can be checked against its name."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
