"""The fleet: what the fleet file says, checked (CONTRACT, Fleet file)."""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, model_validator

from hoaban.calibration import Calibration
from hoaban.evidence.retention import Retention
from hoaban.heatmap import HeatMapSettings
from hoaban.incidents.settings import IncidentSettings
from hoaban.pool_size import PoolSettings
from hoaban.rules import AnyRule, Site
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.rules.plate_watchlist import PlateWatchlistRule
from hoaban.shapes import Id, Line, Strict, Zone
from hoaban.signals import Signal
from hoaban.source_address import SourceAddress
from hoaban.terms import Terms
from hoaban.tiling import Tiles

SIM_MODEL = "sim-colours"
DEFAULT_TIMEZONE = "Asia/Ho_Chi_Minh"


SiteName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,63}$", description="small letters, digits and _")]


class Role(StrEnum):
    TRAFFIC_ENFORCEMENT = "traffic_enforcement"
    TRAFFIC_COUNTING = "traffic_counting"
    OVERVIEW = "overview"
    FACE_CROWD = "face_crowd"
    NEIGHBOURHOOD = "neighbourhood"
    SHARED = "shared"


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone; write one like {DEFAULT_TIMEZONE}") from None
    return value


TimeZone = Annotated[str, AfterValidator(_known_timezone)]


class Province(Strict):
    name: str = Field(min_length=1)
    timezone: TimeZone = DEFAULT_TIMEZONE


class Named(Strict):
    """A district or an agency."""

    id: Id
    name: str = Field(min_length=1)


UNLOAD_AFTER_S = 600.0


class Models(Strict):
    detect: str = Field(
        default="yolox-nano", min_length=1, description="detector of every camera that names none: NAME or NAME@VERSION"
    )
    faces: str = Field(default="faces", min_length=1, description="face model of cameras with a face rule")
    unload_after_s: float | None = Field(
        UNLOAD_AFTER_S,
        ge=10,
        description="a model that is no detector of the fleet is unloaded when no camera has asked for it for so long, "
        "such as a candidate after its shadow; null: never",
    )
    pool: PoolSettings | None = Field(None, description="let the number of inference actors follow the load")


class Location(Strict):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    surveyed: bool = Field(True, description="false: a guess or made up, not measured on the spot")


class Camera(Strict):
    id: Id
    name: str = Field(min_length=1)
    role: Role
    district: str
    owner: str
    location: Location | None = None
    timezone: TimeZone | None = Field(None, description="of the schedules of its rules; the province's by default")
    source: SourceAddress = Field(description="rtsp(s)://, http(s)://….m3u8, a file, or sim://; secrets as ${ENV_NAME}")
    enabled: bool = True
    model: str | None = Field(
        None, min_length=1, description="detector; by default models.detect, or sim-colours for sim://"
    )
    face_model: str | None = Field(None, min_length=1, description="for face rules; models.faces by default")
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
    post_roll_s: float = Field(6.0, ge=0, le=60, description="how long an evidence clip goes on after its event")
    resume_s: float = Field(
        120.0, ge=0, description="away for longer: a crowd or jam that was open then is ended, reason unknown"
    )
    latency_budget_s: float | None = Field(
        None, gt=0, le=60, description="capture to events told; a camera over it gives things up until it keeps it"
    )
    tile_width: int = Field(640, ge=64, le=1920)
    site: SiteName | None = Field(None, description="run only on nodes with the Ray resource site_SITE")
    tiles: Tiles | None = Field(None, description="cut the picture up for the model, to find small things")
    heat_map: HeatMapSettings | None = Field(None, description="keep a map of where people and things have been lately")
    zones: tuple[Zone, ...] = ()
    privacy_zones: tuple[Zone, ...] = Field(
        (), description="windows, gardens: blacked out as soon as a frame is decoded, for models, people and evidence"
    )
    lines: tuple[Line, ...] = ()
    signals: tuple[Signal, ...] = Field((), description="traffic signals in the picture, or told by their controller")
    calibration: Calibration | None = Field(None, description="picture to ground; needed for speeds")
    rules: tuple[AnyRule, ...] = ()
    terms: Terms | None = Field(None, description="on which its owner shares it")

    @model_validator(mode="after")
    def _rules_can_work(self) -> "Camera":
        site = self.site_for(1, 1)
        for rule in self.rules:
            named = (getattr(rule, field) for field, place in rule.references().items() if place == "zones")
            # A zone that is not there is told with its own path (see fleet_checks).
            if all(zone in site.zones for zone in named) and (why := rule.refusal(site)):
                raise ValueError(f"rule {rule.name!r}: {why}")
        return self

    def site_for(self, width: int, height: int) -> Site:
        """What the camera's rules are built on, for frames of width x height pixels."""
        zones, lines = {zone.id: zone for zone in self.zones}, {line.id: line for line in self.lines}
        return Site(zones, lines, width, height, self.calibration, self.clock)

    @property
    def rules_rest_on(self) -> tuple[object, ...]:
        """What of the configuration its rules are built on: they begin anew when it changes, and only then."""
        return self.rules, self.zones, self.lines, self.signals, self.calibration, self.timezone

    @property
    def sweeps_per_s(self) -> float:
        """Pictures a second to analyse, within the budget of the tiles."""
        return self.tiles.rate(self.analysis_fps) if self.tiles else self.analysis_fps

    @property
    def inputs_per_s(self) -> float:
        """Model inputs a second that this takes."""
        return self.sweeps_per_s * (self.tiles.inputs if self.tiles else 1)

    @property
    def clock(self) -> ZoneInfo:
        """The time zone of its schedules."""
        return ZoneInfo(self.timezone or DEFAULT_TIMEZONE)

    @property
    def face_rules(self) -> tuple[FaceWatchlistRule, ...]:
        """The rules that need the face model; without any it is never asked."""
        return tuple(rule for rule in self.rules if isinstance(rule, FaceWatchlistRule))

    @property
    def plate_rules(self) -> tuple[PlateWatchlistRule, ...]:
        """The rules that need plates read; without any none is read for them."""
        return tuple(rule for rule in self.rules if isinstance(rule, PlateWatchlistRule))

    def digest(self) -> str:
        """sha256 of the configuration in canonical form, without the secrets of its source: those are no part of it.

        Events carry it, so nobody may work a password out from it.
        """
        return _digest(self)

    def revision(self) -> str:
        """What a running camera is compared by: the digest, and the secrets of its source, which restart its stream.

        Never shown, stored or logged.
        """
        return hashlib.sha256(f"{self.digest()} {self.source.reveal()}".encode()).hexdigest()


class Fleet(Strict):
    version: Literal[1]
    province: Province
    districts: tuple[Named, ...] = ()
    agencies: tuple[Named, ...] = ()
    sites: tuple[SiteName, ...] = Field((), description="places with machines of their own; cameras may name no other")
    models: Models = Models()
    retention: Retention = Field(Retention(), description="how long things are kept")
    incidents: IncidentSettings = IncidentSettings()
    cameras: tuple[Camera, ...] = ()

    def with_defaults(self) -> "Fleet":
        """The same fleet with each camera's models and time zone filled in; a face model only where a rule asks."""
        return self.model_copy(update={"cameras": tuple(self._filled(camera) for camera in self.cameras)})

    def _filled(self, camera: Camera) -> Camera:
        filled = {
            "model": camera.model or self.default_model(camera.source),
            "timezone": camera.timezone or self.province.timezone,
        }
        if camera.face_rules:
            filled["face_model"] = camera.face_model or self.models.faces
        return camera.model_copy(update=filled)

    def default_model(self, source: SourceAddress) -> str:
        """The detector for a source when nobody names one: a simulated picture needs one that knows its colours."""
        return SIM_MODEL if source.simulated else self.models.detect

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
