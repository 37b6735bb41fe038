"""Packages where fsspec puts them: a folder, or an object store by its URL.

A package is whole when its last file is there; that one is written last, under another name first, and moved. Before it
all others are on the disk itself (fsync), so neither a killed process nor a power cut leaves half a package that passes
for a whole one.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import fsspec

from hoaban.evidence.manifest import CANDIDATE, MANIFEST

REDACTED = ".redacted"
REDACTION = "redaction.json"
UNDER_WAY = ".writing"
"""ends the name of a file that is being written"""


class PackageFiles:
    """Files by package and name, below one URL. Raises OSError when storage is away, FileNotFoundError among others."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        protocol = self._fs.protocol
        self._local = "file" in (protocol if isinstance(protocol, tuple | list) else (protocol,))

    def packages(self) -> list[str]:
        """Names of all folders that are, or may become, packages."""
        return self._folders("")

    def redacted(self) -> list[str]:
        """Names of all packages that have a folder of redacted pictures."""
        return self._folders(REDACTED)

    def has(self, package: str, name: str) -> bool:
        return bool(self._fs.exists(self._path(package, name)))

    def names(self, package: str) -> list[str]:
        """Files of a package, those that are being written left out; none when there is no such package."""
        folder = self._path(package)
        self._fs.invalidate_cache(folder)
        if not self._fs.exists(folder):
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(folder, detail=False))
        return sorted(name for name in names if not name.endswith(UNDER_WAY))

    def read(self, package: str, name: str) -> bytes:
        data: bytes = self._fs.cat_file(self._path(package, name))
        return data

    def read_all(self, package: str) -> dict[str, bytes]:
        return {name: self.read(package, name) for name in self.names(package)}

    def write(self, package: str, files: Mapping[str, bytes], last: str) -> None:
        """Add files to a package, `last` of them last. What was there under these names is replaced."""
        if self._local:
            folder = Path(self._path(package))
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(files.keys() - {last}):
                _write(folder / name, files[name])
            # What somebody else wrote into the folder must not come to the disk later than what vouches for it.
            for name in self.names(package):
                _sync(folder / name)
            _sync(folder)
            _write(folder / last, files[last])
            _sync(folder)
            _sync(folder.parent)
            return
        for name in sorted(files.keys() - {last}):
            self._fs.pipe_file(self._path(package, name), files[name])
        self._fs.pipe_file(self._path(package, last), files[last])

    def remove(self, package: str, last: str = MANIFEST) -> None:
        """Erase a package. What makes it whole goes first: half of it never passes for all of it."""
        for name in (last, CANDIDATE):
            self.remove_file(package, name)
        folder = self._path(package)
        while self._fs.exists(folder):
            with suppress(FileNotFoundError):  # somebody else is removing it too
                self._fs.rm(folder, recursive=True)
            self._fs.invalidate_cache(folder)

    def remove_file(self, package: str, name: str) -> None:
        """Erase one file of a package; nothing where there is none."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(package, name))

    def clean(self) -> int:
        """Remove what a killed process was writing; how many files. Nobody else may be writing."""
        found = 0
        for package in [*self._folders(""), *(f"{REDACTED}/{name}" for name in self._folders(REDACTED))]:
            for path in self._fs.ls(self._path(package), detail=False):
                if path.endswith(UNDER_WAY):
                    self._fs.rm_file(path)
                    found += 1
        return found

    def _folders(self, below: str) -> list[str]:
        folder = self._path(below) if below else self._root
        self._fs.invalidate_cache(folder)
        if not self._fs.exists(folder):
            return []
        entries = self._fs.ls(folder, detail=True)
        names = (e["name"].rstrip("/").rsplit("/", 1)[-1] for e in entries if e["type"] == "directory")
        return sorted(name for name in names if not name.startswith("."))

    def _path(self, package: str, name: str = "") -> str:
        return f"{self._root}/{package}/{name}".rstrip("/")


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + UNDER_WAY)
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
