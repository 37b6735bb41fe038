"""What the demo fleet needs before it can start: clips, an RTSP server over two of them, a model."""

import os
import shutil
from pathlib import Path

from actors.models import find_clip
from actors.models.pull import best_detector
from actors.rtsp_server import RtspServer, loop_clip

RTSP_LOOP_S = 900.0
RTSP_CLIPS = {"road.mp4": "road-a.mp4", "square.mp4": "pets-s2l1-v1.mp4"}
FLEET = Path(__file__).with_name("fleet.yaml")


def prepare(data: Path) -> tuple[Path, RtspServer]:
    """The demo's fleet file, copied so that it can be edited, and the running RTSP server.

    Sets HOABAN_DEMO_CLIPS, HOABAN_DEMO_RTSP and HOABAN_DEMO_MODEL, which the file names. Raises ModelError.
    """
    clips, model = find_clip("plaza.mp4").parent, best_detector().card.name
    videos = data / "rtsp"
    for name, clip in RTSP_CLIPS.items():
        loop_clip(find_clip(clip), videos / name, RTSP_LOOP_S)
    server = RtspServer(videos)
    server.start()  # last: nothing after it can fail and leave it running
    os.environ["HOABAN_DEMO_CLIPS"] = str(clips)
    os.environ["HOABAN_DEMO_RTSP"] = server.url("").rstrip("/")
    os.environ["HOABAN_DEMO_MODEL"] = model
    fleet = data / "fleet.yaml"
    if not fleet.exists():
        shutil.copyfile(FLEET, fleet)
    return fleet, server
