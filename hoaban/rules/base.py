"""What every rule is, and what several of them need.

A rule is two classes in one file: its part of the fleet file (`RuleConfig`) and the rule itself (`Rule`), which the
first one builds. hoaban/rules/__init__.py lists them; nothing else needs to know of a new one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Protocol, get_args, runtime_checkable
from zoneinfo import ZoneInfo

from pydantic import Field

from hoaban.calibration import Calibration
from hoaban.detections import Tracks
from hoaban.events import Finding
from hoaban.rules.seen import Places, Seen
from hoaban.rules.shared import Shared
from hoaban.scene import Scene, View
from hoaban.shapes import Line, Strict, Zone

OBJECT_CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""what the traffic and security rules speak of; a model's other labels may be named too"""

Classes = Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a field of a rule: what it holds must be the id of one of the camera's `place` (zones, lines, signals)."""

    place: str


ZoneId = Annotated[str, Names("zones")]
LineId = Annotated[str, Names("lines")]
SignalId = Annotated[str, Names("signals")]


@dataclass(frozen=True)
class Site:
    """What a rule is built on: the camera's zones and lines by id, its calibration, its frames' size in pixels.

    timezone: of the clocks that schedules speak of. shared: work on a frame that its rules need not do twice.
    """

    zones: Mapping[str, Zone]
    lines: Mapping[str, Line]
    width: int
    height: int
    calibration: Calibration | None = None
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    shared: Shared = field(default_factory=Shared)

    @cached_property
    def places(self) -> Places:
        """Zones, lines and ground in pixels of the frames."""
        return self.shared.keep(
            "places", lambda: Places(self.zones, self.lines, self.width, self.height, self.calibration)
        )

    def seen(self, tracks: Tracks) -> Seen:
        """The tracks of this frame, with what other rules have worked out of them already."""
        return self.shared.seen(tracks, self.places)


class Rule(Protocol):
    """Looks at each analysed frame and says what it found. No input or output of its own; time is the frame's."""

    name: str

    @property
    def views(self) -> tuple[View, ...]:
        """Pieces of the picture it looks at, () for a rule on tracks alone."""
        ...

    def update(self, scene: Scene) -> list[Finding]: ...


@runtime_checkable
class Measuring(Protocol):
    """A rule that can say what it measures now, for people who look at the camera."""

    name: str

    def measures(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


class RuleConfig(Strict):
    """A rule in the fleet file. Subclasses add `type: Literal[...]` and build the rule."""

    roles: ClassVar[tuple[str, ...]] = ()
    """roles of the cameras it may stand on; () for any"""

    type: str
    id: str | None = Field(None, description="name of the rule within the camera; by default TYPE:ZONE or TYPE:LINE")

    @property
    def name(self) -> str:
        """The rule's name within its camera."""
        return default_name(self.model_dump())

    def build(self, site: Site) -> Rule | None:
        """The rule, ready for its first frame; None where a camera's actor does the rule's work itself."""
        raise NotImplementedError

    def refusal(self, site: Site) -> str | None:
        """Why the rule cannot work on this camera, and what to do; None when it can."""
        return None

    @classmethod
    def references(cls) -> dict[str, str]:
        """field -> the camera's list (zones, lines, signals) that must have what the field names."""
        return {
            name: mark.place
            for name, info in cls.model_fields.items()
            for mark in (*info.metadata, *_marks(info.annotation))
            if isinstance(mark, Names)
        }


def _marks(annotation: Any) -> Iterator[Any]:
    """What is attached to a type or to those within it: `LineId | None` and `tuple[LineId, ...]` name lines too."""
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _marks(inner)


def default_name(rule: Mapping[str, Any]) -> str:
    """The name of a rule given as plain values: its id, else its type and the zone or line it stands on."""
    if rule.get("id"):
        return str(rule["id"])
    where = rule.get("line") or rule.get("zone")
    return f"{rule.get('type')}:{where}" if isinstance(where, str) else str(rule.get("type"))


class TrackRule:
    """What rules on tracks alone share: a name, and no view of the picture."""

    views: tuple[View, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name


def box_of(tracks: Tracks, row: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = tracks.boxes[row].tolist()
    return x1, y1, x2, y2


def track_fields(tracks: Tracks, row: int) -> dict[str, Any]:
    """The fields of a finding that a track gives."""
    return {
        "track": int(tracks.ids[row]),
        "label": tracks.label(row),
        "score": float(tracks.scores[row]),
        "bbox": box_of(tracks, row),
    }
