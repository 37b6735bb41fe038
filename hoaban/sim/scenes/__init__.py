"""The simulated scenes: one file each, and one line here."""

from hoaban.sim.address import JunctionParameters, SimAddress
from hoaban.sim.scenes.junction import Junction
from hoaban.sim.stage import World


def build_world(address: SimAddress) -> World:
    """The world of an address, at its first moment."""
    parameters = address.parameters
    if isinstance(parameters, JunctionParameters):
        return Junction(parameters)
    raise ValueError
