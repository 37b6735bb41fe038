"""Packages as folders, zips and tars. Reading trusts neither names nor sizes nor links; nothing is unpacked."""

import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from hoaban.evidence.verify import Problem

MOST_FILES = 200
MOST_BYTES = 512 * 2**20
"""of one file, unpacked: a package is stills and a clip of under a minute"""
EPOCH = (1980, 1, 1, 0, 0, 0)


class NotAPackageError(ValueError):
    """The path holds nothing that could be a package."""


Reader = Callable[[], bytes]


class Files:
    """A package whose files are read when asked for. `names` are plain file names; all else is an oddity."""

    def __init__(self) -> None:
        self.oddities: list[Problem] = []
        self._readers: dict[str, Reader] = {}

    @property
    def names(self) -> Iterable[str]:
        return self._readers.keys()

    def read(self, name: str) -> bytes:
        """Raises OSError, ValueError."""
        data = self._readers[name]()
        if len(data) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES // 2**20} MiB; no file of a package is")
        return data

    def odd(self, code: str, name: str, message: str) -> None:
        self.oddities.append(Problem(code, name, message))

    def add(self, name: str, reader: Reader) -> None:
        if name in self._readers:
            self.odd("duplicate", name, "the archive has two files of this name")
        elif len(self._readers) >= MOST_FILES:
            raise NotAPackageError(f"more than {MOST_FILES} files; a package has a handful")
        else:
            self._readers[name] = reader

    def add_members(self, members: Sequence[tuple[str, Reader]]) -> None:
        """Those of an archive: they lie at its top, or all in one folder."""
        tops = {name.partition("/")[0] for name, _ in members}
        within = len(tops) == 1 and all("/" in name for name, _ in members)
        top = tops.pop() if within else ""
        for name, reader in members:
            plain = name[len(top) + 1 :] if within else name
            # An extractor may write such a member outside the folder that it was told to.
            if top in ("..", ".") or plain in ("", ".", "..") or set(plain) & {"/", "\\", "\0"} or (within and not top):
                self.odd("path", name, "its name leads elsewhere than into the package")
            else:
                self.add(plain, reader)


def folder(path: Path) -> Files:
    """A package in a folder."""
    files = Files()
    for entry in sorted(os.scandir(path), key=lambda one: one.name):
        if entry.is_symlink():
            files.odd("link", entry.name, "it is a symbolic link")
        elif entry.is_dir():
            files.odd("added", entry.name, "a package has no folders in it")
        elif not entry.is_file(follow_symlinks=False):
            files.odd("added", entry.name, "it is no file")
        else:
            files.add(entry.name, partial(_read_plain, entry.path))
    return files


def _read_plain(path: str) -> bytes:
    # Opened without following a link: it may have become one since it was listed.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(MOST_BYTES + 1)


def zipped(source: Path | io.BytesIO) -> Files:
    """A package in a zip. Raises NotAPackageError when it cannot be read as one."""
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise NotAPackageError(f"no readable zip: {error}") from None
    files = Files()
    members = []
    _look_between(source, archive, files)
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            files.odd("link", info.filename, "it is a symbolic link")
        elif info.is_dir():
            if info.file_size or info.compress_size or ".." in info.filename or info.filename.startswith("/"):
                files.odd("path", info.filename, "a folder that holds bytes, or leads elsewhere than into the package")
        elif kind not in (0, stat.S_IFREG):
            files.odd("added", info.filename, "it is no file")
        elif info.flag_bits & 0x1:
            files.odd("unreadable", info.filename, "it is encrypted")
        elif info.orig_filename != info.filename or UNICODE_NAME in _extras(info.extra):
            files.odd("path", info.filename, "its name has bytes that readers take differently")
        else:
            members.append((info.filename, partial(_read_zipped, archive, info)))
    files.add_members(members)
    return files


END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")
UNICODE_NAME = 0x7075
"""of an extra field that gives a member another name, to readers that look"""


def _look_between(source: Path | io.BytesIO, archive: zipfile.ZipFile, files: Files) -> None:
    """Every byte belongs to a member or to the list of members: what a reader of this kind passes over, another may
    take for the package. Members are told alike in both places where a zip tells of them."""
    data = source.getvalue() if isinstance(source, io.BytesIO) else None
    with io.BytesIO(data) if data is not None else open(source, "rb") as file:  # type: ignore[arg-type]
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END.size))
        tail = file.read(END.size)
        sign, *_, listed, begins, comment = END.unpack(tail) if len(tail) == END.size else (b"", 0, 0, 0)
        if archive.comment or comment or any(info.comment for info in archive.infolist()):
            files.odd("comment", "", "the zip has comments; no package has")
        if sign != b"PK\5\6" or begins + listed + END.size != size:
            files.odd("trailing", "", "the zip has bytes behind its end, or before its list of members")
            return
        at = 0
        for info in sorted(archive.infolist(), key=lambda one: one.header_offset):
            file.seek(info.header_offset)
            header = file.read(LOCAL.size)
            if info.header_offset != at or len(header) != LOCAL.size:
                files.odd("trailing", info.filename, "there are bytes between the members, or two share some")
                return
            _, _, flags, method, _, _, crc, packed, whole, name, extra = LOCAL.unpack(header)
            later = bool(flags & 0x8)  # sizes come behind the bytes
            told, known = (crc, packed, whole), (info.CRC, info.compress_size, info.file_size)
            same = told == known or (later and told == (0, 0, 0))
            if not same or flags != info.flag_bits or method != info.compress_type:
                files.odd("header", info.filename, "it is told in two ways")
            at += LOCAL.size + name + extra + info.compress_size
            if later:
                file.seek(at)
                at += 16 if file.read(4) == b"PK\7\x08" else 12
        if at != begins:
            files.odd("trailing", "", "there are bytes between the members and the list of them")


def _extras(data: bytes) -> set[int]:
    """The kinds of extra fields of a member."""
    found = set()
    while len(data) >= 4:
        kind, length = struct.unpack_from("<HH", data)
        found.add(kind)
        data = data[4 + length :]
    return found


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            return file.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def tarred(source: Path) -> Files:
    """A package in a tar, compressed or not. Raises NotAPackageError when it cannot be read as one."""
    files = Files()
    members = []
    try:
        archive = tarfile.open(source)  # noqa: SIM115 - it is read from as long as the package is
        infos = archive.getmembers()
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise NotAPackageError(f"no readable tar: {error}") from None
    for info in infos:
        if info.issym() or info.islnk():
            files.odd("link", info.name, "it is a link")
        elif info.isdir():
            continue
        elif not info.isreg():
            files.odd("added", info.name, "it is no file")
        else:
            members.append((info.name, partial(_read_tarred, archive, info)))
    files.add_members(members)
    return files


def _read_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    try:
        file = archive.extractfile(info)
        return b"" if file is None else file.read(MOST_BYTES + 1)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def open_package(path: Path) -> Files:
    """The package at a path. Raises NotAPackageError, OSError."""
    if path.is_dir():
        return folder(path)
    with path.open("rb") as file:
        start = file.read(4)
    # By its name too: a zip whose first bytes were changed is a broken package, not something else.
    if start[:2] == b"PK" or path.suffix == ".zip":
        return zipped(path)
    if ".tar" in path.suffixes or path.suffix == ".tgz" or tarfile.is_tarfile(path):
        return tarred(path)
    raise NotAPackageError("neither a folder nor a zip nor a tar")


def to_zip(top: str, files: Mapping[str, bytes]) -> bytes:
    """A zip of the files, all in one folder; the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(f"{top}/{name}", EPOCH)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return out.getvalue()


def to_tar(top: str, files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar of the files, all in one folder; the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
