"""`hoaban models`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from actors.models.add import add
from actors.models.files import list_models
from actors.models.pull import pull
from cli.common import print_json, refuse
from cli.evaluate import evaluate
from cli.labels import export_coco, import_coco
from cli.promote import current, promote, rollback
from cli.shadow import shadow
from hoaban.models.backend import ModelError
from hoaban.models.card import PINNED

app = typer.Typer(no_args_is_help=True, help="Models: list, add, pull, evaluate, shadow, promote and roll back.")
app.command()(evaluate)
app.command()(promote)
app.command()(rollback)
app.command()(current)
app.command()(shadow)
app.command("export-coco")(export_coco)
app.command("import-coco")(import_coco)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """The models that are known, and whether their files are here."""
    try:
        packages = list_models()
    except ModelError as error:
        refuse(str(error))
    if as_json:
        print_json([p.card.model_dump(mode="json") | {"path": str(p.path) if p.path else None} for p in packages])
        return
    for package in packages:
        card = package.card
        here = str(package.path) if package.path else ("needs no file" if card.file is None else "NOT HERE")
        print(f"{card.name}@{card.version}  {card.task}  {card.backend}  {card.licence}\n    {here}")


@app.command("pull")
def pull_(
    names: Annotated[list[str] | None, typer.Argument(help="default: every pinned model with an address")] = None,
) -> None:
    """Fetch model files from their publishers into the cache, checked against the pinned sha256."""
    for name in names or ():
        if name not in PINNED:
            refuse(f"model {name!r} is not one that can be fetched; known: {', '.join(PINNED)}")
    failed = False
    for name in names or [card.name for card in PINNED.values() if card.url]:
        try:
            print(pull(name))
        except ModelError as error:
            print(error, file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(1)


@app.command("add")
def add_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a card.yaml and the file that it names")],
    to: Annotated[Path | None, typer.Option(help="model folder; by default the first that is searched")] = None,
    limit_s: Annotated[float, typer.Option("--limit-s", min=1, help="seconds that loading and trying may take")] = 60,
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=64, help="memory that the model may take")] = 4096,
) -> None:
    """Check a model package, run it in a process of its own, and take it in; nobody uses it before a promotion."""
    try:
        place, tried = add(folder, to, limit_s, memory_mib * 2**20)
    except ModelError as error:
        refuse(str(error))
    for note in tried.notes:
        print(note, file=sys.stderr)
    print(f"{place}: a picture took {tried.picture_s * 1e3:.1f} ms on {tried.device}")
