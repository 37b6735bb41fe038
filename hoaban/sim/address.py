"""Addresses of simulated sources: sim://SCENE?parameter=value&…"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from hoaban.shapes import Strict


def _size(value: Any) -> Any:
    """640x360 as its two numbers."""
    if not isinstance(value, str):
        return value
    width, cross, height = value.lower().partition("x")
    if not cross or not width.isdecimal() or not height.isdecimal():
        raise ValueError("write it as 640x360")
    return int(width), int(height)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if not (160 <= width <= 1920 and 90 <= height <= 1080) or width % 2 or height % 2:
        raise ValueError("it must be even and between 160x90 and 1920x1080")
    return size


Share = Annotated[float, Field(ge=0, le=1)]


class SimParameters(Strict):
    """What any scene takes."""

    seed: int = Field(1, ge=0, le=2**32 - 1, description="the same seed gives the same pictures and the same truth")
    size: Annotated[tuple[int, int], BeforeValidator(_size), AfterValidator(_even)] = (640, 360)
    fps: int = Field(10, ge=1, le=30)
    duration: float | None = Field(None, gt=0, le=86400, description="seconds; without it the stream has no end")
    density: float = Field(1.0, ge=0, le=3, description="how much traffic or how many people, against the usual")
    night: bool = False
    noise: float = Field(2.0, ge=0, le=30, description="grey levels of the sensor's noise, standard deviation")
    occlusion: float = Field(0.0, ge=0, le=0.6, description="share of the picture behind foliage near the camera")
    drop: float = Field(0.0, ge=0, le=0.9, description="share of frames that the stream lacks")
    jitter: float = Field(0.0, ge=0, le=0.5, description="greatest error of a timestamp, in frames")
    codec: Literal["h264", "mjpeg"] = "h264"


class JunctionParameters(SimParameters):
    """A junction's."""

    violations: Share = Field(0.1, description="share of vehicles that break a rule where they can")
    green: float = Field(12.0, ge=4, le=120, description="seconds")
    yellow: float = Field(3.0, ge=1, le=10, description="seconds")
    red: float = Field(18.0, ge=12, le=120, description="seconds; the crossing road is green within it")

    @model_validator(mode="after")
    def _room_for_the_crossing_road(self) -> "JunctionParameters":
        if self.red < self.yellow + 8:
            raise ValueError(f"red ({self.red:g}) must be at least 8 s longer than yellow ({self.yellow:g})")
        return self


SCENES: dict[str, type[SimParameters]] = {
    "junction": JunctionParameters,
    "road": SimParameters,
    "plaza": SimParameters,
    "overview": SimParameters,
    "yard": SimParameters,
}
"""scene -> what it takes"""


@dataclass(frozen=True, slots=True)
class SimAddress:
    """A simulated source, taken apart."""

    text: str
    scene: str
    parameters: SimParameters


def parse_address(text: str) -> SimAddress:
    """A sim:// address taken apart.

    Raises ValueError that names everything unknown or out of bounds, and what is allowed.
    """
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}; write it as sim://junction?seed=1") from None
    scene = parts.netloc
    if scene not in SCENES or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(
            f"{scene + parts.path!r} is no simulated scene; use one of {', '.join(SCENES)}, as in sim://junction?seed=1"
        )
    kind = SCENES[scene]
    allowed = ", ".join(kind.model_fields)
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(f"{parts.query!r} is not NAME=VALUE&NAME=VALUE; {scene} takes {allowed}") from None
    names = [name for name, _ in pairs]
    wrong = [f"{name!r} is given twice; keep one" for name in dict.fromkeys(names) if names.count(name) > 1]
    wrong += [
        f"{scene} has no parameter {name!r}; it takes {allowed}"
        for name in dict.fromkeys(names)
        if name not in kind.model_fields
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
    try:
        return SimAddress(text, scene, kind.model_validate(dict(pairs)))
    except ValidationError as invalid:
        raise ValueError("; ".join(_explain(problem) for problem in invalid.errors())) from None


def _explain(problem: Any) -> str:
    message = str(problem.get("ctx", {}).get("error") or problem["msg"])
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    shown = problem["input"] if isinstance(problem["input"], str) else "x".join(str(v) for v in problem["input"])
    return f"{name}={shown}: {message[:1].lower()}{message[1:]}"
