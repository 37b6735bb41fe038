"""The keeper: makes incidents and work orders of the stored events, and keeps their times.

An actor of its own beside the writer: what goes wrong with incidents holds no event up. Its place in the events is in
SQL with what it made of them (actors/store/incident_keeping.py), so it may be killed at any moment, and two at once do
what one does.
"""

import threading
import time
from collections.abc import Iterable

import ray
import redis
import sqlalchemy.exc
import structlog

from actors.board import Board
from actors.store import EventStore
from actors.store.incident_keeping import Ground, follow, keep_time

log = structlog.get_logger(__name__)

TICK_S = 1.0
TIMES_EVERY_S = 5.0


class Keeper:
    """`tick` is one step of it."""

    def __init__(self, board: Board, store: EventStore) -> None:
        self._board, self._store = board, store
        self._timed_s = float("-inf")
        self._heard: dict[str, tuple[float | None, float]] = {}
        """camera -> its newest report, and when it came (monotonic)"""

    def tick(self, now_s: float) -> int:
        """Take what is stored, and do what is due (seconds since 1970); how far the cursor went.

        Raises redis.RedisError or SQLAlchemyError when a server is away: nothing is lost, call again.
        """
        fleet = self._board.get_json("fleet")
        if fleet is None or not fleet.get("cameras"):
            return 0  # without the cameras' places nobody can say what belongs together: events wait
        ground = Ground.of_fleet(fleet)
        far = 0
        while step := follow(self._store.engine, ground, now_s):
            far += step
        if time.monotonic() - self._timed_s >= TIMES_EVERY_S:
            silent = self._silent(ground.districts, ground.settings.silent_min * 60)
            keep_time(self._store.engine, ground, now_s, silent)
            self._timed_s = time.monotonic()
        return far

    def _silent(self, cameras: Iterable[str], limit_s: float) -> set[str]:
        """Cameras without a new report for so long as this keeper has watched: a board that lost its memory, or a
        clock that was set, silences none at once."""
        reported, now_s = self._board.reported(), time.monotonic()
        for camera in cameras:
            told, _ = self._heard.get(camera, (None, now_s))
            if camera not in self._heard or reported.get(camera) not in (None, told):
                self._heard[camera] = (reported.get(camera), now_s)
        return {camera for camera, (_, heard_s) in self._heard.items() if now_s - heard_s >= limit_s}


@ray.remote
class KeeperActor:
    """The keeper in the cluster, named `keeper`."""

    def __init__(self, redis_url: str, store_url: str) -> None:
        self._keeper = Keeper(Board(redis_url), EventStore.open(store_url))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keep", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._keeper.tick(time.time())
            except (redis.RedisError, sqlalchemy.exc.OperationalError) as error:
                log.warning("store or board is away; trying again", error=str(error).splitlines()[0])
            except Exception:
                log.exception("keeping failed; trying again")
            self._stopping.wait(TICK_S)

    def ready(self) -> bool:
        return True

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
