"""What commands share: refusing bad input in one line, and writing a file that is whole or not there."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click
import typer
from platformdirs import user_data_path

from actors.fleet_file import load_fleet
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors

if TYPE_CHECKING:
    from actors.store import EventStore


def refuse(message: str) -> NoReturn:
    """Bad input: `hoaban COMMAND: message` as one line on stderr, exit code 2. message: what is wrong; what to do."""
    context = click.get_current_context(silent=True)
    print(f"{context.command_path if context else 'hoaban'}: {one_line(message)}", file=sys.stderr)
    raise typer.Exit(2)


def say(text: str) -> None:
    """How far it is, on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def one_line(text: object) -> str:
    """A message of whatever library on one line."""
    return " ".join(str(text).split())


def fleet_or_refuse(paths: list[Path]) -> Fleet:
    """The fleet in these files, or all that is wrong with them and exit code 2."""
    try:
        return load_fleet(paths)
    except FleetErrors as errors:
        print(errors, file=sys.stderr)
        raise typer.Exit(2) from None


def file_names(files: Iterable[Path]) -> tuple[str, ...]:
    """Of fleet files, from wherever they are read. A link stays one: what it leads to may be exchanged."""
    return tuple(os.path.abspath(path) for path in files)


def data_folder(given: Path | None) -> Path:
    """The folder of `hoaban up`: as given, or the one it takes by itself."""
    return (given or user_data_path("hoaban")).resolve()


def store_or_refuse(folder: Path) -> "EventStore":
    """The store of a data folder, or the one that HOABAN_STORE_URL names; exit code 2 where there is none."""
    from cli.trouble import TroubleError, open_store  # what SQL needs, most commands need not wait for

    url = os.environ.get("HOABAN_STORE_URL")
    if not url and not (folder / "hoaban.db").exists():
        refuse(f"{folder}: no store is in it; name the folder of `hoaban up` with --data, or set HOABAN_STORE_URL")
    try:
        return open_store(url or f"sqlite:///{folder / 'hoaban.db'}")
    except TroubleError as error:
        refuse(str(error))


def new_folder_or_refuse(folder: Path) -> None:
    """Exit code 2 for a folder that has something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        refuse(f"{folder}: is there already and not empty; name a new folder")


def print_json(document: Any) -> None:
    """The one JSON document of --json."""
    print(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def written(out: Path, inputs: list[Path]) -> Iterator[TextIO]:
    """A text file that takes its place only when all went well: a run that breaks leaves no half file behind.

    Refuses, with exit code 2, what cannot be written, and a file that is among the inputs.
    """
    if out.is_dir():
        refuse(f"{out}: a folder; name a file in it")
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        refuse(f"{out}: it is read by this command; write to another file")
    if out.exists() and not out.is_file():
        refuse(f"{out}: no regular file; name one")
    cure = "name a folder that is there, has room and may be written"
    try:
        handle, part = tempfile.mkstemp(dir=out.parent, prefix=".hoaban-")
    except OSError as error:
        refuse(f"{out}: cannot be written: {error.strerror}; {cure}")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            yield file
        os.chmod(part, 0o644)
        os.replace(part, out)
    except OSError as error:
        if error.filename not in (None, part):
            raise  # of another file
        refuse(f"{out}: cannot be written: {error.strerror}; {cure}")
    finally:
        Path(part).unlink(missing_ok=True)
