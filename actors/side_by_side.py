"""Ends several parts at once, within one limit."""

import threading
import time
from collections.abc import Callable, Sequence


def at_once(calls: Sequence[tuple[str, Callable[[], object]]], limit_s: float) -> dict[str, str]:
    """Call all of them side by side, and wait for them for limit_s in all.

    By name, what is wrong with those that failed or are not done; these go on by themselves.
    """
    wrong: dict[str, str] = {}

    def take(name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=take, args=one, name=f"end {one[0]}", daemon=True) for one in calls]
    for thread in threads:
        thread.start()
    ends_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, ends_s - time.monotonic()))
    late = {name: "it is not done yet" for (name, _), thread in zip(calls, threads, strict=True) if thread.is_alive()}
    return wrong | late
