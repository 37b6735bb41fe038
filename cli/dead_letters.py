"""`hoaban events dead`: events that could not be stored, and what is to become of them."""

import hashlib
from pathlib import Path
from typing import Annotated

import redis
import sqlalchemy as sa
import typer

from actors.bus import DeadLetter, EventBus
from actors.embedded_redis import running_url
from actors.store import AuditStore
from cli.common import data_folder, one_line, print_json, refuse, store_or_refuse
from cli.recording import record
from cli.trouble import TroubleError, check_redis
from hoaban.fleet_text import redact

app = typer.Typer(no_args_is_help=True, help="Events that could not be stored: look at them, try again, or drop them.")

Data = Annotated[Path | None, typer.Option(help="folder of `hoaban up`")]
Entry = Annotated[str, typer.Argument(metavar="ENTRY", help="as `hoaban events dead list` names it")]
SHOWN = 160
"""characters of an event's text in the list for people; --json has all of it"""


def url_or_refuse(folder: Path) -> str:
    """Of the live store of a data folder, or of the one that HOABAN_REDIS_URL names; exit code 2 where none answers."""
    url = running_url(folder / "valkey")
    if url is None:
        refuse(f"{folder}: no live store runs there; start `hoaban up`, name its folder with --data, or set "
               "HOABAN_REDIS_URL")  # fmt: skip
    try:
        check_redis(url).close()
    except TroubleError as error:
        refuse(str(error))
    return url


def bus_or_refuse(folder: Path) -> EventBus:
    """The events on their way there; exit code 2 where none answers."""
    return EventBus(url_or_refuse(folder))


@app.command("list")
def list_(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """What was put aside, the oldest first, each with the reason. Exit code 1 when there is any.

    The events tell where people and vehicles were: who looked is recorded.
    """
    folder = data_folder(data)
    bus = bus_or_refuse(folder)
    letters = _all(bus)
    if letters:
        _record(folder, "events.dead.list", "all", count=len(letters))
    if as_json:
        print_json([{"entry": letter.entry, "why": letter.why, "body": letter.body} for letter in letters])
    else:
        for letter in letters:
            print(f"{letter.entry}  {one_line(letter.why)}\n    {one_line(letter.body)[:SHOWN]}")
        print(f"{len(letters)} put aside")
    raise typer.Exit(1 if letters else 0)


@app.command()
def retry(
    entry: Annotated[str | None, typer.Argument(metavar="[ENTRY]", help="none: all of them")] = None,
    data: Data = None,
) -> None:
    """Let them be stored once more: after the fault was mended. One that fails again is put aside again."""
    folder = data_folder(data)
    bus = bus_or_refuse(folder)
    letters = [_one(bus, entry)] if entry is not None else _all(bus)
    if letters:
        _record(folder, "events.retry", entry or "all", count=len(letters))
    for letter in letters:
        bus.revive(letter)
    print(f"{len(letters)} handed to the store again")


@app.command()
def drop(
    entry: Entry,
    reason: Annotated[str, typer.Option(help="why it may be lost, in words: it is recorded")],
    data: Data = None,
) -> None:
    """Lose one for good. Who did, why, and the digest of its text go into the record of who did what."""
    if not reason.strip():
        refuse("--reason: empty; say why this event may be lost")
    folder = data_folder(data)
    bus = bus_or_refuse(folder)
    letter = _one(bus, entry)
    digest = hashlib.sha256(letter.body.encode()).hexdigest()
    _record(folder, "events.drop", entry, reason=reason, why=letter.why, sha256=digest)
    bus.drop(letter)
    print(f"{entry}: dropped")


def _record(folder: Path, action: str, subject: str, reason: str | None = None, **detail: object) -> None:
    """Recorded first: what is shown or dropped, and not recorded, would go unseen. Exit code 2 where it cannot be."""
    store = store_or_refuse(folder)
    try:
        record(AuditStore(store.engine), action, subject, reason=reason, **detail)
    except sa.exc.SQLAlchemyError as error:
        refuse(f"nothing done, since it cannot be recorded: {redact(str(error).splitlines()[0])}")
    finally:
        store.close()


def _all(bus: EventBus) -> list[DeadLetter]:
    try:
        return bus.dead()
    except redis.RedisError as error:
        refuse(f"the live store does not tell: {error}; try again")


def _one(bus: EventBus, entry: str) -> DeadLetter:
    found = next((letter for letter in _all(bus) if letter.entry == entry), None)
    if found is None:
        refuse(f"{entry}: no such entry; `hoaban events dead list` names them")
    return found
