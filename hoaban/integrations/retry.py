"""When a target is tried again."""

FIRST_S, MOST_S = 2.0, 900.0


def pause_s(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row, at least one: doubled each time. jitter: 0..1, drawn."""
    longest = min(FIRST_S * 2.0 ** min(failures - 1, 20), MOST_S)
    return longest * (0.5 + 0.5 * jitter)
