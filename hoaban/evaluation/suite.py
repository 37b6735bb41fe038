"""Recordings with known happenings: the suite that models are judged on. docs/models.md describes the format.

One YAML file a recording::

    clip: road-a.mp4            # a clip by name, a file beside this one, or sim://
    view: good                  # or poor: the detector is known to fail there
    role: traffic_counting      # the camera role whose work it shows; this one by default
    near_s: 1.5                 # an event so near in time to a happening may be it
    camera: {analysis_fps: 8}   # keys of a camera in the fleet file; rules: by default a line_count on every line
    lines: [{id: road, from: [0.33, 0.62], to: [0.93, 0.62]}]
    crossings:                  # of lines; also: what else it may rightly be called
      - {at_s: 1.05, line: road, direction: forward, class: car, also: [truck], what: "red saloon"}
    happenings:                 # anything else that a rule tells; place: its zone or line
      - {at_s: 7.0, type: intrusion, place: yard, class: person}

at_s: seconds of media time from the first frame.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from hoaban.evaluation.matching import Happening
from hoaban.events import EVENT_TYPE_PREFIX, Event
from hoaban.fleet import Camera, Role
from hoaban.fleet_checks import misfits
from hoaban.fleet_text import FleetError, FleetErrors
from hoaban.fleet_yaml import FleetYaml, Path, Tell
from hoaban.shapes import Id, Line, Strict, Zone

OWN = frozenset({"id", "name", "role", "district", "owner", "source", "model", "lines", "zones"})
"""keys of a camera that a recording sets by itself"""


class Crossing(Strict):
    """Somebody or something that crossed a line."""

    at_s: float = Field(ge=0)
    line: Id
    direction: Literal["forward", "backward"]
    class_: str = Field(alias="class", min_length=1)
    also: tuple[str, ...] = Field((), description="what else it may rightly be called")
    what: str = Field("", description="for people who look at what was missed")

    @property
    def happening(self) -> Happening:
        return Happening(self.at_s, ("line_count", self.line, self.direction), (self.class_, *self.also))


class OtherHappening(Strict):
    """Anything else that a rule tells."""

    at_s: float = Field(ge=0)
    type: str = Field(min_length=1, description="event type without its prefix, such as intrusion")
    place: str = Field("", description="zone or line")
    direction: str = ""
    class_: str | None = Field(None, alias="class", min_length=1)
    also: tuple[str, ...] = ()
    what: str = ""

    @property
    def happening(self) -> Happening:
        classes = (self.class_, *self.also) if self.class_ else ()
        return Happening(self.at_s, (self.type, self.place, self.direction), classes)


class Recording(Strict):
    """One recording and what is known to have happened in it."""

    clip: str = Field(min_length=1)
    view: Literal["good", "poor"] = "good"
    role: Role = Role.TRAFFIC_COUNTING
    near_s: float = Field(1.5, gt=0, le=60)
    camera: dict[str, Any] = Field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    happenings: tuple[OtherHappening, ...] = ()

    @property
    def kinds(self) -> set[str]:
        """The kinds of events that its rules tell: all that are told of them have to have happened."""
        return {rule.type for rule in self.on("recording", "a.mp4").rules}

    @model_validator(mode="after")
    def _camera_is_one(self) -> "Recording":
        self.on("recording", "a.mp4")
        return self

    def misfits(self) -> Iterator[tuple[Path, str]]:
        """(path, message) of each part that does not fit the others."""
        for key in sorted(OWN & self.camera.keys()):
            yield ("camera", key), "may not stand there; remove it"
        lines, zones = {line.id for line in self.lines}, {zone.id for zone in self.zones}
        for index, crossing in enumerate(self.crossings):
            if crossing.line not in lines:
                yield ("crossings", index, "line"), f"no line {crossing.line!r}; name one of the lines"
            if "line_count" not in self.kinds:
                yield ("crossings", index), "no rule line_count is in camera.rules; add it"
        for index, other in enumerate(self.happenings):
            if other.place and other.place not in lines | zones:
                yield ("happenings", index, "place"), f"no zone or line {other.place!r}; name one of them"
            if other.type not in self.kinds:
                yield ("happenings", index, "type"), f"no rule {other.type!r} is in camera.rules; add it"
        # A model that no list knows: which classes it finds is not known here, so any may be waited for.
        placed = {key: [one.model_dump(by_alias=True) for one in getattr(self, key)] for key in ("lines", "zones")}
        camera = {"role": self.role.value, "model": "of the command"} | self.camera | placed
        for path, message in misfits({"cameras": [camera]}):
            yield path[2:] if path[2] in placed else ("camera", *path[2:]), message

    def on(self, name: str, source: str) -> Camera:
        """The camera that a replay of it runs. Raises ValidationError."""
        rules = [{"type": "line_count", "line": line.id} for line in self.lines]
        return Camera.model_validate(
            {"rules": rules}
            | self.camera
            | {"id": name, "name": self.clip[:200], "role": self.role, "district": "d", "owner": "o"}
            | {"source": source, "lines": self.lines, "zones": self.zones}
        )

    @cached_property
    def truths(self) -> tuple[Happening, ...]:
        """What happened, in order of time."""
        known = [one.happening for one in self.crossings] + [one.happening for one in self.happenings]
        return tuple(sorted(known, key=lambda one: one.at_s))

    def told(self, events: Iterable[Event]) -> list[Happening]:
        """What events of a replay say that happened, of the kinds that the recording's rules tell."""
        kinds = self.kinds
        return [happening_of(e) for e in events if _kind(e) in kinds and e.data.get("phase", "start") == "start"]


def happening_of(event: Event) -> Happening:
    """What an event says that happened."""
    data = event.data
    place = (_kind(event), str(data.get("line") or data.get("zone") or ""), str(data.get("direction") or ""))
    return Happening(event.time.timestamp(), place, (data["class"],) if data.get("class") else ())


def _kind(event: Event) -> str:
    return event.type.removeprefix(EVENT_TYPE_PREFIX)


def parse_recording(file: str, text: str) -> Recording:
    """A recording from its file. Raises FleetErrors: everything wrong, each with file, line, path and cure."""
    errors: list[FleetError] = []

    def tell(line: int, path: Path, message: str) -> None:
        errors.append(FleetError(file, line, _text(path), message))

    yaml = FleetYaml(tell, "clip, lines and crossings is expected; see docs/models.md")
    document = yaml.read(text)
    if document is not None:
        try:
            recording = Recording.model_validate(document)
        except ValidationError as invalid:
            _explain(invalid, yaml.lines, tell)
        else:
            for path, message in recording.misfits():
                tell(_line(path, yaml.lines), path, message)
    if errors:
        raise FleetErrors(errors)
    return recording


def _explain(invalid: ValidationError, lines: Mapping[Path, int], tell: Tell) -> None:
    for problem in invalid.errors():
        path: Path = tuple(problem["loc"])
        if ("camera", *path) in lines and path not in lines:  # of the camera that the recording makes
            path = ("camera", *path)
        match problem["type"]:
            case "extra_forbidden":
                message = "unknown key; remove it or correct its spelling"
            case "missing":
                message = "is missing; add it"
            case "value_error":
                message = str(problem["ctx"]["error"])
            case _:
                message = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}; correct it"
        tell(_line(path, lines), path, message)


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of a path, or of the nearest one above it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _text(path: Path) -> str:
    """crossings[3].line"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
