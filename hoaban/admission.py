"""Which of a camera's frames a model sees: those that are due, and of these the ones in which something moves.

By capture time and brightness alone, so that a live camera and a replay of its recording analyse the same frames.
"""

from collections.abc import Callable

from hoaban.fleet import Camera
from hoaban.motion import HEIGHT, WIDTH, Luma, MotionGate
from hoaban.sampling import FrameSampler


class Admission:
    """Admits at most `rate` frames a second; with a gate, fewer while nothing moves. One caller at a time.

    gated: how many frames were due and held back.
    """

    def __init__(self, rate: float, *, gate: bool) -> None:
        self.rate = rate
        self._sampler = FrameSampler(rate)
        self._gate = MotionGate(period_s=1 / rate) if gate else None
        self.gated = 0

    @classmethod
    def of_scene(cls, camera: Camera) -> "Admission":
        """For the camera's detector.

        A lamp that changes is too small a motion for the gate, so who watches signals sees every frame that is due.
        """
        return cls(camera.sweeps_per_s, gate=camera.motion_gate and not camera.signals)

    @classmethod
    def of_faces(cls, camera: Camera) -> "Admission":
        """For the face model of a camera with face rules. Raises ValueError for one without."""
        return cls(max(rule.fps for rule in camera.face_rules), gate=camera.motion_gate)

    def delay(self, by_s: float) -> None:
        """Admit later from now on, once by this many seconds (see hoaban/phase.py). Any thread may ask."""
        self._sampler.delay(by_s)

    def thin(self, share: float) -> None:
        """Admit this share of `rate` from now on, 0 < share <= 1. Any thread may ask."""
        self._sampler.rate = self.rate * share

    def admit(self, captured_s: float, luma: Callable[[int, int], Luma]) -> bool:
        """True when the frame is to be analysed. luma: gives its brightness at a width and height."""
        if not self._sampler.due(captured_s):
            return False
        if self._gate is None or self._gate.admit(luma(WIDTH, HEIGHT), captured_s):
            return True
        self.gated += 1
        return False
