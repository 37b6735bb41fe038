"""`hoaban diff`: what changed between two event files."""

from pathlib import Path
from typing import Annotated

import typer

from cli.common import print_json, refuse
from hoaban.diff import diff_events
from hoaban.events import Event


def diff(
    a: Annotated[Path, typer.Argument(metavar="A.jsonl")],
    b: Annotated[Path, typer.Argument(metavar="B.jsonl")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Events gained, lost and changed from A to B. Exit code 1 when the files differ."""
    found = diff_events(_read(a), _read(b))
    if as_json:
        print_json(found.as_dict())
    else:
        for sign, events in (("+", found.gained), ("-", found.lost)):
            for event in events:
                print(f"{sign} {_line(event)}")
        for change in found.changed:
            fields = ", ".join(f"{key}: {old!r} -> {new!r}" for key, (old, new) in change.fields.items())
            print(f"~ {_line(change.before)}  {fields}")
        print(
            f"{len(found.gained)} gained, {len(found.lost)} lost, {len(found.changed)} changed, {found.same} the same"
        )
    if found.gained or found.lost or found.changed:
        raise typer.Exit(1)


def _read(path: Path) -> list[Event]:
    events = []
    try:
        with path.open(encoding="utf-8", newline="\n") as file:  # U+2028 and its like end no line of JSON
            for number, line in enumerate(file, 1):
                events.append(_event(path, number, line))
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{path}:1: cannot be read: {error}; name a file that `hoaban replay` wrote")
    return events


def _event(path: Path, number: int, line: str) -> Event:
    try:
        return Event.from_json(line)
    except ValueError as error:
        refuse(f"{path}:{number}: {error}; name a file that `hoaban replay` wrote")


def _line(event: Event) -> str:
    data = event.data
    parts = [data.get("class"), data.get("line") or data.get("zone"), data.get("direction")]
    return f"{event.time:%H:%M:%S.%f} {event.camera} {event.type} {' '.join(str(part) for part in parts if part)}"
