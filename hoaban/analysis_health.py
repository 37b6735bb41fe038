"""Whether a live camera's frames are analysed: pictures that nobody looks at must not look like health."""

NOT_ANALYSED = "not_analysed"
LEAST_LATE_S = 5.0
LATE_PERIODS = 5.0


def not_analysed(
    live_for_s: float | None, idle_s: float | None, rate: float, trouble: str | None, waiting_s: float | None = None
) -> str | None:
    """Why and for how long no frame of a live stream was analysed, in words; None while all is well.

    live_for_s: how long the stream has been live, None when it is not, for then there is nothing to analyse. idle_s:
    since the last frame was analysed, None before the first. rate: frames a second to analyse. trouble: what is known
    to be wrong. waiting_s: for how long the model has owed an answer. A motion gate admits more than a frame a second
    (hoaban/motion.py), so a still picture is not late.
    """
    if live_for_s is None:
        return None
    late_s = live_for_s if idle_s is None else min(live_for_s, idle_s)
    if late_s <= max(LEAST_LATE_S, LATE_PERIODS / rate):
        return None
    if trouble is None:
        owes = waiting_s is not None and waiting_s > 1.0
        trouble = f"the model has not answered for {waiting_s:.0f} s" if owes else "the models have no time for it"
    return f"not analysed for {late_s:.0f} s: {trouble}"
