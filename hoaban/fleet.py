"""The fleet: what the fleet file says, checked (CONTRACT, Fleet file)."""

import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hoaban.fleet_rules import Rule

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="small letters, digits, - and _")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Fraction, Fraction]
SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "sim")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Role(StrEnum):
    TRAFFIC_ENFORCEMENT = "traffic_enforcement"
    TRAFFIC_COUNTING = "traffic_counting"
    OVERVIEW = "overview"
    FACE_CROWD = "face_crowd"
    NEIGHBOURHOOD = "neighbourhood"
    SHARED = "shared"


class Province(_Strict):
    name: str = Field(min_length=1)
    timezone: str = "Asia/Ho_Chi_Minh"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone; write one like Asia/Ho_Chi_Minh") from None
        return value


class Named(_Strict):
    """A district or an agency."""

    id: Id
    name: str = Field(min_length=1)


class Models(_Strict):
    detect: str = Field(
        default="yolox-nano", min_length=1, description="detector of every camera that names none: NAME or NAME@VERSION"
    )


class Location(_Strict):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Zone(_Strict):
    """A polygon on the picture, corners as fractions of its width (right) and height (down)."""

    id: Id
    polygon: Annotated[tuple[Point, ...], Field(min_length=3)]

    @field_validator("polygon")
    @classmethod
    def _simple(cls, polygon: tuple[Point, ...]) -> tuple[Point, ...]:
        if _area(polygon) < 1e-6:
            raise ValueError("the polygon has no area; give at least three corners that do not lie on one line")
        if _crosses_itself(polygon):
            raise ValueError("the polygon crosses itself; list its corners in order around it")
        return polygon


class Line(_Strict):
    """A line on the picture from A to B. `forward` crosses from A->B's left to its right, as seen in the picture."""

    id: Id
    from_: Point = Field(alias="from")
    to: Point

    @model_validator(mode="after")
    def _has_length(self) -> "Line":
        if self.from_ == self.to:
            raise ValueError("the line has no length; its ends must differ")
        return self


class Camera(_Strict):
    id: Id
    name: str = Field(min_length=1)
    role: Role
    district: str
    owner: str
    location: Location | None = None
    source: str = Field(
        min_length=1, description="rtsp(s)://, http(s)://….m3u8, a file, or sim://; secrets as ${ENV_NAME}"
    )
    enabled: bool = True
    model: str | None = Field(None, description="detector; models.detect by default")
    min_score: float = Field(0.35, ge=0, le=1, description="detections below are not tracked")
    analysis_fps: float = Field(5.0, gt=0, le=60, description="frames a second to analyse")
    guaranteed_fps: float = Field(0.0, ge=0, le=60, description="of these, how many go before other cameras' wishes")
    motion_gate: bool = Field(True, description="hold frames back while nothing moves")
    loop: bool = Field(True, description="a file starts again at its end, as a live stream would go on")
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    stall_s: float = Field(5.0, gt=0, description="no frame for so long: stalled")
    pre_roll_s: float = Field(6.0, ge=0, le=60, description="encoded stream kept for evidence")
    tile_width: int = Field(640, ge=64, le=1920)
    site: str | None = Field(
        None, pattern=r"^[a-z0-9_]+$", description="run only on nodes with the Ray resource site_SITE"
    )
    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    rules: tuple[Rule, ...] = ()

    @field_validator("source")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if match := re.match(r"^([A-Za-z][A-Za-z0-9+.-]*)://", value):
            if match[1].lower() not in SCHEMES:
                raise ValueError(f"{match[1]}:// is not supported; use one of {', '.join(SCHEMES)}, or a file path")
            if match[1].lower() == "sim":
                raise ValueError("sim:// sources are not built in this version; use a stream or a file")
        return value

    def digest(self) -> str:
        """sha256 of the configuration in canonical form. The source counts, so a changed secret restarts the stream."""
        return _digest(self)


class Fleet(_Strict):
    version: Literal[1]
    province: Province
    districts: tuple[Named, ...] = ()
    agencies: tuple[Named, ...] = ()
    models: Models = Models()
    cameras: tuple[Camera, ...] = ()

    def with_defaults(self) -> "Fleet":
        """The same fleet with each camera's model filled in."""
        cameras = tuple(c if c.model else c.model_copy(update={"model": self.models.detect}) for c in self.cameras)
        return self.model_copy(update={"cameras": cameras})

    def digest(self) -> str:
        return _digest(self)

    def camera(self, name: str) -> Camera:
        """The camera with an id. Raises KeyError."""
        for camera in self.cameras:
            if camera.id == name:
                return camera
        raise KeyError(name)


def _digest(model: BaseModel) -> str:
    text = json.dumps(model.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _area(polygon: tuple[Point, ...]) -> float:
    """Shoelace formula, in squares of the picture."""
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2


def _crosses_itself(polygon: tuple[Point, ...]) -> bool:
    edges = list(zip(polygon, polygon[1:] + polygon[:1], strict=True))
    count = len(edges)
    return any(
        _segments_cross(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if not (i == 0 and j == count - 1)
    )


def _segments_cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
