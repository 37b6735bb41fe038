"""What commands share: refusing bad input."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sa
import typer
from platformdirs import user_data_path

from actors.fleet_file import load_fleet
from actors.store import EventStore
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors, redact


def refuse(message: str) -> NoReturn:
    """Bad input: the message on stderr, exit code 2."""
    print(message, file=sys.stderr)
    raise typer.Exit(2)


def fleet_or_refuse(paths: list[Path]) -> Fleet:
    """The fleet in these files, or all that is wrong with them and exit code 2."""
    try:
        return load_fleet(paths)
    except FleetErrors as errors:
        refuse(str(errors))


def data_folder(given: Path | None) -> Path:
    """The folder of `hoaban up`: as given, or the one it takes by itself."""
    return (given or user_data_path("hoaban")).resolve()


def store_or_refuse(folder: Path) -> EventStore:
    """The store of a data folder, or the one that HOABAN_STORE_URL names; exit code 2 where there is none."""
    url = os.environ.get("HOABAN_STORE_URL")
    if not url and not (folder / "hoaban.db").exists():
        refuse(f"{folder}: no store is in it; name the folder of `hoaban up` with --data, or set HOABAN_STORE_URL")
    try:
        return EventStore.open(url or f"sqlite:///{folder / 'hoaban.db'}")
    except sa.exc.SQLAlchemyError as error:
        refuse(f"the store cannot be opened: {redact(str(error).splitlines()[0])}")


def print_json(document: Any) -> None:
    """The one JSON document of --json."""
    print(json.dumps(document, ensure_ascii=False, indent=2))
