"""`hoaban check` and `hoaban schema`."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from actors.fleet_file import load_fleet
from cli.common import print_json
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors


def check(
    fleet: Annotated[list[Path], typer.Argument(metavar="FLEET", help="fleet file, or several that belong together")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Check fleet files and report everything wrong at once."""
    try:
        found = load_fleet(fleet)
    except FleetErrors as errors:
        if as_json:
            print_json({"ok": False, "errors": [asdict(error) for error in errors.errors]})
        print(errors, file=sys.stderr)
        raise typer.Exit(2) from None
    roles = Counter(camera.role.value for camera in found.cameras)
    if as_json:
        print_json({"ok": True, "errors": [], "cameras": len(found.cameras), "roles": roles, "digest": found.digest()})
    else:
        listed = ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
        print(f"{len(found.cameras)} cameras: {listed or 'none'}. Nothing wrong.")


def schema() -> None:
    """Print the JSON Schema of the fleet file."""
    print_json(Fleet.model_json_schema(by_alias=True))
