"""What a camera does for evidence beside its frames: pictures kept while a rule may need them, candidates recorded."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from actors.clock import machine_clock
from actors.picture import Picture
from actors.plates import reader_or_reason
from actors.preroll import Clip
from actors.recorder import LONGEST_CLIP_S, EvidenceFolder, Recorder, RecorderThread
from actors.stills import StillRing
from hoaban.clock_watch import ClockWatch
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.rules import makes_evidence

RING_SLACK_S = 5.0
"""how much longer than the longest clip the encoded stream is kept: the recorder may be busy"""


def ring_seconds(camera: Camera) -> float:
    """How much of its encoded stream a camera keeps."""
    return LONGEST_CLIP_S + RING_SLACK_S if makes_evidence(camera.rules) else camera.pre_roll_s


class EvidenceKeeper:
    """Stills and recorder of one camera. Live it has a thread of its own; in a replay `take` does all the work.

    clip: cuts the camera's encoded stream between two capture times.
    """

    def __init__(self, camera: Camera, url: str, clip: Callable[[float, float], Clip], *, live: bool) -> None:
        self._needed = makes_evidence(camera.rules)
        self._stills, self._clock, self._live = StillRing(), ClockWatch(), live
        self.recorder = Recorder(
            camera.id,
            EvidenceFolder(url),
            clip,
            pre_roll_s=camera.pre_roll_s,
            post_roll_s=camera.post_roll_s,
            reader=reader_or_reason,
            clock=self._clock_told,
        )
        self._thread = RecorderThread(self.recorder, time.time) if live else None

    def start(self) -> None:
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """Write what waits."""
        if self._thread is not None:
            self._thread.stop()
        else:
            self.recorder.finish()

    def configure(self, camera: Camera) -> None:
        """Whether the camera still has rules that need evidence, and how much before and after."""
        self._needed = makes_evidence(camera.rules)
        self.recorder.configure(camera.pre_roll_s, camera.post_roll_s)

    def take(self, picture: Picture, events: Iterable[Event], pins: set[int]) -> list[Event]:
        """An analysed picture, what was found in it, and the frames that may yet be needed; the events as published."""
        if not self._needed:
            return list(events)
        meta = picture.meta
        if meta.arrived_s is not None:
            self._clock.frame(meta.arrived_s, meta.stream_s, meta.told_s)
        self._stills.add(picture)
        claimed = [self.recorder.claim(event, self._stills) for event in events]
        self._stills.pin(pins)
        if self._thread is not None:
            self._thread.saw(picture.meta.captured_s)
        else:
            self.recorder.advance(picture.meta.captured_s)
        return claimed

    def _clock_told(self) -> dict[str, Any]:
        """By which clock the capture times are, how well it is kept, and how far the camera's own is off."""
        if not self._live:
            return {"capture_times": "of the recording", "machine": None, "camera": None}
        camera = {
            "offset_s": self._clock.offset_s,
            "drift": self._clock.drift,
            "known_by": "its stream (RTCP sender reports)" if self._clock.offset_s is not None else "nothing",
        }
        return {"capture_times": "of this machine, at arrival", "machine": machine_clock(), "camera": camera}
