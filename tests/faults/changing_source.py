"""A camera's process whose source changes again and again: CHANGES ADDRESS…; what it costs, a line of JSON a round.

An address is "good" when pictures must come of it, "cut" when the stream before it is to break (asked for by a line
"cut") and to come again, "bad" when none come.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from actors.bus import EventBus
from actors.camera import CameraRuntime
from actors.publisher import SpoolingPublisher
from hoaban.fleet import Camera
from hoaban.source_state import SourceTracker

BAD_S = 0.03


def camera(source: str) -> Camera:
    base = {"id": "cam", "name": "C", "role": "shared", "district": "d", "owner": "o", "model": "yolox-nano"}
    return Camera.model_validate(base | {"source": source, "pre_roll_s": 10, "analysis_fps": 5})


def until(what: Callable[[], bool]) -> None:
    while not what():
        time.sleep(0.005)


def main(changes: int, steps: list[tuple[str, str]]) -> None:
    SourceTracker.pause_s = lambda *_: 0.01  # type: ignore[method-assign]  # else it would mostly wait after failures
    spool = Path(tempfile.mkdtemp())
    publisher = SpoolingPublisher(EventBus("redis://127.0.0.1:1/0"), spool)
    runtime = CameraRuntime(camera(steps[0][1]), peers=[], node="here", publisher=publisher, board=None)
    runtime.start()
    me = psutil.Process()

    def more(what: str, n: int, after: str = "") -> None:
        """Wait until a counter of the status is so much higher than before this word was said."""
        before = getattr(runtime.status(), what)
        if after:
            print(after, flush=True)
        until(lambda: getattr(runtime.status(), what) >= before + n)

    for change in range(changes + 1):
        kind, address = steps[change % len(steps)]
        if kind == "cut":
            more("reconnects", 1, after="cut")
        elif change:
            runtime.configure(camera(address))
        if kind == "bad":
            time.sleep(BAD_S)
        else:
            more("frames_decoded", 3)
        if change % len(steps) == 0:
            cost = {"mib": me.memory_info().rss / 2**20, "threads": me.num_threads(), "files": me.num_fds()}
            print(json.dumps({"change": change} | cost), flush=True)
    runtime.stop()


if __name__ == "__main__":
    given = [argument.split(" ", 1) for argument in sys.argv[2:]]
    main(int(sys.argv[1]), [(kind, address) for kind, address in given])
