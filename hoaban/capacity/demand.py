"""What one camera asks of a node."""

from dataclasses import dataclass

from hoaban.capacity.costs import Assumed, Costs, StreamGuess
from hoaban.fleet import Camera
from hoaban.rules import makes_evidence
from hoaban.sim.address import parse_address

FRAMES_HELD = 6
"""pictures that a camera has in hand at once: the newest, the analysed one, those on their way, those in the decoder"""


STILLS_MB = 48
"""decoded pictures that a camera which makes evidence holds, as many as fit (actors/stills.py)"""


class UnknownCostError(LookupError):
    """A model or a codec that was not measured."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Of one camera. cpus: processors it keeps busy, its model included unless a GPU does that. gpus: its share."""

    camera: str
    site: str | None
    cpus: float
    memory_mb: float
    gpus: float
    network_mbit: float


def demand(
    camera: Camera, costs: Costs, guess: StreamGuess, *, ring_s: float, on_gpu: bool, assumed: Assumed | None = None
) -> Demand:
    """What a camera (with its defaults filled in) asks for. ring_s: how much of its stream it keeps for evidence.

    Raises UnknownCostError.
    """
    stream = _stream(camera, guess)
    if stream.codec not in costs.decode:
        raise UnknownCostError(
            f"{stream.codec} was not measured on {costs.machine}; there is {', '.join(costs.decode)}"
        )
    decode = costs.decode[stream.codec]
    megapixels = stream.width * stream.height / 1e6
    active = stream.active if camera.motion_gate and not camera.signals else 1.0
    pictures = min(camera.sweeps_per_s, stream.fps) * active
    inputs = pictures * (camera.tiles.inputs if camera.tiles else 1)
    wanted = {camera.model or "": inputs}
    if camera.face_model:
        faces = min(max(rule.fps for rule in camera.face_rules), stream.fps) if camera.face_rules else 0.0
        wanted[camera.face_model] = wanted.get(camera.face_model, 0.0) + faces
    cpus = costs.camera_s + stream.fps * (decode.frame_s + megapixels * decode.megapixel_s)
    cpus += pictures * costs.analysed_s + sum(wanted.values()) * costs.input_s
    gpus = 0.0
    for name, rate in wanted.items():
        model = costs.models.get(name.partition("@")[0])
        if model is None:
            raise UnknownCostError(
                f"camera {camera.id}: the model {name!r} was not measured on {costs.machine}; there is: "
                f"{', '.join(sorted(costs.models))}; measure it with python -m benchmarks capacity"
            )
        if on_gpu and model.gpu_s is None:
            raise UnknownCostError(
                f"the model {name!r} was measured on no GPU; plan with gpus=0, or measure on a node that has one"
            )
        if on_gpu and model.gpu_s is not None:
            gpus += rate * model.gpu_s
        else:
            cpus += rate * model.cpu_s
    memory_mb = costs.camera_mb + ring_s * stream.mbit / 8 + FRAMES_HELD * megapixels * 1.5
    more_cpus, more_mb = _proof(camera, costs, megapixels, assumed or Assumed())
    cpus, memory_mb = cpus + more_cpus, memory_mb + more_mb
    network_mbit = 0.0 if camera.source.simulated else stream.mbit
    return Demand(camera.id, camera.site, cpus, memory_mb, gpus, network_mbit)


def _proof(camera: Camera, costs: Costs, megapixels: float, assumed: Assumed) -> tuple[float, float]:
    """Processors and MB that stills and plates take."""
    vehicles_per_s, cpus, memory_mb = assumed.vehicles_per_min / 60, 0.0, 0.0
    if makes_evidence(camera.rules):
        stills_per_s = vehicles_per_s * assumed.stills_per_vehicle
        cpus += stills_per_s * megapixels * _measured(camera, costs, costs.still_megapixel_s, "stills")
        memory_mb += STILLS_MB
    if camera.plate_rules:
        crops_per_s = vehicles_per_s * max(rule.looks for rule in camera.plate_rules)
        cpus += crops_per_s * _measured(camera, costs, costs.plate_s, "plates")
        memory_mb += costs.plates_mb
    return cpus, memory_mb


def _measured(camera: Camera, costs: Costs, cost: float | None, what: str) -> float:
    if cost is None:
        raise UnknownCostError(
            f"camera {camera.id}: what {what} cost was not measured on {costs.machine}; "
            "measure it with python -m benchmarks capacity"
        )
    return cost


def _stream(camera: Camera, guess: StreamGuess) -> StreamGuess:
    if not camera.source.simulated:
        return guess
    parameters = parse_address(camera.source.reveal()).parameters
    width, height = parameters.size
    return guess.model_copy(update={"fps": float(parameters.fps), "width": width, "height": height, "codec": "h264"})
