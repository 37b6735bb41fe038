"""A province for the pictures of docs/dashboard/: the demo's cameras with what a shift would have brought them.

Its pictures are real: frames of the clips, looked at by the demo's model, with faces hidden. What happened is made up.
"""

import base64
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import yaml

from actors.blur import FaceBlur
from actors.looking import Looker
from actors.models import find_clip, find_model, load_detector
from actors.preroll import PacketRing
from actors.preview import Recent
from actors.promotions import PromotionRegistry
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.redact import Redactor
from actors.proof.sealer import Sealer
from actors.source import open_frames
from actors.store import EvidenceRecords
from actors.store.incident_keeping import Ground, follow
from actors.tile import Tile as HeatTile
from actors.tile import draw, with_heat
from dashboards.client import ApiClient
from hoaban.evaluation.report import ModelIdentity
from hoaban.events import Finding
from hoaban.fleet import Camera, Fleet
from hoaban.models.promotion import Step
from hoaban.pipeline import CameraPipeline
from hoaban.status import SourceState
from hoaban.tiling import merge
from serve.tiles import Picture
from tests.dashboard_system import DashboardSystem
from tests.evidence import leave_candidate, red_light

ROOT = Path(__file__).resolve().parents[1]
CLIPS = {"road.mp4": "road-a.mp4", "square.mp4": "pets-s2l1-v1.mp4"}
SIMULATED = {"traffic-enforcement.yaml": "enf-001", "traffic-counting.yaml": "gate-canh-quang-1"}
FRAMES, EVERY_S, WIDTH = 14, 0.4, 640
CLASSES = ("motorcycle",) * 6 + ("car",) * 3 + ("truck", "bus")


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
    next(one for one in document["cameras"] if one["id"] == "demo-square")["heat_map"] = {}
    return Fleet.model_validate(document).with_defaults()


def clip_of(camera: Camera) -> str:
    """What its pictures are taken from."""
    if camera.source.simulated:
        return f"{camera.source.reveal()}&duration=12"
    name = camera.source.reveal().rpartition("/")[2]
    return str(find_clip(CLIPS.get(name, name)))


class Filmed:
    """A TileSource of prepared tiles."""

    def __init__(self, fleet: Fleet) -> None:
        self.tiles = {camera.id: _tiles(camera) for camera in fleet.cameras}
        self.asked: dict[str, int] = {}

    async def tile(self, camera: str) -> Picture | None:
        made = self.tiles[camera]
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


def fill(system: DashboardSystem, folder: Path) -> str:
    """Reports, events, incidents, cases of a shift; the id of the newest case."""
    case = _cases(system, folder)
    dice = random.Random(7)
    speeds = {"zone": "in", "level": "slow", "count": 9, "speed": 17.2, "speed_unit": "km/h"}
    for camera in system.fleet.cameras:
        simulated = camera.source.simulated
        more: dict[str, Any] = {
            "model": find_model(camera.model or "yolox-nano").ref.as_dict(),
            "simulated": simulated,
            "inference": "inference:1",
            "tracks": dice.randint(2, 9),
        }
        if camera.role == "traffic_counting":
            more["measures"] = {"congestion:in": speeds | {"level": dice.choice(["free", "slow"])}}
        if camera.role in ("face_crowd", "overview"):
            zone = camera.zones[0].id
            more["measures"] = {
                f"crowd:{zone}": {"zone": zone, "phase": dice.choice(["crowd", "clear"]), "count": dice.randint(4, 9)}
            }
        system.report(camera.id, latency_p95_s=dice.uniform(0.12, 0.34), **more)
    failed = system.fleet.cameras[5]
    system.report(
        failed.id, SourceState.FAILED, last_frame_s=None, error=f"{failed.source}: no data for 5 s; check the network"
    )
    system.happen(
        failed.id,
        Finding("camera_health", "camera_health", extra={"phase": "start", "fault": "offline", "reason": "no data"}),
    )
    told: list[tuple[float, str, Finding]] = []
    counting = [camera for camera in system.fleet.cameras if any(rule.type == "line_count" for rule in camera.rules)]
    for track in range(420):
        camera = dice.choice(counting)
        finding = Finding(
            "line_count", "line_count", track, dice.choice(CLASSES), line=camera.lines[0].id,
            direction=dice.choice(("forward", "forward", "backward")), extra={"lane": dice.choice(("in", "out"))},
        )  # fmt: skip
        told.append((time.time() - dice.uniform(20, 4 * 3600), camera.id, finding))
    for track in range(60):
        way = dice.sample(("bắc", "đông", "nam"), 2)
        turned = Finding("turning_count", "turning", track, "car", line=way[1], extra={"from": way[0], "to": way[1]})
        told.append((time.time() - dice.uniform(60, 3600), "demo-junction", turned))
    now = time.time()
    for camera_id, kind, zone, ago_s, extra in (
        ("demo-entrance", "loitering", "door", 900, {"seconds": 64}),
        ("demo-mast", "crowd", "plaza", 420, {"phase": "start", "count": 6, "at_least": 4}),
        ("demo-entrance", "intrusion", "door", 200, {}),
        ("demo-square", "crowd", "square", 75, {"phase": "start", "count": 8, "at_least": 6}),
    ):
        box = (300.0, 180.0, 380.0, 420.0)
        found = Finding(kind, kind, int(ago_s), "person", zone=zone, bbox=box, extra=extra)
        told.append((now - ago_s, camera_id, found))
    for time_s, camera_id, finding in sorted(told, key=lambda one: one[0]):
        system.happen(camera_id, finding, time_s)
    while follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), now):
        pass
    old, new = (
        ModelIdentity(name="yolox-nano", version=v, sha256=v[-1] * 64, card=v[-1] * 64) for v in ("0.1.1", "0.1.2")
    )
    step = Step(
        kind="promote",
        place="yolox-nano",
        before=old,
        after=new,
        at=datetime.now(UTC),
        by="Lò Văn Mai",
        report="c" * 64,
    )
    PromotionRegistry(folder).add(lambda _: step)
    return case


def _cases(system: DashboardSystem, folder: Path) -> str:
    """Sealed cases at the simulated junction, with its pictures; the newest."""
    records, files = EvidenceRecords(system.store.engine), PackageFiles(str(folder / "evidence"))
    sealer = Sealer(files, records, Keys(folder).signer(), redactor=Redactor())
    shown = [
        picture.bgr(1280)
        for picture in open_frames(f"{system.fleet.camera('enf-001').source.reveal()}&duration=8", "enf-001")
    ]
    height, width = shown[0].shape[:2]
    film = PacketRing(60.0, 2**25)
    for _ in open_frames(f"{system.fleet.camera('enf-001').source.reveal()}&duration=8", "enf-001", film):
        pass
    clip, events = film.cut(float("-inf"), float("inf")).data, []
    for index in range(3):
        event = red_light("enf-001", time.time() - 900 + 200 * index, 40 + index, size=(width, height))
        events.append(event)
    system.store.write(events)
    cases = [leave_candidate(folder / "evidence", event, clip=clip) for event in events]
    while not sealer.step() and not all(records.get(case).redacted for case in cases):
        pass
    while sealer.behind:
        sealer.step()
    return cases[-1]


def people(http: httpx.Client, api: ApiClient) -> None:
    """What people do in a shift."""
    told: Mapping[str, Any] = {
        "text": "Cây đổ chắn một làn đường gần chợ",
        "landmark": "Chợ trung tâm",
        "lat": 21.386,
        "lon": 103.016,
    }
    photo = cv2.imencode(".jpg", np.full((240, 320, 3), 150, np.uint8))[1].tobytes()
    http.post("/reports", json=dict(told) | {"photo": base64.b64encode(photo).decode()}).raise_for_status()
    http.post("/reports", json={"text": "Đèn tín hiệu không sáng", "landmark": "Ngã ba Noong Bua"}).raise_for_status()
    for number, subject in (("27B-123.45", "VA-2026-118"), ("29C1-456.78", "VA-2026-131")):
        api.propose(
            "/plates",
            {
                "watchlist": "wanted",
                "subject": subject,
                "plate": number,
                "law": "Bộ luật Tố tụng hình sự, Điều 192",
                "authority": "Cơ quan Cảnh sát điều tra",
                "document": f"QĐ-{subject[-3:]}/2026",
                "basis_until": "2027-02-01T00:00:00+07:00",
                "expires_at": "2027-01-31T00:00:00+07:00",
            },
        )
    for incident in api.incidents(["new"], None, None)[:1]:
        api.act_on_incident(incident["number"], "acknowledge", incident["version"])
