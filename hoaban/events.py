"""Events: what a rule found, named so that the same happening always has the same id."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hoaban.frames import FrameMeta

EVENT_TYPE_PREFIX = "hoaban."


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model gave the detections: name, version, the sha256 of its file, and that of its card.

    The card says how the file's numbers become boxes: one that was edited makes another model of the same file.
    """

    name: str
    version: str
    digest: str
    card: str | None = None
    """None where it is not known: of a model without a card, and in events that were made before cards were told"""

    def as_dict(self) -> dict[str, str]:
        told = {"name": self.name, "version": self.version, "digest": self.digest}
        return told if self.card is None else told | {"card": self.card}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an event needs so that it can be explained and made again (DESIGN 8)."""

    model: ModelRef
    config: str
    """sha256 of the camera's part of the fleet file, in canonical form"""
    code: str
    """version of this software"""
    calibration: str | None = None
    retention_days: int | None = None
    """after so long the event is to be purged, by the terms of the camera's owner"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in a frame, before it is bound to a camera and its provenance.

    `kind` is the event type without its prefix ("line_count"). `rule` names the rule within the camera
    ("line_count:in"). `bbox` is xyxy pixels of the source frame. `extra` is what only this kind carries.
    `part` tells it from others that the same rule finds in the same frame where no track does; it is part of the id.
    """

    kind: str
    rule: str
    track: int | None = None
    label: str | None = None
    zone: str | None = None
    line: str | None = None
    direction: str | None = None
    score: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One happening, as CloudEvents 1.0 carries it (CONTRACT, Events)."""

    id: str
    type: str
    camera: str
    time: datetime
    data: Mapping[str, Any]

    @property
    def source(self) -> str:
        return f"/cameras/{self.camera}"

    def to_cloudevent(self) -> dict[str, Any]:
        """The CloudEvents JSON object, keys in a fixed order."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.data.get("rule"),
            "time": format_time(self.time),
            "datacontenttype": "application/json",
            "data": dict(self.data),
        }

    def to_json(self) -> str:
        """One line of compact JSON, the same bytes for the same event."""
        return json.dumps(self.to_cloudevent(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_cloudevent(cls, document: Mapping[str, Any]) -> "Event":
        """The event in a CloudEvents JSON object.

        Raises ValueError that names the missing or malformed attribute.
        """
        try:
            source = str(document["source"])
            if not source.startswith("/cameras/"):
                raise ValueError(f"source: {source!r} is not /cameras/ID")
            return cls(
                id=str(document["id"]),
                type=str(document["type"]),
                camera=source.removeprefix("/cameras/"),
                time=parse_time(str(document["time"])),
                data=dict(document["data"]),
            )
        except KeyError as missing:
            raise ValueError(f"not an event: attribute {missing} is missing") from None
        except (TypeError, OverflowError, AttributeError) as error:
            raise ValueError(f"not an event: {error}") from None

    @classmethod
    def from_json(cls, line: str) -> "Event":
        try:
            document = json.loads(line, parse_constant=_no_number)
        except RecursionError:
            raise ValueError("not an event: nested too deep") from None
        if not isinstance(document, dict):
            raise ValueError("not an event: a JSON object is expected")
        return cls.from_cloudevent(document)


def bind(finding: Finding, frame: FrameMeta, role: str, provenance: Provenance) -> Event:
    """The event of a finding: named, timed and with its provenance."""
    time = utc(frame.captured_s)
    detail = f"{finding.line or finding.zone or ''}/{finding.direction or ''}"
    if finding.part is not None:
        detail += f"/{finding.part}"
    return Event(
        id=event_id(frame.camera, finding.rule, finding.track, frame.captured_s, detail),
        type=EVENT_TYPE_PREFIX + finding.kind,
        camera=frame.camera,
        time=time,
        data={
            "camera": frame.camera,
            "role": role,
            "rule": finding.rule,
            "track": finding.track,
            "class": finding.label,
            "zone": finding.zone,
            "line": finding.line,
            "direction": finding.direction,
            "score": None if finding.score is None else round(float(finding.score), 4),
            "bbox": None if finding.bbox is None else [round(float(v), 1) for v in finding.bbox],
            "frame": {"seq": frame.seq, "width": frame.width, "height": frame.height},
            "model": provenance.model.as_dict(),
            "config": provenance.config,
            "code": provenance.code,
            "calibration": provenance.calibration,
            "simulated": frame.simulated,
            "evidential": False,
            "evidence": None,
            **({} if provenance.retention_days is None else {"retention_days": provenance.retention_days}),
            **finding.extra,
        },
    )


def _no_number(name: str) -> None:
    raise ValueError(f"not an event: {name} is no number of JSON")


def event_id(camera: str, rule: str, track: int | None, captured_s: float, detail: str = "") -> str:
    """The name of a happening: 128 bits of sha256 over camera, rule, track and capture time (microseconds)."""
    key = "\x1f".join([camera, rule, "" if track is None else str(track), str(round(captured_s * 1e6)), detail])
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def utc(seconds: float) -> datetime:
    """Aware UTC time of seconds since 1970, to the microsecond."""
    return datetime.fromtimestamp(round(seconds, 6), UTC)


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with six decimals: sorts as text."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Aware UTC time of an RFC 3339 text. Raises ValueError for anything else, a time without zone included."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; write it as 2026-01-31T08:00:00Z")
    return time.astimezone(UTC)
