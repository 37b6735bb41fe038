"""`hoaban deliveries`: what waits for the targets outside, what was given up, and trying that again."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from actors.store import Outbox
from cli.common import data_folder, print_json, refuse, store_or_refuse


def deliveries(
    retry: Annotated[str | None, typer.Option(metavar="TARGET", help="try its dead events again")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of `hoaban up`")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """How the targets of the integrations file stand. Exit code 1 while some event is dead."""
    store = store_or_refuse(data_folder(data))
    try:
        outbox = Outbox(store.engine)
        if retry is not None:
            if retry not in {state.target for state in outbox.states()}:
                refuse(f"there is no target {retry!r}; `hoaban deliveries` names those that there are")
            outbox.revive(retry)
        states = outbox.states()
    finally:
        store.close()
    if as_json:
        print_json([asdict(state) for state in states])
    for state in [] if as_json else states:
        why = f"; {state.error}" if state.error else ""
        print(f"{state.target}: {state.delivered} delivered, {state.waiting} waiting, {state.dead} dead{why}")
    raise typer.Exit(1 if any(state.dead for state in states) else 0)
