"""What the API answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hoaban.signals import SignalState
from hoaban.status import CameraStatus
from serve.times import Instant


class Health(BaseModel):
    status: str
    version: str


class CameraView(BaseModel):
    """A camera's configuration (source without secrets) and its newest status, null when it reports none."""

    id: str
    name: str
    role: str
    district: str
    owner: str
    location: dict[str, bool | float] | None = None
    source: str
    enabled: bool
    analysis_fps: float
    zones: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    heat_map: dict[str, Any] | None = Field(None, description="how its heat map is kept, null: it keeps none")
    terms: dict[str, Any] | None = Field(None, description="on which its owner shares it")
    status: CameraStatus | None = Field(description="state, ages, rates, counts; see docs/architecture.md")


class HeatMapView(BaseModel):
    """Where people and things have been lately. seconds: rows from the top, each from the left; they fade."""

    columns: int
    rows: int
    half_life_s: float
    updated_s: float | None = Field(description="capture time of the newest frame in it, seconds since 1970")
    seconds: list[list[float]]


class EventView(BaseModel):
    """seq: its number in the store. event: CloudEvents 1.0 JSON."""

    seq: int
    event: dict[str, Any]


class EventPageView(BaseModel):
    events: list[EventView]
    next_cursor: int | None


class CountView(BaseModel):
    camera: str
    line: str
    direction: str
    label: str
    lane: str | None = Field(None, description="null: the rule has no lanes, or it was crossed beside them")
    bucket_s: float | None = Field(description="start of the interval, seconds since 1970; null for the whole time")
    n: int


class TurnView(BaseModel):
    """Road users of a class that came over one line of a junction and left by another."""

    model_config = ConfigDict(populate_by_name=True)

    camera: str
    rule: str
    from_line: str = Field(alias="from")
    to_line: str = Field(alias="to")
    label: str
    bucket_s: float | None = Field(description="start of the interval, seconds since 1970; null for the whole time")
    n: int


class SignalReading(BaseModel):
    """What a traffic signal's controller says: it showed `state` at `at`."""

    state: SignalState
    at: Instant = Field(description="RFC 3339 with a zone; by the controller's clock")


class Ticket(BaseModel):
    ticket: str
    expires_in_s: int


class TicketRequest(BaseModel):
    cameras: list[str] = Field(max_length=1000, description='camera ids; "*" for the event stream')


class ModelView(BaseModel):
    name: str
    version: str
    task: str
    backend: str
    digest: str
    available: bool
    licence: str
    origin: str
    known_failures: str


class FleetView(BaseModel):
    """The fleet that runs; errors: why the last edit was refused, empty when it was taken.

    taken_at: when the files of the fleet that runs were taken; while there are errors, that is the last good one.
    """

    province: dict[str, Any] | None = None
    districts: list[dict[str, Any]] = []
    agencies: list[dict[str, Any]] = []
    models: dict[str, Any] | None = None
    retention: dict[str, Any] | None = None
    digest: str | None = None
    cameras: list[dict[str, Any]] = []
    taken_at: str | None = None
    errors: list[str] = []
