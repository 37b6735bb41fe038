"""The courier: carries stored events to the targets of the integrations file, each with a thread of its own.

At least once: an event is forgotten when its target has taken it, and carries the same id at every attempt. A target
that is away holds up nobody else.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping

import ray
import redis
import sqlalchemy.exc
import structlog
from pydantic import SecretStr

from actors.board import Board
from actors.integrations.senders import AwayError, Message, RefusedError, Sender, open_sender
from actors.store import EventStore
from actors.store.outbox import Outbox, Waiting
from hoaban.events import Event
from hoaban.integrations import IntegrationSettings, Target, leaves
from hoaban.integrations.retry import pause_s

log = structlog.get_logger(__name__)

TICK_S = 1.0


class Courier:
    """Carries to one target. `tick` is one step; `make` opens the connection."""

    def __init__(
        self, target: Target, board: Board, outbox: Outbox, make: Callable[[Target], Sender] = open_sender
    ) -> None:
        self._target, self._board, self._outbox = target, board, outbox
        self._sender = make(target)
        self._begun = False
        self._failures, self._rests_until_s = 0, float("-inf")

    def tick(self, now_s: float) -> int:
        """Take in what was stored, send what is due (now_s: since 1970); how many were delivered.

        Raises redis.RedisError or SQLAlchemyError when a server is away: call again.
        """
        fleet = self._board.get_json("fleet")
        if fleet is None or not fleet.get("cameras"):
            return 0  # without the fleet nobody can say what may leave: events wait
        cameras = {camera["id"]: camera for camera in fleet["cameras"]}
        if not self._begun:
            self._outbox.begin(self._target.id)
            self._begun = True

        def document(event: Event) -> dict[str, object] | None:
            return leaves(event, cameras.get(event.camera), self._target)

        while self._outbox.take_in(self._target.id, lambda event: document(event) is not None):
            pass
        if now_s < self._rests_until_s:
            return 0
        done = 0
        for waiting in self._outbox.due(self._target.id, now_s):
            found = document(waiting.event)  # once more: what an owner allows may have changed since
            if found is None:
                self._outbox.dropped(self._target.id, [waiting.seq])
                continue
            event = waiting.event
            try:
                self._sender.send(Message(event.id, event.camera, event.type, found))
            except (AwayError, RefusedError) as error:
                self._failed(waiting, error, now_s)
                if isinstance(error, AwayError):
                    break
                continue
            self._outbox.delivered(self._target.id, [waiting.seq], now_s)
            self._failures = 0
            done += 1
        return done

    def _failed(self, waiting: Waiting, error: Exception, now_s: float) -> None:
        target, attempts = self._target, waiting.attempts + 1
        dead = attempts >= target.most_attempts
        rests_s = pause_s(attempts, random.random())
        if isinstance(error, AwayError):
            self._failures += 1
            self._rests_until_s = now_s + pause_s(self._failures, random.random())
        self._outbox.failed(target.id, waiting.seq, str(error), now_s + rests_s, dead=dead)
        told = log.error if dead else log.warning
        told(
            "event given up" if dead else "event not delivered",
            target=target.id,
            event_id=waiting.event.id,
            camera=waiting.event.camera,
            attempts=attempts,
            error=str(error),
        )

    def close(self) -> None:
        self._sender.close()


@ray.remote
class CourierActor:
    """The courier in the cluster, named `courier`."""

    def __init__(
        self, settings: IntegrationSettings, secrets: Mapping[str, SecretStr], redis_url: str, store_url: str
    ) -> None:
        self._environment = {name: value.get_secret_value() for name, value in secrets.items()}
        self._stopping = threading.Event()
        self._board, self._outbox = Board(redis_url), Outbox(EventStore.open(store_url).engine)
        self._threads = [
            threading.Thread(target=self._run, args=(target,), name=f"send-{target.id}", daemon=True)
            for target in settings.targets
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, target: Target) -> None:
        courier = Courier(target, self._board, self._outbox, lambda target: open_sender(target, self._environment))
        while not self._stopping.is_set():
            try:
                courier.tick(time.time())
            except (redis.RedisError, sqlalchemy.exc.SQLAlchemyError) as error:
                log.warning("store or board is away; trying again", error=str(error).splitlines()[0])
            except Exception:
                log.exception("sending failed; trying again", target=target.id)
            self._stopping.wait(TICK_S)
        courier.close()

    def ready(self) -> bool:
        return True

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
