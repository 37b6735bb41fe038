"""A copy of all that must last, made while the system runs, and put back into an empty place.

Order makes it consistent: the audit anchor first, for it must not know of a record that the copied database lacks; then
the database as of one moment; then the evidence, which is there before the database speaks of it. What was erased
between the last two steps is missing and was meant to be. Keys go into a folder of their own: whoever has both can read
and sign everything.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import sqlalchemy as sa

from actors.audit_anchor import ANCHOR, KEY, Anchor, AnchorError, vouched_cuts
from actors.configs import FOLDER as CONFIGS
from actors.erasure_log import load
from actors.promotions import FILE as PROMOTIONS
from actors.promotions import SHADOWS
from actors.proof.archive import open_package
from actors.proof.files import UNDER_WAY, PackageFiles
from actors.proof.keys import FOLDER, PUBLIC, Keys, read_public
from actors.retention import RESTORED, Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, RetentionStore
from actors.store.tables import api_tokens, sessions, watchlist_entries, watchlist_plates
from actors.watchlist.key import FILE as WATCHLIST_KEY
from hoaban import __version__
from hoaban.audit import broken
from hoaban.evidence.erasures import Record
from hoaban.evidence.erasures import broken as broken_erasures
from hoaban.evidence.manifest import MANIFEST as SEALED
from hoaban.evidence.signing import SigningKeyError, Trusted
from hoaban.evidence.verify import verify

LIST = "backup.json"
SQLITE, DUMP = "store.db", "store.pgdump"
KEYS = (KEY, WATCHLIST_KEY)


class BackupError(Exception):
    """It cannot be made or used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system keeps what lasts."""

    data: Path
    store_url: str
    evidence_url: str


@dataclass(slots=True)
class Restored:
    """What was put back, and what is wrong with it."""

    files: int
    records: int = 0
    packages: int = 0
    erased_again: int = 0
    newest_erasure: int | None = None
    """number of the newest record that was given; what was erased after it came back"""
    newest_erased_at: str | None = None
    sessions_ended: int = 0
    watchlist_waits: int = 0
    """entries that were active, and wait for approval again"""
    tokens: list[str] = field(default_factory=list)
    """names of tokens that work: those revoked since the backup are among them"""
    wrong: list[str] = field(default_factory=list)


def back_up(place: Place, fleet: list[Path], out: Path, keys: Path | None) -> int:
    """Fill the new folder `out`, and `keys` with the keys; how many files. Raises BackupError."""
    for folder in (out, keys):
        if folder is not None and folder.exists() and any(folder.iterdir()):
            raise BackupError(f"{folder}: it is not empty; name a new folder")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True, mode=0o700)
        _copy_if_there(place.data / ANCHOR, part / ANCHOR)
        store = _dump(place.store_url, part)
        _copy_evidence(place.evidence_url, part / "evidence")
        for name in (PROMOTIONS, SHADOWS, CONFIGS):
            _copy_if_there(place.data / name, part / name)
        _copy_if_there(place.data / FOLDER / PUBLIC, part / FOLDER / PUBLIC)
        for number, file in enumerate(fleet):
            _copy_if_there(file, part / "fleet" / f"{number}-{file.name}")
        files = digests(part)
        about = {"hoaban": __version__, "made": datetime.now(UTC).isoformat(timespec="seconds"), "store": store}
        (part / LIST).write_text(json.dumps(about | {"files": files}, indent=1))
        if keys is not None:
            keys.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in KEYS:
                _copy_if_there(place.data / name, keys / name)
            _copy_if_there(place.data / FOLDER, keys / FOLDER)
        if out.exists():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        why = error.strerror or error
        raise BackupError(f"{error.filename or out}: {why}; see that it is there and has room") from None
    except BackupError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return len(files)


def restore(
    backup: Path, place: Place, keys: Path | None, erasures: Path | None, by: str, why_without: str | None = None
) -> Restored:
    """Put a backup into an empty place, erase again what was erased since, and look whether it is whole.

    erasures: the newest records (actors/erasure_log.py); without them what was erased since the backup comes back, and
    why_without must say why. by: who does it, for the audit chain. Raises BackupError before anything is written.
    """
    if erasures is None and not why_without:
        raise BackupError(
            "what was erased since the backup would come back; give --erasures with the newest file of "
            "`hoaban evidence save-erasures`, or --without-erasures REASON"
        )
    try:
        about = json.loads((backup / LIST).read_text())
        expected, store = dict(about["files"]), str(about["store"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupError(f"{backup}: no backup, or an unfinished one; name a folder of `hoaban backup`") from None
    if wrong := compare(expected, digests(backup, leave_out={LIST})):
        raise BackupError(f"{backup}: not what was backed up: {'; '.join(wrong[:5])}; take another backup")
    fs, root = fsspec.core.url_to_fs(place.evidence_url)
    if (place.data.exists() and any(place.data.iterdir())) or (fs.exists(root) and fs.ls(root)):
        raise BackupError(f"{place.data}: not empty, or {place.evidence_url} is not; restore into a new place")
    records = None if erasures is None else _erasures(erasures, backup, keys)
    _load(backup, store, place)
    found = Restored(len(expected))
    try:
        place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (place.data / RESTORED).touch()
        for name in (ANCHOR, FOLDER, PROMOTIONS, SHADOWS, CONFIGS):
            _copy_if_there(backup / name, place.data / name)
        if (backup / "evidence").exists():
            fs.put(f"{backup / 'evidence'}/", f"{root}/", recursive=True)
        if keys is not None:
            for name in (*KEYS, FOLDER):
                _copy_if_there(keys / name, place.data / name)
    except OSError as error:
        raise BackupError(f"{place.data}: {error.strerror or error}; begin again in an empty place") from None
    _withdraw(place, found)
    _erase_again(place, records, found)
    _record(place, backup, by, why_without, found)
    _verify(place, found)
    return found


def digests(folder: Path, leave_out: Collection[str] = ()) -> dict[str, str]:
    """file below the folder -> its sha256."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in leave_out:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def compare(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What differs, in words."""
    wrong = [f"{name} was changed" for name in expected if name in found and found[name] != expected[name]]
    wrong += [f"{name} is missing" for name in expected if name not in found]
    return wrong + [f"{name} was added" for name in found if name not in expected]


def _copy_if_there(source: Path, to: Path) -> None:
    if not source.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True)
    else:
        shutil.copy2(source, to)


def _copy_evidence(url: str, to: Path) -> None:
    fs, root = fsspec.core.url_to_fs(url)
    for path in fs.find(root) if fs.exists(root) else []:
        name = path[len(root) :].lstrip("/")
        if name.endswith(UNDER_WAY):
            continue
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # erased meanwhile
            fs.get_file(path, str(target))


# --- the database


def _dump(url: str, into: Path) -> str:
    """The database as of one moment; the kind it is of."""
    kind = sa.make_url(url)
    if kind.drivername.startswith("sqlite"):
        if not kind.database or not Path(kind.database).exists():
            raise BackupError(f"{url}: there is no such database; name the folder of `hoaban up` with --data")
        opened, made = sqlite3.connect(kind.database), sqlite3.connect(into / SQLITE)
        with contextlib.closing(opened) as live, contextlib.closing(made) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        return "sqlite"
    _postgresql(["pg_dump", "--format=custom", "--no-owner", f"--file={into / DUMP}"], url)
    return "postgresql"


def _load(backup: Path, kind: str, place: Place) -> None:
    url = sa.make_url(place.store_url)
    if url.drivername.startswith("sqlite"):
        if kind != "sqlite":
            raise BackupError("it holds a PostgreSQL database; name an empty one with HOABAN_STORE_URL")
        target = Path(url.database or "")
        if target.exists():
            raise BackupError(f"{target}: a database is there; restore into a new place")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(backup / SQLITE, target)
        return
    if kind != "postgresql":
        raise BackupError("it holds an SQLite database; leave HOABAN_STORE_URL away, or name sqlite:////PATH")
    with contextlib.closing(sa.create_engine(url.set(drivername="postgresql+psycopg")).connect()) as connection:
        if sa.inspect(connection).get_table_names():
            raise BackupError("the database of HOABAN_STORE_URL is not empty; create a new one")
    command = ["pg_restore", "--no-owner", "--exit-on-error", "--single-transaction"]
    _postgresql([*command, f"--dbname={_libpq(place.store_url)}", str(backup / DUMP)], place.store_url, named=True)


def _postgresql(command: list[str], url: str, *, named: bool = False) -> None:
    program = shutil.which(command[0]) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{command[0]}"), reverse=True)), None
    )
    if program is None:
        raise BackupError(f"{command[0]} is not installed; apt-get install postgresql-client")
    password = sa.make_url(url).password
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    whole = [program, *command[1:], *([] if named else [f"--dbname={_libpq(url)}"])]
    done = subprocess.run(whole, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BackupError(f"{command[0]}: {last}; correct HOABAN_STORE_URL, or use the server's own version of it")


def _libpq(url: str) -> str:
    """The address without its password, which other users could see in the list of processes."""
    return sa.make_url(url).set(drivername="postgresql", password=None).render_as_string(hide_password=False)


# --- what was erased since


def _erasures(path: Path, backup: Path, keys: Path | None) -> list[Record]:
    """The records in a file, checked against the public keys of the backup and of `keys`. Raises BackupError."""
    pems: dict[str, bytes] = {}
    for folder in (backup, *([] if keys is None else [keys])):
        if (public := folder / FOLDER / PUBLIC).is_dir():
            pems |= read_public(public)
    try:
        records = load(path)
        wrong = broken_erasures(records, Trusted(pems.values()))
    except OSError as error:
        raise BackupError(
            f"{path}: {error.strerror or error}; name a file of `hoaban evidence save-erasures`"
        ) from None
    except ValueError as error:
        raise BackupError(f"{error}; name a file of `hoaban evidence save-erasures`") from None
    if wrong:
        raise BackupError(f"{path}: {wrong[0]}; name the file as it was saved, and --keys with the newest public keys")
    return records


def _erase_again(place: Place, records: list[Record] | None, found: Restored) -> None:
    """Erase what the records name and the restored database has again, and what it had begun to erase.

    records: None where there is no file of them, which is something else than one without any.
    """
    events = EventStore.open(place.store_url)
    try:
        retention, cases = RetentionStore(events.engine), EvidenceRecords(events.engine)
        eraser = Eraser(retention, cases, PackageFiles(place.evidence_url), Keys(place.data))
        try:
            if records is not None:
                found.erased_again = retention.take_up(records)
                if records:
                    found.newest_erasure = records[-1].number
                    found.newest_erased_at = str(json.loads(records[-1].manifest)["erased_at"])
            eraser.finish()
        except ValueError as error:
            found.wrong.append(f"--erasures: {error}; begin again in an empty place, with the newest file")
        except sa.exc.SQLAlchemyError as error:
            found.wrong.append(f"erased again: {str(error).splitlines()[0]}")
        if eraser.stuck:
            found.wrong.append(eraser.stuck)
    finally:
        events.close()


def _withdraw(place: Place, found: Restored) -> None:
    """Take back what may have been withdrawn since, where that harms nobody: it is given again by whoever may."""
    events, now = EventStore.open(place.store_url), datetime.now(UTC)
    try:
        with events.engine.begin() as connection:
            ended = sa.update(sessions).where(~sessions.c.ended).values(ended=True)
            found.sessions_ended = connection.execute(ended).rowcount
            for table in (watchlist_entries, watchlist_plates):
                unapproved = dict.fromkeys(("approved_by_id", "approved_by", "approved_at"))
                active = sa.update(table).where(table.c.approved_by_id.is_not(None)).values(unapproved)
                found.watchlist_waits += connection.execute(active).rowcount
            live = ~api_tokens.c.revoked & (api_tokens.c.expires.is_(None) | (api_tokens.c.expires > now))
            query = sa.select(api_tokens.c.name).where(live).order_by(api_tokens.c.name)
            found.tokens = list(connection.execute(query).scalars())
    finally:
        events.close()


def _record(place: Place, backup: Path, by: str, why_without: str | None, found: Restored) -> None:
    events = EventStore.open(place.store_url)
    try:
        told = ("erased_again", "newest_erasure", "sessions_ended", "watchlist_waits")
        about = {name: getattr(found, name) for name in told}
        AuditStore(events.engine).append("", by, "backup.restore", str(backup), reason=why_without, detail=about)
    finally:
        events.close()


# --- whether it is whole


def _verify(place: Place, found: Restored) -> None:
    events = EventStore.open(place.store_url)
    try:
        audit = AuditStore(events.engine)
        found.records = audit.head()[0]
        head = None
        try:
            head = Anchor(place.data).read()
        except AnchorError as error:
            if found.records or Anchor(place.data).begun:
                found.wrong.append(f"{error}; restore with --keys, or `hoaban audit anchor` after a look at the chain")
        found.wrong += broken(audit.records(), head, vouched=vouched_cuts(audit, place.data))
    finally:
        events.close()
    try:
        trusted = Trusted(read_public(place.data / FOLDER / PUBLIC).values())
    except (OSError, SigningKeyError):
        trusted = Trusted([])
    for package in _packages(place.evidence_url):
        found.packages += 1
        result: Any = verify(open_package(package), trusted)
        found.wrong += [f"evidence {package.name}: {problem.message}" for problem in result.problems]


def _packages(url: str) -> Iterator[Path]:
    """Sealed packages of a folder; those of an object store are looked at with `hoaban evidence verify`."""
    fs, root = fsspec.core.url_to_fs(url)
    if "file" in (fs.protocol if isinstance(fs.protocol, tuple | list) else (fs.protocol,)) and Path(root).is_dir():
        yield from (path for path in sorted(Path(root).iterdir()) if (path / SEALED).exists())
