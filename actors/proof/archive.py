"""Packages as folders, zips and tars. Reading trusts nothing: neither names nor sizes nor links; nothing is unpacked."""

import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from hoaban.evidence.verify import Problem

MOST_FILES = 200
MOST_BYTES = 512 * 2**20
"""of one file, unpacked: a package is stills and a clip of under a minute"""
EPOCH = (1980, 1, 1, 0, 0, 0)


class NotAPackageError(ValueError):
    """The path holds nothing that could be a package."""


class Files:
    """A package whose files are read when asked for. `names` are plain file names; all else is an oddity."""

    def __init__(self) -> None:
        self.oddities: list[Problem] = []
        self._where: dict[str, object] = {}

    @property
    def names(self) -> Iterable[str]:
        return self._where.keys()

    def read(self, name: str) -> bytes:
        raise NotImplementedError

    def odd(self, code: str, name: str, message: str) -> None:
        self.oddities.append(Problem(code, name, message))

    def _add(self, name: str, where: object) -> None:
        if name in self._where:
            self.odd("duplicate", name, "the archive has two files of this name")
        elif len(self._where) >= MOST_FILES:
            raise NotAPackageError(f"more than {MOST_FILES} files; a package has a handful")
        else:
            self._where[name] = where


class Folder(Files):
    """A package in a folder."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        for entry in sorted(os.scandir(path), key=lambda one: one.name):
            if entry.is_symlink():
                self.odd("link", entry.name, "it is a symbolic link")
            elif entry.is_dir():
                self.odd("added", entry.name, "a package has no folders in it")
            elif not entry.is_file(follow_symlinks=False):
                self.odd("added", entry.name, "it is no file")
            else:
                self._add(entry.name, Path(entry.path))

    def read(self, name: str) -> bytes:
        # Opened without following a link: it may have become one since it was listed.
        with os.fdopen(os.open(str(self._where[name]), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return _limited(file.read(MOST_BYTES + 1))


class _Archive(Files):
    """Members lie at the top, or all in one folder."""

    def _take(self, members: Sequence[tuple[str, object]]) -> None:
        tops = {PurePosixPath(name).parts[0] for name, _ in members if "/" in name and not name.startswith("/")}
        within = all(name.startswith(f"{top}/") for top in tops for name, _ in members) and len(tops) == 1
        top = next(iter(tops)) if within else ""
        for name, where in members:
            plain = name[len(top) + 1 :] if top else name
            # An extractor may write such a member outside the folder that it was told to.
            if top in ("..", ".") or not plain or "/" in plain or "\\" in plain or plain in (".", "..") or "\0" in plain:
                self.odd("path", name, "its name leads elsewhere than into the package")
            else:
                self._add(plain, where)


class Zip(_Archive):
    """A package in a zip. Raises NotAPackageError when it cannot be read as one."""

    def __init__(self, source: Path | io.BytesIO) -> None:
        super().__init__()
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
            raise NotAPackageError(f"no readable zip: {error}") from None
        members = []
        for info in self._zip.infolist():
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                self.odd("link", info.filename, "it is a symbolic link")
            elif info.is_dir():
                continue
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                self.odd("added", info.filename, "it is no file")
            elif info.flag_bits & 0x1:
                self.odd("unreadable", info.filename, "it is encrypted")
            elif info.orig_filename != info.filename:
                self.odd("path", info.filename, "its name has bytes that readers take differently")
            else:
                members.append((info.filename, info))
        self._take(members)

    def read(self, name: str) -> bytes:
        info = self._where[name]
        assert isinstance(info, zipfile.ZipInfo)
        try:
            with self._zip.open(info) as file:
                return _limited(file.read(MOST_BYTES + 1))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(str(error)) from None


class Tar(_Archive):
    """A package in a tar, compressed or not. Raises NotAPackageError when it cannot be read as one."""

    def __init__(self, source: Path) -> None:
        super().__init__()
        try:
            self._tar = tarfile.open(source)
            infos = self._tar.getmembers()
        except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
            raise NotAPackageError(f"no readable tar: {error}") from None
        members: list[tuple[str, object]] = []
        for info in infos:
            if info.issym() or info.islnk():
                self.odd("link", info.name, "it is a link")
            elif info.isdir():
                continue
            elif not info.isreg():
                self.odd("added", info.name, "it is no file")
            else:
                members.append((info.name, info))
        self._take(members)

    def read(self, name: str) -> bytes:
        info = self._where[name]
        assert isinstance(info, tarfile.TarInfo)
        try:
            file = self._tar.extractfile(info)
            assert file is not None
            return _limited(file.read(MOST_BYTES + 1))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(str(error)) from None


def open_package(path: Path) -> Files:
    """The package at a path. Raises NotAPackageError, OSError."""
    if path.is_dir():
        return Folder(path)
    with path.open("rb") as file:
        start = file.read(4)
    # By its name too: a zip whose first bytes were changed is a broken package, not something else.
    if start[:2] == b"PK" or path.suffix == ".zip":
        return Zip(path)
    if ".tar" in path.suffixes or path.suffix == ".tgz" or tarfile.is_tarfile(path):
        return Tar(path)
    raise NotAPackageError("neither a folder nor a zip nor a tar")


def to_zip(folder: str, files: Mapping[str, bytes]) -> bytes:
    """A zip of the files, all in one folder; the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(f"{folder}/{name}", EPOCH)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return out.getvalue()


def to_tar(folder: str, files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar of the files, all in one folder; the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _limited(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES // 2**20} MiB; no file of a package is")
    return data
