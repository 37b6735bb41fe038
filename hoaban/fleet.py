"""The fleet: what the fleet file says, checked (CONTRACT, Fleet file)."""

import hashlib
import json
import re
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, field_validator

from hoaban.calibration import Calibration
from hoaban.rules import AnyRule, Site
from hoaban.shapes import Id, Line, Strict, Zone
from hoaban.sim.address import is_sim, parse_address

SIM_MODEL = "sim-colours"
SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "sim")


class Role(StrEnum):
    TRAFFIC_ENFORCEMENT = "traffic_enforcement"
    TRAFFIC_COUNTING = "traffic_counting"
    OVERVIEW = "overview"
    FACE_CROWD = "face_crowd"
    NEIGHBOURHOOD = "neighbourhood"
    SHARED = "shared"


class Province(Strict):
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


class Named(Strict):
    """A district or an agency."""

    id: Id
    name: str = Field(min_length=1)


class Models(Strict):
    detect: str = Field(
        default="yolox-nano", min_length=1, description="detector of every camera that names none: NAME or NAME@VERSION"
    )


class Location(Strict):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Camera(Strict):
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
    model: str | None = Field(None, description="detector; by default models.detect, or sim-colours for sim://")
    min_score: float = Field(0.25, ge=0, le=1, description="detections below continue no track")
    begin_score: float = Field(
        0.6, ge=0, le=1, description="detections below begin no track; lower it where far or parked vehicles matter"
    )
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
    calibration: Calibration | None = Field(None, description="picture to ground; needed for speeds")
    rules: tuple[AnyRule, ...] = ()

    @field_validator("source")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if match := re.match(r"^([A-Za-z][A-Za-z0-9+.-]*)://", value):
            if match[1].lower() not in SCHEMES:
                raise ValueError(f"{match[1]}:// is not supported; use one of {', '.join(SCHEMES)}, or a file path")
            if is_sim(value):
                parse_address(value)
        return value

    def site_for(self, width: int, height: int) -> Site:
        """What the camera's rules are built on, for frames of width x height pixels."""
        zones, lines = {zone.id: zone for zone in self.zones}, {line.id: line for line in self.lines}
        return Site(zones, lines, width, height, self.calibration)

    def digest(self) -> str:
        """sha256 of the configuration in canonical form. The source counts, so a changed secret restarts the stream."""
        return _digest(self)


class Fleet(Strict):
    version: Literal[1]
    province: Province
    districts: tuple[Named, ...] = ()
    agencies: tuple[Named, ...] = ()
    models: Models = Models()
    cameras: tuple[Camera, ...] = ()

    def with_defaults(self) -> "Fleet":
        """The same fleet with each camera's model filled in."""
        cameras = tuple(
            c if c.model else c.model_copy(update={"model": self.default_model(c.source)}) for c in self.cameras
        )
        return self.model_copy(update={"cameras": cameras})

    def default_model(self, source: str) -> str:
        """The detector for a source when nobody names one: a simulated picture needs one that knows its colours."""
        return SIM_MODEL if is_sim(source) else self.models.detect

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
