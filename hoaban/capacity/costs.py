"""What the parts of the system cost, as `python -m benchmarks capacity` measures it on a machine.

Processor time is in seconds of one processor of that machine. The model is linear: a camera costs

    idle + fps * (frame + megapixels * megapixel) + analysed pictures * analysed + inputs * (input + the model's own)
    + crops read * plate + stills * megapixels * still_megapixel

seconds of processor a second; benchmarks/capacity.py fits it to running cameras and tells its error on cameras that the
fit has not seen.
"""

from typing import Literal

from pydantic import Field

from hoaban.shapes import Strict

Codec = Literal["h264", "hevc"]


class DecodeCost(Strict):
    """Of one decoded frame, in processor seconds."""

    frame_s: float = Field(ge=0)
    megapixel_s: float = Field(ge=0, description="for each million pixels of it")


class ModelCost(Strict):
    """Of one model input."""

    cpu_s: float = Field(gt=0, description="seconds of one processor")
    gpu_s: float | None = Field(
        None, gt=0, description="seconds of one GPU, in batches as they come; none: not measured"
    )
    mb: float = Field(0, ge=0, description="memory of an inference actor with this model")


class Costs(Strict):
    """All of a machine's figures."""

    machine: str = Field(min_length=1)
    date: str = Field(min_length=1)
    decode: dict[Codec, DecodeCost]
    analysed_s: float = Field(ge=0, description="processor seconds of an analysed picture: tracks, rules, events")
    input_s: float = Field(ge=0, description="processor seconds of one model input beside the model's own")
    camera_s: float = Field(ge=0, description="processor seconds a second of a camera that decodes nothing")
    camera_mb: float = Field(gt=0, description="memory of a camera, its rings left out")
    models: dict[str, ModelCost]
    plate_s: float | None = Field(None, gt=0, description="processor seconds of reading a vehicle's crop for its plate")
    plates_mb: float = Field(0, ge=0, description="memory of a camera's plate reader")
    still_megapixel_s: float | None = Field(
        None, gt=0, description="processor seconds of keeping a still, for each million pixels of it"
    )
    node_cpus: float = Field(ge=0, description="processors that a node's own services take")
    node_mb: float = Field(ge=0, description="memory that a node's own services take")
    control_s: float = Field(ge=0, description="processor seconds a second on the head for each camera")
    control_mb: float = Field(ge=0, description="memory on the head: store, live store, API, dashboard")


class StreamGuess(Strict):
    """What is taken for a stream that the fleet file does not describe (a simulated one describes itself)."""

    fps: float = Field(25, gt=0, le=120)
    width: int = Field(1920, gt=0, le=16384)
    height: int = Field(1080, gt=0, le=16384)
    mbit: float = Field(4, gt=0, le=1000, description="million bits a second")
    codec: Codec = "h264"
    active: float = Field(
        1.0, gt=0, le=1, description="share of frames that the motion gate lets through, where it is on"
    )


class Assumed(Strict):
    """What nobody measured here: inputs of a plan, which it names as such."""

    vehicles_per_min: float = Field(
        20, ge=0, le=1000, description="that come before a camera which makes evidence or reads plates"
    )
    stills_per_vehicle: float = Field(2, ge=0, le=100, description="pictures kept, whether or not an event comes of it")
    gpu_model_mb: float = Field(2000, ge=0, description="memory of a GPU that one model takes")
