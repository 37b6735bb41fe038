"""The simulated scenes: one file each, and one line here."""

from collections.abc import Callable
from typing import Any

from hoaban.sim.address import SimAddress
from hoaban.sim.scenes.junction import Junction
from hoaban.sim.scenes.overview import Overview
from hoaban.sim.scenes.plaza import Plaza
from hoaban.sim.scenes.road import Road
from hoaban.sim.scenes.yard import Yard
from hoaban.sim.stage import World

WORLDS: dict[str, Callable[[Any], World]] = {
    "junction": Junction,
    "road": Road,
    "plaza": Plaza,
    "overview": Overview,
    "yard": Yard,
}
"""scene -> its world, from its parameters (hoaban.sim.address.SCENES names the kind of each)"""


def build_world(address: SimAddress) -> World:
    """The world of an address, at its first moment."""
    return WORLDS[address.scene](address.parameters)
