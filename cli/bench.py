"""`hoaban bench`: how many frames a second this machine takes through cameras and models, beside a bare loop."""

from typing import Annotated

import typer

from actors.models import ModelError
from cli.common import print_json, refuse


def bench(
    cameras: Annotated[int, typer.Option(min=1, max=256, help="cameras at once")] = 8,
    pairs: Annotated[int, typer.Option(min=1, max=20, help="how often both sides are measured, in turn")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Measure this machine: cameras over the demo clips at full speed, against a bare decode-and-model loop."""
    from benchmarks import throughput  # Ray and all it needs: not for `hoaban --help`

    try:
        found = throughput.measure(cameras, pairs)
    except ModelError as missing:
        refuse(str(missing))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"{name:28} {', '.join(map(str, value)) if isinstance(value, list) else value}")
