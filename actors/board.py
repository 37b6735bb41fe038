"""The live side of Redis: what cameras say of themselves now and counters to resume from."""

import json
import time
from collections.abc import Iterator
from typing import Any

from actors.bus import DEAD_LETTERS, OPEN, STREAM, TOLD_ONCE, connect
from hoaban.events import Event
from hoaban.lasting import ONCE_S
from hoaban.signals import Reading, SignalState

STATUS, CHECKPOINTS, SIGNALS = "hoaban:status", "hoaban:checkpoints", "hoaban:signals"
WATCHED = "hoaban:watched"
DRAINS, ERA, NODES, POOL = "drains", "era", "nodes", "pool"
"""keys of `put_json`: nodes that are to be drained, {node: {"end": whether Ray ends it then}}; what processes are
started with, {"era"}; the nodes and how far moves are, as actors/moves.py tells; how many inference actors there should
be, as actors/pool_scaler.py tells, empty where their number is fixed"""
MOST_READINGS = 1000
FIRST_READINGS = 50
"""how many of the newest readings a camera that starts looks back at"""


class Board:
    """Small records by camera id. Raises redis.RedisError when the server is away."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)

    def put_status(self, camera: str, status: dict[str, Any], lives_s: float) -> None:
        """A camera's status; one that is not renewed within lives_s is shown no more."""
        record = {"until": time.time() + lives_s, "status": status}
        self._redis.hset(STATUS, camera, json.dumps(record, ensure_ascii=False))

    def put_watched(self, camera: str, captured_s: float) -> None:
        """Capture time of the last frame a camera analysed. Only after `open_happenings` was read: the gap ends."""
        self._redis.hset(WATCHED, camera, repr(captured_s))

    def statuses(self) -> dict[str, dict[str, Any]]:
        """camera id -> its newest status, those that ran out left out."""
        now = time.time()
        records = {camera: json.loads(text) for camera, text in self._redis.hgetall(STATUS).items()}
        return {camera: record["status"] for camera, record in records.items() if record["until"] >= now}

    def reported(self) -> dict[str, float]:
        """camera id -> when its own process reported last, seconds since 1970, however long ago."""
        return {status["camera"]: status["reported_s"] for status in self._told() if status.get("pid") is not None}

    def whereabouts(self) -> dict[str, str]:
        """camera id -> the node on which its process ran when it reported last."""
        return {status["camera"]: status["node"] for status in self._told() if status.get("node")}

    def _told(self) -> Iterator[dict[str, Any]]:
        """Each camera's newest status, however old it is."""
        return (json.loads(text)["status"] for text in self._redis.hgetall(STATUS).values())

    def drop_status(self, camera: str) -> None:
        self._redis.hdel(STATUS, camera)

    def save_checkpoint(self, camera: str, checkpoint: dict[str, Any]) -> None:
        self._redis.hset(CHECKPOINTS, camera, json.dumps(checkpoint))

    def load_checkpoint(self, camera: str) -> dict[str, Any] | None:
        text = self._redis.hget(CHECKPOINTS, camera)
        return None if text is None else json.loads(text)

    def open_happenings(self, camera: str) -> tuple[list[Event], float]:
        """What a camera told the beginning of and not the end, and the capture time of the last frame it analysed."""
        bodies = self._redis.hvals(f"{OPEN}:{camera}")
        watched_s = self._redis.hget(WATCHED, camera)
        return [Event.from_json(body) for body in bodies], float(watched_s or 0.0)

    def told_once(self, camera: str) -> list[Event]:
        """What a camera told lately of those who may be there still (hoaban/lasting.py), the oldest first."""
        bodies = self._redis.zrange(f"{TOLD_ONCE}:{camera}", time.time() - ONCE_S, "+inf", byscore=True)
        return sorted(map(Event.from_json, bodies), key=lambda event: event.time)

    def put_reading(self, camera: str, reading: Reading) -> None:
        """What the controller of a camera's signal says; the newest MOST_READINGS of a camera are kept."""
        fields = {"signal": reading.signal, "state": reading.state.value, "at_s": repr(reading.at_s)}
        self._redis.xadd(f"{SIGNALS}:{camera}", fields, maxlen=MOST_READINGS, approximate=True)

    def readings(self, camera: str, after: str) -> tuple[str, list[Reading]]:
        """A camera's readings after an entry ("" at first), oldest first, and the newest entry's name."""
        key = f"{SIGNALS}:{camera}"
        if after:
            entries = self._redis.xrange(key, min=f"({after}", count=MOST_READINGS)
        else:
            entries = self._redis.xrevrange(key, count=FIRST_READINGS)[::-1]
        readings = [Reading(f["signal"], SignalState(f["state"]), float(f["at_s"])) for _, f in entries]
        return (str(entries[-1][0]) if entries else after), readings

    def put_json(self, key: str, document: dict[str, Any]) -> None:
        self._redis.set(f"hoaban:{key}", json.dumps(document, ensure_ascii=False))

    def get_json(self, key: str) -> dict[str, Any] | None:
        text = self._redis.get(f"hoaban:{key}")
        return None if text is None else json.loads(text)

    def backlog(self) -> tuple[int, int]:
        """Events that no writer has stored yet, and events that none could store."""
        return int(self._redis.xlen(STREAM)), int(self._redis.xlen(DEAD_LETTERS))

    def note_once(self, key: str, document: dict[str, Any], lives_s: float) -> None:
        """A note that one reader may take, within lives_s."""
        self._redis.set(f"hoaban:note:{key}", json.dumps(document), px=int(lives_s * 1000))

    def take_note(self, key: str) -> dict[str, Any] | None:
        """The note, which is gone then; None where it was taken, or is too old, or never was."""
        text = self._redis.getdel(f"hoaban:note:{key}")
        return None if text is None else json.loads(text)

    def ping(self) -> bool:
        return bool(self._redis.ping())
