"""`hoaban plan`: how many machines a fleet needs."""

from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import Field, ValidationError

from actors.evidence import ring_seconds
from cli.common import fleet_or_refuse, print_json, refuse
from hoaban import capacity
from hoaban.shapes import Strict


def plan(
    fleet: Annotated[list[Path], typer.Argument(metavar="FLEET", help="fleet file, or several that belong together")],
    what_if: Annotated[
        list[str] | None,
        typer.Option("--what-if", metavar="CHANGE", help="'+20 face_crowd', '-5 shared', 'analysis_fps=10 overview'"),
    ] = None,
    node: Annotated[
        str, typer.Option(help="the machines: cpus=, memory= (GB), gpus=, gpu_memory= (GB), nic= (Mbit/s), speed=")
    ] = "cpus=16,memory=64",
    stream: Annotated[
        str, typer.Option(help="what unknown streams are like: fps=, width=, height=, mbit=, codec=, active=")
    ] = "fps=25,width=1920,height=1080,mbit=4",
    costs: Annotated[
        Path | None, typer.Option(help="costs of a machine, as `python -m benchmarks capacity` writes")
    ] = None,
    assume: Annotated[
        str, typer.Option(help="what was not measured: vehicles_per_min=, stills_per_vehicle=, gpu_model_mb=")
    ] = "",
    no_spare: Annotated[bool, typer.Option("--no-spare", help="plan no node that may fail")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Plan machines for a fleet from measured costs, with one machine of each site to spare."""
    wanted = fleet_or_refuse(fleet)
    known, kind = _costs(costs), _values("--node", node, _Node)
    guess, assumed = _values("--stream", stream, capacity.StreamGuess), _values("--assume", assume, capacity.Assumed)
    machine = capacity.NodeKind(kind.cpus, kind.memory, kind.gpus, kind.speed, kind.gpu_memory, kind.nic)
    try:
        for change in what_if or ():
            wanted = capacity.what_if(wanted, change)
        found = capacity.plan(
            wanted, known, machine, guess=guess, ring_s=ring_seconds, spare=not no_spare, assumed=assumed
        )
    except (capacity.WhatIfError, capacity.UnknownCostError, capacity.NoRoomError) as error:
        refuse(str(error))
    if as_json:
        print_json(
            {
                "cameras": sum(site.cameras for site in found.sites),
                "what_if": what_if or [],
                "node": asdict(machine),
                "stream": guess.model_dump(),
                "assumed": assumed.model_dump(),
                "costs": {"machine": known.machine, "date": known.date},
                "nodes": found.nodes,
                "head": {"cpus": found.head_cpus, "memory_mb": found.head_mb},
                "sites": [asdict(site) for site in found.sites],
            }
        )
        return
    taken = ", ".join(f"{name}={value:g}" for name, value in assumed.model_dump().items())
    nodes = f"Nodes: {node} (network {machine.nic_mbit:g} Mbit/s each, {'given' if 'nic' in node else 'assumed'})."
    _print(
        found,
        f"Costs of {known.machine}, measured {known.date}. Unknown streams: {stream}. {nodes}\n"
        f"Assumed, not measured (--assume): {taken}.",
    )


def _print(found: capacity.Plan, head: str) -> None:
    row = "{:16} {:>8} {:>6} {:>8} {:>7} {:>6} {:>8} {:>8} {:>11}".format
    print(head)
    print(row("site", "cameras", "nodes", "cpus", "GB", "gpus", "Mbit/s", "busiest", "after loss"))
    for site in found.sites:
        after = "" if site.busiest_after_loss is None else f"{site.busiest_after_loss:.0%}"
        figures = (f"{site.cpus:.1f}", f"{site.memory_mb / 1024:.1f}", f"{site.gpus:.2f}", f"{site.network_mbit:.0f}")
        print(row(site.site or "-", site.cameras, site.nodes, *figures, f"{site.busiest:.0%}", after))
    head_gb = found.head_mb / 1024
    print(f"In all {found.nodes} nodes, and a head with {found.head_cpus:.1f} processors and {head_gb:.1f} GB to give.")


M = TypeVar("M", bound=Strict)


class _Node(Strict):
    cpus: float = Field(gt=0)
    memory: float = Field(gt=0, description="GB")
    gpus: int = Field(0, ge=0)
    speed: float = Field(1.0, gt=0)
    gpu_memory: float = Field(16, gt=0, description="GB of each GPU")
    nic: float = Field(1000, gt=0, description="Mbit/s of the network card")


def _values(option: str, text: str, kind: type[M]) -> M:
    """NAME=VALUE,NAME=VALUE as a model; exit code 2 for what it does not take."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    try:
        return kind.model_validate({name.strip(): value.strip() for name, _, value in pairs})
    except ValidationError as invalid:
        names = ", ".join(f"{name}=" for name in kind.model_fields)
        wrong = ", ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in invalid.errors())
        refuse(f"{option}: {wrong}; it takes {names}")


def _costs(path: Path | None) -> capacity.Costs:
    try:
        text = path.read_text() if path else files("benchmarks").joinpath("costs.json").read_text()
        return capacity.Costs.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{path}: cannot be read: {error}; name a file that `python -m benchmarks capacity` wrote")
    except ValidationError as invalid:
        problem: Any = invalid.errors()[0]
        refuse(
            f"{path}: {'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}; "
            "measure anew with python -m benchmarks capacity"
        )
