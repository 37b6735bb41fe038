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
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.shapes import Id, Line, Strict, Zone

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
    faces: str = Field(default="faces", min_length=1, description="face model of cameras with a face rule")


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
    model: str | None = Field(None, description="detector; models.detect by default")
    face_model: str | None = Field(None, description="for face rules; models.faces by default")
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
    calibration: Calibration | None = Field(None, description="picture to ground; needed for speeds")
    rules: tuple[AnyRule, ...] = ()

    @field_validator("source")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if match := re.match(r"^([A-Za-z][A-Za-z0-9+.-]*)://", value):
            if match[1].lower() not in SCHEMES:
                raise ValueError(f"{match[1]}:// is not supported; use one of {', '.join(SCHEMES)}, or a file path")
            if match[1].lower() == "sim":
                raise ValueError("sim:// sources are not built in this version; use a stream or a file")
        return value

    def site_for(self, width: int, height: int) -> Site:
        """What the camera's rules are built on, for frames of width x height pixels."""
        zones, lines = {zone.id: zone for zone in self.zones}, {line.id: line for line in self.lines}
        return Site(zones, lines, width, height, self.calibration)

    @property
    def face_rules(self) -> tuple[FaceWatchlistRule, ...]:
        """The rules that need the face model; without any it is never asked."""
        return tuple(rule for rule in self.rules if isinstance(rule, FaceWatchlistRule))

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
        """The same fleet with each camera's models filled in; a face model only where a face rule asks for one."""
        return self.model_copy(update={"cameras": tuple(self._filled(camera) for camera in self.cameras)})

    def _filled(self, camera: Camera) -> Camera:
        models = {"model": camera.model or self.models.detect}
        if camera.face_rules:
            models["face_model"] = camera.face_model or self.models.faces
        return camera.model_copy(update=models)

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
