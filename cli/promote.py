"""`hoaban models promote`, `rollback` and `current`: which model a name of the fleet files stands for."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from actors.models import ModelError, find_model
from actors.models.files import ModelPackage
from actors.promotions import PromotionRegistry, RegistryError
from cli.common import data_folder, print_json, refuse
from cli.recording import decided_by, recorded
from hoaban.evaluation.report import ModelIdentity, Report
from hoaban.fleet import Models
from hoaban.models.promotion import PromotionError, Step, in_force, model_of, promotion
from hoaban.models.promotion import rollback as back

MOST_REPORT_BYTES = 256 * 2**20

DataFolder = Annotated[
    Path | None, typer.Option("--data", help="data folder of `hoaban up`, where promotions are kept")
]
By = Annotated[
    str | None, typer.Option(help="who decides this; by default the user; who types this is recorded in any case")
]
NAME = Models.model_fields["detect"].default


def standing_for(data: Path, name: str) -> ModelPackage:
    """The package of a model as the system in a data folder means it. Raises ModelError, PromotionError."""
    return find_model(model_of(name, in_force(PromotionRegistry(data).steps())))


def promote(
    candidate: Annotated[str, typer.Argument(metavar="NAME@VERSION")],
    report: Annotated[Path, typer.Option(help="what `hoaban models evaluate --out` wrote for it")],
    place: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="name in the fleet file; by default that of the present model"),
    ] = None,
    data: DataFolder = None,
    by: By = None,
) -> None:
    """Let a bare NAME of the fleet file stand for a candidate, in a running system too. Exit code 1: refused."""
    if not candidate.partition("@")[2]:
        refuse(f"model {candidate!r}: no version is named, and a promotion is of one; write NAME@VERSION")
    judged = _report(report)
    registry = _registry(data)
    try:
        new = ModelIdentity.of(find_model(candidate).card)
        name = place or _place_of(judged.present.ref, registry)

        def make(steps: Sequence[Step]) -> Step:
            present = ModelIdentity.of(find_model(model_of(name, in_force(steps))).card)
            return promotion(judged, new, present, place=name, at=datetime.now(UTC), by=decided_by(by))

        digest = judged.digest()
        with recorded(data_folder(data), "model.promote", candidate, place=name, report=digest, decided_by=by):
            step = _added(registry, make)
    except (ModelError, RegistryError) as error:
        refuse(str(error))
    print(f"{name} stands for {step.after.ref} (it was {step.before.ref}); a running system swaps within seconds")
    if lost := sorted(set(step.before.labels) - set(step.after.labels)):
        print(f"rules that wait for {', '.join(lost[:10])} hear nothing from it", file=sys.stderr)


def rollback(
    name: Annotated[str, typer.Argument(help="name in the fleet file")] = NAME,
    why: Annotated[str, typer.Option(help="kept in the registry")] = "",
    data: DataFolder = None,
    by: By = None,
) -> None:
    """Take the last promotion of a name back. Exit code 1: there is none."""
    registry = _registry(data)
    with recorded(data_folder(data), "model.rollback", name, reason=why or None, decided_by=by):
        step = _added(registry, lambda steps: back(steps, place=name, at=datetime.now(UTC), by=decided_by(by), why=why))
    print(f"{name} stands for {step.after.ref} again (it was {step.before.ref}); a running system swaps within seconds")
    if (missing := _missing(step.after)) is not None:
        print(f"it cannot be run here: {missing}; until it can, what runs goes on", file=sys.stderr)


def current(data: DataFolder = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What names stand for, and how they came to it."""
    try:
        steps = _registry(data).steps()
    except RegistryError as error:
        refuse(str(error))
    stands_for = in_force(steps)
    if as_json:
        print_json(
            {
                "stands_for": {name: identity.model_dump(mode="json") for name, identity in stands_for.items()},
                "steps": [step.model_dump(mode="json") for step in steps],
            }
        )
        return
    for name in dict.fromkeys(step.place for step in steps):
        print(f"{name} stands for {stands_for[name].ref if name in stands_for else 'itself'}")
    for step in steps:
        what = f"{step.kind} {step.place}: {step.before.ref} -> {step.after.ref}"
        print(f"  {step.at:%Y-%m-%d %H:%M:%S}Z  {step.by}  {what}{f'  ({step.why})' if step.why else ''}")
    if not steps:
        print("nothing was promoted: every name stands for itself")


def _missing(model: ModelIdentity) -> str | None:
    """Why a model cannot be run here, which is no reason not to take the one after it back; None when it can."""
    try:
        here = ModelIdentity.of(find_model(model.ref).card)
    except ModelError as error:
        return str(error)
    return None if here == model else f"model {model.ref} is here with another file or card than was promoted"


def _registry(data: Path | None) -> PromotionRegistry:
    """The registry of a data folder that is there: one of a mistyped name would be read by nobody."""
    folder = data_folder(data)
    if not folder.is_dir():
        refuse(f"{folder}: no such folder; name the folder of `hoaban up` with --data")
    return PromotionRegistry(folder)


def _place_of(present: str, registry: PromotionRegistry) -> str:
    """The name that a present model has the place of; its own where it was not promoted to any."""
    names = [name for name, identity in in_force(registry.steps()).items() if identity.ref == present]
    if len(names) > 1:
        raise ModelError(f"{present} has the place of {', '.join(names)}; say with --as which of them is meant")
    return names[0] if names else present.partition("@")[0]


def _added(registry: PromotionRegistry, make: Callable[[Sequence[Step]], Step]) -> Step:
    try:
        return registry.add(make)
    except RegistryError as error:
        refuse(str(error))
    except PromotionError as error:
        print(f"hoaban models: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _report(path: Path) -> Report:
    try:
        if path.stat().st_size > MOST_REPORT_BYTES:
            refuse(f"{path}: too large for a report; name what `hoaban models evaluate --out` wrote")
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        refuse(f"{path}: cannot be read: {error.strerror}; name what `hoaban models evaluate --out` wrote")
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(map(str, first["loc"]))
        refuse(f"{path}:1: {where}: {first['msg']}; name what `hoaban models evaluate --out` wrote")
