"""`hoaban models shadow`: a candidate shown live frames beside the model that counts."""

from typing import Annotated

import typer

from actors.models import ModelError
from actors.promotions import RegistryError, ShadowRegistry
from actors.shadows import begin, end
from cli.common import data_folder, print_json, refuse
from cli.promote import By, DataFolder
from cli.recording import decided_by, recorded
from hoaban.fleet import Role
from hoaban.shadow import ShadowStep, last_ends, running


def shadow(
    model: Annotated[str | None, typer.Argument(metavar="NAME@VERSION", help="none: what runs is listed")] = None,
    cameras: Annotated[list[str] | None, typer.Option(help="only this camera; may be given several times")] = None,
    role: Annotated[Role | None, typer.Option(help="only cameras of this role")] = None,
    share: Annotated[float, typer.Option(min=0.0001, max=1, help="share of these cameras")] = 1.0,
    sample: Annotated[float, typer.Option(min=0.0001, max=1, help="share of their analysed frames")] = 0.1,
    ends: Annotated[bool, typer.Option("--end", help="show it no more frames")] = False,
    why: Annotated[str, typer.Option(help="kept in the registry")] = "",
    data: DataFolder = None,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show a candidate sampled live frames when there is time to spare; it makes no events. The API has the results.

    A running system takes it up within seconds. Of a camera that several are ordered for, the last order holds.
    """
    folder = data_folder(data)
    if not folder.is_dir():
        refuse(f"{folder}: no such folder; name the folder of `hoaban up` with --data")
    registry, who = ShadowRegistry(folder), decided_by(by)
    try:
        if model is None:
            _list(registry.steps(), as_json)
        elif ends:
            if model not in running(registry.steps()):
                refuse(f"no shadow of {model!r} runs; `hoaban models shadow` lists those that do")
            with recorded(folder, "model.shadow.end", model, reason=why or None, decided_by=by):
                registry.add(lambda _: end(model, by=who, why=why))
            print(f"{model} is shown no more frames")
        else:
            order = begin(model, cameras=cameras or (), role=role, share=share, sample=sample, by=who)
            detail = order.model_dump(mode="json", include={"cameras", "role", "share", "sample"})
            with recorded(folder, "model.shadow", order.model, reason=why or None, decided_by=by, **detail):
                registry.add(lambda _: ShadowStep(order=order, at=order.at, by=who, why=why))
            print(f"{model} is shown {sample:.2%} of the analysed frames of {_whose(cameras, role, share)}")
    except (ModelError, RegistryError) as error:
        refuse(str(error))


def _whose(cameras: list[str] | tuple[str, ...] | None, role: Role | None, share: float) -> str:
    words = [f"{share:.0%} of" if share < 1 else "", ", ".join(cameras) if cameras else "all cameras"]
    return " ".join(word for word in (*words, f"with the role {role.value}" if role else "") if word)


def _list(steps: list[ShadowStep], as_json: bool) -> None:
    orders, ended = running(steps), last_ends(steps)
    if as_json:
        print_json(
            {
                "running": [order.model_dump(mode="json") for order in orders.values()],
                "ended": [step.model_dump(mode="json") for step in ended.values()],
            }
        )
        return
    for order in orders.values():
        whose = _whose(order.cameras, order.role, order.share)
        print(f"{order.model}: {order.sample:.2%} of the frames of {whose}, since {order.at:%Y-%m-%d %H:%M:%S}Z")
    for model, step in ended.items():
        print(f"{model}: ended {step.at:%Y-%m-%d %H:%M:%S}Z by {step.by}{f' ({step.why})' if step.why else ''}")
    if not orders and not ended:
        print("no candidate is shown any frames")
