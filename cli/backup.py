"""`hoaban backup` and `hoaban restore`: all that must last, into a folder and back."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.common import data_folder, print_json, refuse
from cli.recording import who

Data = Annotated[Path | None, typer.Option(help="folder of `hoaban up`")]
Keys = Annotated[
    Path | None, typer.Option(metavar="DIR", help="the keys, apart from the rest: keep this folder elsewhere")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]


def backup(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a new folder")],
    fleet: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="fleet file(s) to keep with it")] = None,
    data: Data = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Copy store, evidence, model registry, audit anchor and fleet while the system runs."""
    from actors.backup import BackupError, Place, back_up

    folder = data_folder(data)
    for file in fleet or []:
        if not file.is_file():
            refuse(f"{file}: no such file; name a fleet file")
    try:
        files = back_up(Place(folder, *_urls(folder)), fleet or [], out.resolve(), keys and keys.resolve())
    except BackupError as error:
        refuse(str(error))
    if as_json:
        print_json({"out": str(out), "files": files, "keys": None if keys is None else str(keys)})
    else:
        print(f"{out}: {files} files; " + ("keys are NOT in it: give --keys" if keys is None else f"keys in {keys}"))


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="a folder of `hoaban backup`")],
    data: Annotated[Path, typer.Option(help="an empty folder for `hoaban up`")],
    erasures: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the newest of `hoaban evidence save-erasures`: erased again")
    ] = None,
    without_erasures: Annotated[
        str | None, typer.Option(metavar="REASON", help="why what was erased since may come back: it is recorded")
    ] = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty place, erase again what was erased since, and verify the audit chain and every sealed
    package. Exit code 1: not whole."""
    from actors.backup import BackupError, Place, restore

    if erasures is not None and without_erasures is not None:
        refuse("--erasures and --without-erasures: give one of them")
    folder = data.resolve()
    try:
        place = Place(folder, *_urls(folder))
        reason = (without_erasures or "").strip()
        found = restore(source.resolve(), place, keys and keys.resolve(), erasures, who(), reason)
    except BackupError as error:
        refuse(str(error))
    if as_json:
        print_json(asdict(found))
    else:
        print(
            f"{folder}: {found.files} files, {found.records} audit records, {found.packages} packages of evidence, "
            f"{found.erased_again} erasures made again"
        )
        if found.newest_erasure is not None:
            print(
                f"the newest erasure in --erasures is {found.newest_erasure}, of {found.newest_erased_at}: "
                "what was erased after it came back"
            )
        tokens = ", ".join(found.tokens) or "none"
        print(
            f"{found.sessions_ended} sessions ended; {found.watchlist_waits} watchlist entries wait for approval "
            "again: remove those that were removed since the backup\n"
            "again by hand (docs/runbook.md): revoke tokens and grants that were revoked since "
            f"(tokens that work: {tokens}), disable people who left, place legal holds that were placed since\n"
            "no term erases anything before `hoaban evidence confirm-restore --reason …` says that the holds are there"
        )
        print("\n".join(found.wrong) or "the audit chain and every package are whole")
    raise typer.Exit(1 if found.wrong else 0)


def _urls(folder: Path) -> tuple[str, str]:
    """Of store and evidence, as `hoaban up` takes them."""
    store = os.environ.get("HOABAN_STORE_URL") or f"sqlite:///{folder / 'hoaban.db'}"
    return store, os.environ.get("HOABAN_EVIDENCE_URL") or str(folder / "evidence")
