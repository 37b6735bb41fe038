"""The cameras of the pictures in docs/dashboard/: the demo's, and two simulated ones of examples/dien-bien.

What they show is real: frames of the clips, looked at by the demo's model, with faces hidden.
"""

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from actors.blur import FaceBlur
from actors.looking import Looker
from actors.models import find_clip, find_model, load_detector
from actors.preroll import PacketRing
from actors.preview import Recent
from actors.source import open_frames
from actors.tile import Tile as HeatTile
from actors.tile import draw, with_heat
from hoaban.fleet import Camera, Fleet
from hoaban.pipeline import CameraPipeline
from hoaban.tiling import merge
from serve.tiles import Picture

ROOT = Path(__file__).resolve().parents[1]
CLIPS = {"road.mp4": "road-a.mp4", "square.mp4": "pets-s2l1-v1.mp4"}
SIMULATED = {"traffic-enforcement.yaml": "enf-001", "traffic-counting.yaml": "gate-canh-quang-1"}
FRAMES, EVERY_S, WIDTH = 14, 0.4, 640
BUDGETS_S = {"traffic_enforcement": 0.5, "face_crowd": 0.8}
FAILED, FAILED_FOR_S = "demo-shared", 420.0
"""the camera that has failed, and for how long"""


def sample_fleet() -> Fleet:
    """The demo's fleet, from its clips, and two simulated cameras of examples/dien-bien."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "cli" / "demo" / "fleet.yaml").read_text())
    document["models"] = {"detect": "yolox-nano"}
    for camera in document["cameras"]:
        camera["source"] = f"rtsp://10.20.0.{len(camera['id'])}:554/{camera['source'].rpartition('/')[2]}"
    for file, id in SIMULATED.items():
        listed = yaml.safe_load((ROOT / "examples" / "dien-bien" / file).read_text())["cameras"]
        camera = next(one for one in listed if one["id"] == id)
        document["cameras"].append(camera | {"district": "dbp", "owner": "police"})
    for camera in document["cameras"]:
        if camera["id"] == "demo-square":
            camera["heat_map"] = {}
        if camera["role"] in BUDGETS_S:
            camera["latency_budget_s"] = BUDGETS_S[camera["role"]]
    return Fleet.model_validate(document).with_defaults()


def clip_of(camera: Camera) -> str:
    """What its pictures are taken from."""
    if camera.source.simulated:
        return f"{camera.source.reveal()}&duration=12"
    name = camera.source.reveal().rpartition("/")[2]
    return str(find_clip(CLIPS.get(name, name)))


class Filmed:
    """A TileSource of prepared tiles; that of the camera that failed is its last one."""

    def __init__(self, fleet: Fleet) -> None:
        self.tiles = {camera.id: _tiles(camera) for camera in fleet.cameras}
        self.asked: dict[str, int] = {}
        self._failed_s = time.time() - FAILED_FOR_S

    async def tile(self, camera: str) -> Picture | None:
        made = self.tiles[camera]
        if camera == FAILED:
            return Picture(made[0], 1, self._failed_s, "faces")
        return Picture(made[int(time.time() / EVERY_S) % len(made)], int(time.time() * 10), time.time(), "faces")

    async def heat_tile(self, camera: str) -> Picture | None:
        picture = await self.tile(camera)
        if picture is None:
            return None
        rows, columns = np.mgrid[0:18, 0:32]
        heat = sum(
            np.exp(-(((columns - x) / 3.5) ** 2) - ((rows - y) / 2.5) ** 2) for x, y in ((12, 8), (17, 10), (22, 12))
        )
        made = with_heat(HeatTile(picture.jpeg, 1, time.time(), "faces"), np.asarray(heat, np.float64))
        return Picture(made.jpeg, picture.seq, picture.captured_s, "faces")

    async def heat_map(self, camera: str) -> None:
        return None


def _tiles(camera: Camera) -> list[bytes]:
    """What a viewer of the camera sees, EVERY_S apart."""
    from actors.scene_watch import Analysed  # drawn as a camera draws them

    detector = load_detector(find_model(camera.model or "yolox-nano"))
    looker, blur = Looker(detector, None), FaceBlur()
    pipeline, made, due_s = CameraPipeline(camera, detector.ref, "docs"), list[bytes](), 0.0
    for picture in open_frames(clip_of(camera), camera.id):
        if picture.meta.captured_s < due_s:
            continue
        due_s = picture.meta.captured_s + EVERY_S / 2
        parts = looker.look(picture)
        step = pipeline.step_parts(picture.meta, parts, detector.labels)
        image = picture.bgr(WIDTH)
        scale = image.shape[1] / picture.meta.width
        people = merge(parts, detector.labels, picture.meta.width, picture.meta.height).of("person").boxes
        image, how = blur.apply(image, people * np.float32(scale))
        if how != "faces":
            raise SystemExit("no face detector: the pictures would be mosaics")
        image = draw(image, camera, Analysed(None, step.tracks), scale)  # type: ignore[arg-type]
        made.append(cv2.imencode(".jpg", image)[1].tobytes())
        if len(made) == 2 * FRAMES:
            break
    return made[FRAMES // 2 :] or made


class Kept:
    """The last seconds of a clip, as a camera keeps them of its stream: a RecentSource."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def recent(self, camera: str) -> Recent | None:
        ring = PacketRing(20.0, 2**25)
        for _ in open_frames(clip_of(self._fleet.camera(camera)), camera, ring):
            pass
        cut = ring.cut(float("-inf"), float("inf"))
        return Recent(cut.data, time.time() - 20.0, [])
