"""Where events are that should be stored, for the message of a test that misses some."""

from collections.abc import Collection
from pathlib import Path

from actors.bus import DEAD_LETTERS, GROUP, STREAM, connect
from actors.store import EventStore
from hoaban.events import Event

MOST_NAMED = 5


def whereabouts(expected: Collection[Event], redis_url: str, store: EventStore, spools: Path) -> str:
    """Of the expected events that are not stored, how many lie where, and the first of them by name."""
    stored = store.total()
    missing = [event.id for event in expected if store.find(event.id) is None]
    client = connect(redis_url, timeout_s=30)
    stream = "\n".join(fields.get("body", "") for _, fields in client.xrange(STREAM))
    dead = client.xrange(DEAD_LETTERS)
    aside = "\n".join(fields.get("body", "") for _, fields in dead)
    journals = {path: path.read_text(errors="replace") for path in spools.rglob("*.jsonl")}
    lines = [
        f"{stored} stored, {len(missing)} of {len(expected)} missing; the stream holds {client.xlen(STREAM)}",
        f"given and not acknowledged: {client.xpending_range(STREAM, GROUP, '-', '+', 10)}",
        f"put aside: {[fields.get('why') for _, fields in dead[:MOST_NAMED]]}",
        *(f"{path}: {text.count(chr(10))} lines" for path, text in journals.items()),
        *(f"{path}: there" for path in spools.rglob("lock")),
    ]
    for name in missing[:MOST_NAMED]:
        places = {"stream": stream, "put aside": aside, **{str(path): text for path, text in journals.items()}}
        lines.append(f"{name}: {[place for place, text in places.items() if name in text] or 'nowhere'}")
    return "\n".join(lines)
