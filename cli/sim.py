"""`hoaban sim`: what simulated sources are, and what is true of them."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
import yaml

from cli.common import print_json, refuse, written
from hoaban.sim.address import SimAddress, parse_address
from hoaban.sim.film import Film
from hoaban.sim.truth import to_json

app = typer.Typer(no_args_is_help=True, help="Simulated sources: their truth, and a fleet file for them.")
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="sim://SCENE?parameter=value&…")]
ROLES = {
    "junction": "traffic_enforcement",
    "road": "traffic_counting",
    "plaza": "face_crowd",
    "overview": "overview",
    "yard": "neighbourhood",
}


@app.command()
def truth(
    source: Source,
    out: Annotated[Path, typer.Option(help="the truth is written here, one JSON object a line")],
    frames: Annotated[bool, typer.Option("--frames/--no-frames", help="each frame's objects too")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="a summary as one JSON document")] = False,
) -> None:
    """Write the ground truth of a simulated source: set-up, frames, phases, crossings, violations, happenings."""
    address = _address(source)
    if address.parameters.duration is None:
        refuse(f"{source}: it has no end; add duration=SECONDS to it")
    counts: Counter[str] = Counter()
    with written(out, []) as file:
        for record in Film(address).truth(frames=frames):
            counts[record.record] += 1
            file.write(to_json(record) + "\n")
    if as_json:
        print_json({"source": source, "out": str(out), "records": counts})
    else:
        print(f"{', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}: {out}")


@app.command()
def fleet(source: Source) -> None:
    """Print a fleet file with one camera on the source: the scene's zones, lines and calibration, and no rules yet."""
    print(yaml.safe_dump(fleet_document(_address(source)), allow_unicode=True, sort_keys=False), end="")


def fleet_document(address: SimAddress) -> dict[str, object]:
    """The fleet file of `fleet`, as plain values."""
    setup = Film(address).setup()
    camera = {
        "id": f"sim-{address.scene}",
        "name": f"Mô phỏng: {address.scene}",
        "role": ROLES[address.scene],
        "district": "sim",
        "owner": "sim",
        "source": address.text,
        "calibration": setup.calibration,
        "zones": [{"id": name, "polygon": _lists(polygon)} for name, polygon in setup.zones.items()],
        "lines": [{"id": name, "from": list(a), "to": list(b)} for name, (a, b) in setup.lines.items()],
        "rules": [{"type": "camera_health"}],
    }
    named = [{"id": "sim", "name": "Mô phỏng"}]
    return {"version": 1, "province": {"name": "Mô phỏng"}, "districts": named, "agencies": [dict(named[0])],
            "cameras": [camera]}  # fmt: skip


def _lists(points: tuple[tuple[float, float], ...]) -> list[list[float]]:
    return [list(point) for point in points]


def _address(source: str) -> SimAddress:
    try:
        return parse_address(source)
    except ValueError as error:
        refuse(f"{source}: {error}")
