"""Real inference services whose model is a function of the test: all but the network itself is real."""

import secrets
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from actors.inference import InferenceService
from actors.link import Peer
from hoaban.events import Event, ModelRef
from hoaban.fleet import SIM_MODEL
from hoaban.models.backend import Detector

Infer = Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]


class Kept:
    """A publisher that keeps the events."""

    spooled, error = 0, None

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, events: list[Event]) -> None:
        self.events += events

    def close(self) -> None: ...


class _Stub:
    """The simulation's detector with another `infer`."""

    def __init__(self, detector: Detector, infer: Infer | None, template: ModelRef | None) -> None:
        self.ref, self.labels, self.template = detector.ref, detector.labels, template
        self.input_width, self.input_height = detector.input_width, detector.input_height
        self.device, self.most, self.notes = detector.device, detector.most, detector.notes
        self.infer, self.warm_up = infer or detector.infer, detector.warm_up


def serve(infer: Infer | None = None, *, faces: bool = False) -> tuple[Peer, InferenceService]:
    """A service of this node, named at random, whose SIM_MODEL is `infer`; by default it finds simulated things.

    faces: it says that its rows carry templates.
    """
    name, session = f"stub-{secrets.token_hex(4)}", secrets.token_hex(4)
    service = InferenceService(name, session, [SIM_MODEL], threads=2, device="cpu")
    stub = _Stub(service.shelf[SIM_MODEL].detector, infer, ModelRef("template", "1", "d") if faces else None)
    service.shelf.put(SIM_MODEL, stub)
    return Peer(name, "here", session), service
