"""A picture's way through a model: offered piece by piece, answered, and handed on with what was seen in it.

A camera has one analyser for its detector and one for its face model. Each has a link of its own to the models; what
becomes of a picture that was seen is the handler's business (actors/scene_watch.py, actors/face_watch.py).
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.link import LinkedModel, ModelLink, Peer
from actors.picture import Picture
from hoaban.admission import Admission
from hoaban.detections import Floats
from hoaban.frames import FrameMeta, Letterbox
from hoaban.phase import PhaseSeeker
from hoaban.tiling import INPUTS, Part, Sweep, Sweeps, Tiles, merge

log = structlog.get_logger(__name__)

Pacing = Literal["live", "demand"]
MOST_PENDING = 8
RETRY_S = 0.05


@dataclass(frozen=True)
class Seen:
    """A picture and what a model saw in it, for good: nothing else ever pairs pixels with boxes.

    parts: of the whole picture first, then of its pieces. Times: seconds since 1970, of the picture decoded, its first
    piece offered and taken, its last one answered, and that answer received.
    """

    picture: Picture
    parts: tuple[Part, ...]
    model: LinkedModel
    decoded_s: float
    offered_s: float
    taken_s: float
    done_s: float
    received_s: float

    @cached_property
    def people(self) -> Floats:
        """(n, 4) float32 xyxy pixels of all that may be a person, below the camera's min_score too.

        To hide a face that is none costs nothing. Worked out when a tile is wanted, which few frames become.
        """
        meta = self.picture.meta
        return merge(self.parts, self.model.labels, meta.width, meta.height).of("person").boxes


@dataclass(slots=True)
class _Pending:
    """A picture on its way, piece by piece where the camera has tiles."""

    picture: Picture
    sweep: Sweep
    decoded_s: float
    letterbox: Letterbox | None = None
    """of the piece that is with the model"""
    model: LinkedModel | None = None
    offered_s: float | None = None
    taken_s: float | None = None
    done_s: float = 0.0
    done: threading.Event | None = None
    """in demand pacing: set when it was handed on or given up"""


class _OvertakenError(Exception):
    """A newer picture waits for the model: this one's other pieces are left out."""


Prepare = Callable[[NDArray[np.uint8], Letterbox, FrameMeta], None]


class Analyser:
    """Shows a camera's pictures to a model.

    take: called with each picture that was seen, on the link's thread, one at a time, in the order of the frames; what
    it raises is told and costs this picture alone. prepare: may change a model input in place before the model has it.
    pacing "live": the newest picture wins, what the model has no time for is left out. "demand": no picture that is
    admitted is left out.
    """

    def __init__(
        self,
        admission: Admission,
        hello: dict[str, Any],
        *,
        peers: Sequence[Peer],
        node: str,
        take: Callable[[Seen], None],
        pacing: Pacing = "live",
        tiles: Tiles | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        self._admission, self._take, self._pacing, self._prepare = admission, take, pacing, prepare
        self._camera = hello["camera"]
        self._sweeps = Sweeps(tiles)
        # Who is to see the same frames every time does not move away from others.
        self._phase = PhaseSeeker(self._camera, 1 / admission.rate) if pacing == "live" else None
        self._lock = threading.Lock()
        self._pending: dict[int, _Pending] = {}
        self._held: int | None = None
        self._fault: str | None = None
        self._seen_s: float | None = None
        self._stopping = threading.Event()
        self.replaced = self.failed = self.skipped = 0
        """model inputs replaced by a newer one; pictures on which the model or the handler failed; pieces left out"""
        self.link = ModelLink(hello, peers, node, self._on_result)

    @property
    def gated(self) -> int:
        """Pictures that were due and held back because nothing moved."""
        return self._admission.gated

    @property
    def trouble(self) -> str | None:
        """Why pictures are not analysed, in words; None when nothing is known to be wrong."""
        return f"model: {self.link.error}" if self.link.error else self._fault

    @property
    def idle_s(self) -> float | None:
        """For how long no picture was handed on; None before the first."""
        return None if self._seen_s is None else time.monotonic() - self._seen_s

    def start(self) -> None:
        self.link.start()

    def degrade(self, rate_share: float, *, whole: bool) -> None:
        """Show the model this share of the pictures from now on; whole: without their tiles."""
        self._admission.thin(rate_share)
        self._sweeps.whole = whole

    def stop(self) -> None:
        """After it nothing is handed on any more."""
        self._stopping.set()
        self.link.stop()
        with self._lock:
            self._pending.clear()

    def offer(self, picture: Picture) -> None:
        """A decoded picture, analysed when it is due and something moves. In demand pacing it returns after that."""
        meta, decoded_s = picture.meta, time.time()
        if not self._admission.admit(meta.captured_s, picture.luma):
            return
        with self._lock:
            pending = _Pending(picture, self._sweeps.begin(meta.width, meta.height), decoded_s)
        if self._pacing == "live":
            self._offer(pending)
        else:
            self._see_through(pending)

    def _see_through(self, pending: _Pending) -> None:
        """Offer a picture until it was seen; one that a lost link took with it, to the next model from the start."""
        pending.done = threading.Event()
        while not self._stopping.is_set():
            if self.link.model is not pending.model:
                with self._lock:
                    self._pending.clear()
                    self._held = None
                    pending.sweep.parts.clear()
                self._offer(pending)
            if pending.done.wait(RETRY_S):
                return

    def _offer(self, pending: _Pending) -> bool:
        """Offer a picture's next piece to the model; False when none is linked, or a newer picture waits for it."""
        piece = pending.sweep.next()
        if piece is None:
            return False
        number = pending.picture.meta.seq * INPUTS + piece
        try:
            return self.link.offer(number, lambda into, model: self._fill(number, pending, into, model))
        except _OvertakenError:
            return False

    def _fill(self, number: int, pending: _Pending, into: NDArray[np.uint8], model: LinkedModel) -> None:
        # The link lets one offer at a time through, so nothing newer comes in between these two locks.
        with self._lock:
            if pending.sweep.parts and (pending.model is not model or any(other > number for other in self._pending)):
                raise _OvertakenError
        crop = pending.sweep.pieces[number % INPUTS]
        pixels, letterbox = pending.picture.model_input(model.shape.width, model.shape.height, into, crop)
        if self._prepare is not None:
            self._prepare(pixels, letterbox, pending.picture.meta)
        pending.letterbox, pending.model = letterbox, model
        pending.offered_s = pending.offered_s or time.time()
        with self._lock:
            self._pending[number] = pending
            self._held = number if self._held is None else self._held
            if len(self._pending) > MOST_PENDING:
                del self._pending[self._spare()]
                self.replaced += 1

    def _spare(self) -> int:
        """The oldest pending input that the model can hardly hold: it took the newest one when it was last free.

        Two threads meet there, so the neighbours of that one are kept too, and the newest of all.
        """
        numbers = sorted(self._pending)
        held = next((i for i, number in enumerate(numbers) if number >= (self._held or 0)), 0)
        return next(number for i, number in enumerate(numbers[:-1]) if abs(i - held) > 1)

    def _on_result(self, result: wire.Result, model: LinkedModel) -> None:
        """Take the answer to one piece in; the last one of a picture hands the picture on."""
        overtaken: list[_Pending] = []
        with self._lock:
            pending = self._pending.get(result.seq)
            if pending is not None and pending.model is not model:
                return  # offered once more since, to the model that took this one's place
            self._pending.pop(result.seq, None)
            self._held = None
            if self._pending:
                overtaken = [self._pending.pop(number) for number in sorted(self._pending) if number < result.seq]
                self._held = max(self._pending, default=None)
                self.replaced += sum(not older.sweep.parts for older in overtaken)
        for older in overtaken:
            self._hand_on(older)
        if pending is None:
            return
        if result.failed:
            self.failed += 1
            self._fault = f"the model failed on frame {result.seq // INPUTS}; see the log of {self.link.peer}"
        elif pending.letterbox is not None:
            if pending.taken_s is None and pending.offered_s is not None and self._phase is not None:
                # Each difference is of one node's clock; the two may differ.
                wait_s = time.time() - pending.offered_s - (result.done_s - result.taken_s)
                if delay_s := self._phase.waited(wait_s, time.monotonic()):
                    self._admission.delay(delay_s)
            pending.sweep.parts.append(Part(result.rows, pending.letterbox))
            pending.taken_s, pending.done_s = pending.taken_s or result.taken_s, result.done_s
            if self._offer(pending):
                return
        self._hand_on(pending)

    def _hand_on(self, pending: _Pending) -> None:
        sweep, model = pending.sweep, pending.model
        if self._stopping.is_set():
            return
        if sweep.parts and model is not None and pending.offered_s is not None and pending.taken_s is not None:
            with self._lock:
                self._sweeps.end(sweep)
                self.skipped += len(sweep.pieces) - len(sweep.parts)
            times = pending.decoded_s, pending.offered_s, pending.taken_s, pending.done_s, time.time()
            try:
                self._take(Seen(pending.picture, tuple(sweep.parts), model, *times))
                self._seen_s, self._fault = time.monotonic(), None
            except Exception as error:  # of a rule, say: the frame is lost, the link and the next frame are not
                log.exception("frame not analysed", camera=self._camera, seq=pending.picture.meta.seq)
                self.failed += 1
                self._fault = f"frames are not analysed: {type(error).__name__}: {error}; see the log"
        if pending.done is not None:
            pending.done.set()
