"""Whether an inference actor still gets on with its work, judged by what it tells of itself.

A model may hang inside a call that nothing can break off: a driver, a dead GPU, a loop in foreign code. The process
still answers then, and only this tells. It is ended and started again, and the model that hung is kept away from it for
a while, so that the cameras of its other models are not interrupted over and over.
"""

from dataclasses import dataclass

BATCH_LIMIT_S = 20.0
"""a batch takes milliseconds, on a crowded machine perhaps a second"""
LOAD_LIMIT_S = 120.0
STALL_LIMIT_S = 20.0
BARRED_FIRST_S = 60.0
BARRED_MOST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What an inference actor does now. running, loading: the model that it has been at longest, and for how long."""

    running: tuple[str, float] | None = None
    loading: tuple[str, float] | None = None
    stalled_s: float = 0.0
    """for how long frames have waited while nothing was begun or finished"""
    lag: float = 0.0
    """periods of their cameras that due frames wait for a thread, lately"""
    busy: float = 0.0
    """share of its threads' time that batches took, lately"""
    lacking: frozenset[str] = frozenset()
    """models that it was to load at once and does not have: while it loads none, those that were refused"""
    loaded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hang:
    """Why an actor has to be ended. model: what it hangs in, where that is known."""

    why: str
    model: str | None = None


def hang_of(pulse: Pulse) -> Hang | None:
    """The hang that a pulse tells of, or None."""
    if pulse.running is not None and pulse.running[1] > BATCH_LIMIT_S:
        model, for_s = pulse.running
        return Hang(f"model {model!r} has not come back from one batch for {for_s:.0f} s", model)
    if pulse.loading is not None and pulse.loading[1] > LOAD_LIMIT_S:
        model, for_s = pulse.loading
        return Hang(f"model {model!r} has been loading for {for_s:.0f} s", model)
    if pulse.stalled_s > STALL_LIMIT_S:
        return Hang(f"frames have waited for {pulse.stalled_s:.0f} s and none was taken")
    return None


class Quarantine:
    """The models that hung in an inference actor, each kept away for a time that doubles when it hangs again.

    One that ran without a hang for as long as it was barred begins anew. Times: one clock's seconds.
    """

    def __init__(self) -> None:
        self._bars: dict[str, tuple[float, float]] = {}  # model -> how long, until when

    def hung(self, model: str, now_s: float) -> None:
        """A model hung, and its process is ended."""
        long_s, until_s = self._bars.get(model, (0.0, float("-inf")))
        again = now_s < until_s + long_s
        long_s = min(2 * long_s, BARRED_MOST_S) if again else BARRED_FIRST_S
        self._bars[model] = (long_s, now_s + long_s)

    def barred(self, now_s: float) -> dict[str, float]:
        """Model -> seconds for which it is still kept away."""
        return {model: until_s - now_s for model, (_, until_s) in self._bars.items() if until_s > now_s}
