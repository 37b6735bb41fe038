"""The camera's end of the frame path: always a connection to some inference actor, the nearest that answers.

`actors/channel.py` has the two kinds of connection. Which one is open is decided here: that to the nearest actor which
works, and after a failure that to the nearer one again when it has answered for a while (hoaban/failover.py).
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from actors.channel import Channel, LinkedModel, LocalChannel, OnResult, Peer, RayChannel
from hoaban.failover import Failover

__all__ = ["LinkedModel", "ModelLink", "Peer"]

log = structlog.get_logger(__name__)

LOOK_HOME_EVERY_S = 2.0
FIRST_PAUSE_S, MOST_PAUSE_S = 0.1, 2.0


class ModelLink:
    """Keeps a camera linked to a model.

    on_result runs on the link's thread, one result at a time, in the order of the frames. peers are tried in order,
    those of this node first.
    """

    def __init__(self, hello: dict[str, Any], peers: Sequence[Peer], node: str, on_result: OnResult) -> None:
        self._hello, self._node, self._on_result = hello, node, on_result
        self._offering = threading.Lock()
        """held while a frame is written; what channel is open changes under it"""
        self._lock = threading.Lock()
        """of what follows"""
        self._failover = Failover()
        self._peers: dict[str, Peer] = {}
        self._opening: set[Channel] = set()
        self._next: tuple[Peer, Channel] | None = None
        self._home: threading.Thread | None = None
        self._channel: Channel | None = None
        self._stopping = threading.Event()
        self.error: str | None = None
        self.peer: str | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self.set_peers(peers)

    @property
    def model(self) -> LinkedModel | None:
        """The model at the other end now; another connection is another object."""
        channel = self._channel
        return None if channel is None else channel.model

    @property
    def waiting_s(self) -> float | None:
        """For how long the model has owed an answer; None when it owes none."""
        channel = self._channel
        return None if channel is None else channel.waiting_s

    def set_peers(self, peers: Sequence[Peer]) -> None:
        """New peers, for the next connection; a nearer one among them is moved to in a while."""
        nearest_first = sorted(peers, key=lambda peer: peer.node != self._node)
        with self._lock:
            self._peers = {peer.name: peer for peer in nearest_first}
            self._failover.rank(list(self._peers))
            self._look_home()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the connection, and one that is just being made."""
        self._stopping.set()
        with self._lock:
            channels, home = [*self._opening, self._channel], self._home
        for channel in channels:
            if channel is not None:
                channel.end()
        for thread in (self._thread, home):
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout_s)

    def offer(self, seq: int, fill: Callable[[NDArray[np.uint8], LinkedModel], None]) -> bool:
        """Put a frame into the mailbox: `fill` writes the model input. False when no model is linked."""
        with self._offering:
            channel = self._channel
            if channel is None:
                return False
            try:
                channel.offer(seq, lambda into: fill(into, channel.model))
            except OSError:
                return False  # the link's thread sees the same end and connects again
        return True

    # --- the link's thread

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            with self._lock:
                found, self._next = self._next, None
            if found is None:
                found = self._connect()
            if found is not None:
                pause_s = FIRST_PAUSE_S
                if self._serve(*found):
                    continue
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, MOST_PAUSE_S)
        with self._lock:
            found, self._next = self._next, None
        if found is not None:
            found[1].close()

    def _connect(self) -> tuple[Peer, Channel] | None:
        """A connection to the first peer that takes one."""
        with self._lock:
            peers = [self._peers[name] for name in self._failover.to_try(time.monotonic())]
        if not peers:
            self.error = "no inference actor is known yet"
        for peer in peers:
            if self._stopping.is_set():
                return None
            try:
                return peer, self._opened(peer)
            except Exception as error:  # Ray raises many kinds; each means: not this peer now
                self.error = f"{peer.name}: {error}"
                with self._lock:
                    self._failover.refused(peer.name, time.monotonic())
        return None

    def _opened(self, peer: Peer) -> Channel:
        """An open channel."""
        channel = (LocalChannel if peer.node == self._node else RayChannel)(peer, self._hello)
        try:
            with self._waiting(channel):
                channel.open()
        except BaseException:
            channel.close()
            raise
        return channel

    @contextlib.contextmanager
    def _waiting(self, channel: Channel) -> Iterator[None]:
        """While this thread waits for a channel that does not serve: `stop` ends the wait."""
        with self._lock:
            self._opening.add(channel)
        try:
            if self._stopping.is_set():
                raise ConnectionAbortedError("stopped")
            yield
        finally:
            with self._lock:
                self._opening.discard(channel)

    def _serve(self, peer: Peer, channel: Channel) -> bool:
        """Hand on what the model answers, to the end of the connection; True when it ended for a nearer one."""
        with self._lock, self._offering:
            self._channel, self.peer, self.error = channel, peer.name, None
            self._failover.linked(peer.name, time.monotonic())
            self._look_home()
        moves = False
        try:
            if not self._stopping.is_set():
                channel.run(self._on_result)
        except Exception as error:
            with self._lock:
                moves = self._next is not None
                if not moves and not self._stopping.is_set():
                    self.error = f"{peer.name}: {error}"
                    self._failover.lost(time.monotonic())
                    log.warning("link lost", camera=self._hello["camera"], peer=peer.name, error=str(error))
        finally:
            with self._lock, self._offering:
                self._channel = self.peer = None
            channel.close()
        return moves

    # --- back to a nearer peer

    def _look_home(self) -> None:
        """Look for a nearer peer from now on, if there is one. Called with the lock held."""
        if self._home is None and self._channel is not None and self._failover.nearer() and not self._stopping.is_set():
            self._home = threading.Thread(target=self._go_home, name="home", daemon=True)
            self._home.start()

    def _go_home(self) -> None:
        """While a farther peer serves: try nearer ones, and move to one that has answered for long enough."""
        answering: dict[str, tuple[Channel, float]] = {}
        try:
            while not self._stopping.wait(LOOK_HOME_EVERY_S * random.uniform(0.5, 1.0)):
                with self._lock:
                    nearer = [self._peers[name] for name in self._failover.nearer()]
                    if self._channel is not None and not nearer:
                        self._home = None
                        return
                for name in answering.keys() - {peer.name for peer in nearer}:
                    answering.pop(name)[0].close()
                for peer in nearer:
                    self._try(peer, answering)
                since_s = {name: since_s for name, (_, since_s) in answering.items()}
                with self._lock:
                    home = self._failover.better(since_s, time.monotonic())
                    if home is None or self._channel is None or self._stopping.is_set():
                        continue
                    log.info("link moves to a nearer model", camera=self._hello["camera"], peer=home, before=self.peer)
                    self._next, farther = (self._peers[home], answering.pop(home)[0]), self._channel
                farther.end()
        finally:
            for channel, _ in answering.values():
                channel.close()

    def _try(self, peer: Peer, answering: dict[str, tuple[Channel, float]]) -> None:
        """Show a nearer peer's model an empty picture: who takes connections and never answers is no way home."""
        channel, since_s = answering.pop(peer.name, (None, time.monotonic()))
        try:
            channel = channel or self._opened(peer)
            with self._waiting(channel):
                channel.trial()
        except Exception:  # as in _connect
            if channel is not None:
                channel.close()
            return
        answering[peer.name] = channel, since_s
