"""`hoaban audit`: whether the record of who did what is whole."""

from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from actors.audit_anchor import Anchor, AnchorError, vouched_cuts
from actors.store import AuditStore
from cli.common import data_folder, print_json, refuse, store_or_refuse
from cli.recording import record
from hoaban.audit import broken

app = typer.Typer(no_args_is_help=True, help="The record of who did what: check that it is whole.")


@app.command()
def verify(
    data: Annotated[Path | None, typer.Option(help="folder of `hoaban up`; its stores and its anchor")] = None,
    anchor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a copy of audit-anchor.json kept elsewhere")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Whether no record was changed, taken out, put in, moved, or cut off the end.

    Exit code 0: the chain is sound. 1: it is not, or nothing says where it should end.
    """
    folder = data_folder(data)
    events = store_or_refuse(folder)
    store = AuditStore(events.engine)
    wrong: list[str] = []
    head = None
    own = Anchor(folder)
    try:
        head = own.read(anchor)
    except AnchorError as error:
        if anchor is not None:
            refuse(str(error))
        wrong.append(
            f"{error}; without it nothing says whether records are missing. If you know why there is none: "
            "hoaban audit anchor --reason …"
        )
    try:
        wrong = broken(store.records(), head, vouched=vouched_cuts(store, folder)) + wrong
        last = store.head()[0]
    except sa.exc.SQLAlchemyError as error:
        refuse(f"the store cannot be read: {str(error).splitlines()[0]}")
    finally:
        events.close()
    if as_json:
        print_json({"sound": not wrong, "records": last, "anchored": head[0] if head else None, "wrong": wrong})
    elif wrong:
        print("\n".join(wrong))
    else:
        print(f"sound: {last} records, anchored at {head[0] if head else 0}")
    raise typer.Exit(1 if wrong else 0)


@app.command()
def anchor(
    reason: Annotated[str, typer.Option(help="why, in words: it is recorded")],
    data: Annotated[Path | None, typer.Option(help="folder of `hoaban up`")] = None,
) -> None:
    """Anchor the chain anew as it is now: after the anchor was lost, or a fault that was looked into."""
    folder = data_folder(data)
    events = store_or_refuse(folder)
    try:
        newest = record(AuditStore(events.engine), "audit.anchor", "anchored anew", reason=reason)
        Anchor(folder).write(newest.seq, newest.digest)
    except (AnchorError, OSError, sa.exc.SQLAlchemyError) as error:
        refuse(f"not anchored: {str(error).splitlines()[0]}")
    finally:
        events.close()
    print(f"anchored at {newest.seq}")
