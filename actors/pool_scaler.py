"""The number of inference actors, kept at what hoaban/pool_size.py wants, and told to Ray's autoscaler.

Part of the supervisor. Without `models.pool` in the fleet file every place has its actor, and nothing is asked of Ray.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from ray.autoscaler.sdk import request_resources

from actors.board import POOL, Board
from hoaban.placement import Node, Place, inference_places
from hoaban.pool_size import Load, PoolSettings, PoolSize

log = structlog.get_logger(__name__)

SHOWN_EVERY_S = 5.0


class PoolScaler:
    """`places` at each tick."""

    def __init__(self, board: Board) -> None:
        self._board, self._size = board, PoolSize()
        self._asked: list[dict[str, float]] | None = None
        self._shown_s = float("-inf")
        self._shown: int | None = None
        self._resumed = False

    def places(
        self, nodes: Sequence[Node], era: str, settings: PoolSettings | None, loads: Mapping[str, Load], running: int
    ) -> list[Place]:
        """Where inference actors are to stand now. loads: of those that are ready. running: how many there are."""
        room = inference_places(nodes, era, None if settings is None else settings.threads)
        if settings is None:
            self._ask_ray([])
            self._show_fixed()
            return room
        self._resume(running)
        wanted = self._size.update(settings, list(loads.values()), time.monotonic(), len(room))
        self._ask_ray([{"GPU": 1.0} if any(node.gpus for node in nodes) else {"CPU": float(settings.threads)}] * wanted)
        self._show(settings, wanted, len(room), len(loads))
        return room[:wanted]

    def _resume(self, running: int) -> None:
        """Where actors run already, go on from the number that an earlier supervisor wanted: none has answered yet."""
        if self._resumed:
            return
        self._resumed = True
        try:
            told = (self._board.get_json(POOL) or {}) if running else {}
        except Exception:
            log.warning("the pool's size of before is not known; as many as run are wanted", exc_info=True)
            told = {}
        self._size.resume(told.get("wanted", running))

    def _ask_ray(self, bundles: list[dict[str, float]]) -> None:
        """Tell Ray's autoscaler what the actors need together; a cluster without one takes no notice."""
        if bundles == self._asked:
            return
        try:
            request_resources(bundles=bundles)
            self._asked = bundles
        except Exception:
            log.warning("Ray's autoscaler not told", exc_info=True)

    def _show_fixed(self) -> None:
        if self._shown == 0:
            return
        try:
            self._board.put_json(POOL, {})
            self._shown = 0
        except Exception:
            log.warning("the pool's size not shown", exc_info=True)

    def _show(self, settings: PoolSettings, wanted: int, room: int, ready: int) -> None:
        now = time.monotonic()
        if wanted == self._shown and now - self._shown_s < SHOWN_EVERY_S:
            return
        if self._shown and wanted != self._shown:
            log.info("inference pool", wanted=wanted, before=self._shown, why=self._size.why, room=room)
        view: dict[str, Any] = settings.model_dump(include={"least", "most"}) | {
            "wanted": wanted, "ready": ready, "room": room, "why": self._size.why,
            "lag": round(self._size.lag, 3), "busy": round(self._size.busy, 3), "at_s": time.time(),
        }  # fmt: skip
        try:
            self._board.put_json(POOL, view)
            self._shown, self._shown_s = wanted, now
        except Exception:
            log.warning("the pool's size not shown", exc_info=True)
