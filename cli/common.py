"""What commands share: refusing bad input."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

from actors.fleet_file import load_fleet
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors


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


def print_json(document: Any) -> None:
    """The one JSON document of --json."""
    print(json.dumps(document, ensure_ascii=False, indent=2))
