"""The plate rules of a camera in a replay: read at once, frame by frame."""

import time
from pathlib import Path

from actors.plate_watch import PlateWatcher
from actors.watchlist.store import PlateStore
from cli.replay_lists import read_list
from hoaban.fleet import Camera


def plate_watcher(camera: Camera, data: Path | None) -> PlateWatcher | None:
    """None for a camera without plate rules. The law is judged by today. Raises ModelError."""
    if not camera.plate_rules:
        return None
    watcher = PlateWatcher(camera, live=False, law_not_before_s=time.time())
    if data is not None:
        watcher.set_watchlist(tuple(read_list(data, PlateStore)))
    return watcher
