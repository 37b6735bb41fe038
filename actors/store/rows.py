"""An event as a row: what every database takes alike, or ValueError."""

import json
import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from actors.store.columns import String
from actors.store.tables import events
from hoaban.events import Event
from hoaban.evidence.manifest import digest
from hoaban.plates import normalise


def event_row(event: Event) -> dict[str, Any]:
    """The columns of an event; the whole of it is in `body`.

    Texts are cut to their column's width, NUL (which PostgreSQL does not keep) becomes U+FFFD. Raises ValueError for an
    id that is no name, and for values of another type than their column's: SQLite would take them, PostgreSQL not.
    """
    data = event.data
    event.to_json()  # a number that JSON does not have is refused here
    model = data.get("model") or {}
    if not isinstance(model, Mapping):
        raise ValueError(f"model: {model!r:.80} is no object")
    turn, health = event.type == "hoaban.turning_count", event.type == "hoaban.camera_health"
    if not event.id or event.id != _text("id", event.id):
        raise ValueError(f"id: {event.id[:80]!r} is no name of at most {events.c.id.type.length} characters")
    row = {
        "id": event.id,
        "type": event.type,
        "camera": event.camera,
        "role": data.get("role"),
        "rule": data.get("rule"),
        "label": data.get("class"),
        "line": data.get("line"),
        "zone": data.get("zone"),
        "direction": data.get("direction"),
        "lane": data.get("lane"),
        "turn_from": data.get("from") if turn else None,
        "turn_to": data.get("to") if turn else None,
        "fault": data.get("fault") if health else None,
        "phase": data.get("phase") if health else None,
        "track": data.get("track"),
        "time_s": event.time.timestamp(),
        "score": data.get("score"),
        "simulated": bool(data.get("simulated")),
        "evidential": bool(data.get("evidential")),
        "model": model.get("name"),
        "model_digest": model.get("digest"),
        "config": data.get("config"),
        "retention_days": data.get("retention_days"),
        "plate": plate_of(data),
    }
    fitted = {name: value if value is None else _fit(name, value) for name, value in row.items()}
    return fitted | {"body": event.to_cloudevent()}


def body_digest(body: Mapping[str, Any]) -> str:
    """Of an event as it is stored, however its keys are ordered."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest(text.encode("utf-8", "surrogatepass"))


def plate_of(data: Mapping[str, Any]) -> str | None:
    """The plate that an event names, as it is searched."""
    told = data.get("plate")
    text = told.get("text") if isinstance(told, Mapping) else told
    return normalise(text) or None if isinstance(text, str) else None


def _fit(name: str, value: object) -> object:
    kind = events.c[name].type
    if isinstance(kind, String):
        return _text(name, value)
    if isinstance(kind, sa.Boolean):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: {value!r:.80} is no number")
    if isinstance(kind, sa.Integer):  # BigInteger is one too
        bits = 63 if isinstance(kind, sa.BigInteger) else 31
        if not isinstance(value, int) or not -(2**bits) <= value < 2**bits:
            raise ValueError(f"{name}: {value!r:.80} is no whole number of {bits + 1} bits")
    elif not math.isfinite(float(value)):
        raise ValueError(f"{name}: {value!r:.80} is no finite number")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r:.80} is no text")
    clean = value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean[: events.c[name].type.length]
