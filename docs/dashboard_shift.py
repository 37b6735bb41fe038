"""What a shift would have brought the cameras of docs/dashboard_sample.py: made up, but for the cases of evidence.

Those are what the red-light rule found in the simulated junction, with the pictures, clips and seals of it.
"""

import base64
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import httpx

from actors.evidence import EvidenceKeeper
from actors.models import find_clip, find_model, load_detector
from actors.picture import Picture
from actors.preroll import Clip, PacketRing
from actors.promotions import PromotionRegistry
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.redact import Redactor
from actors.proof.sealer import Sealer
from actors.source import open_frames
from actors.store import EvidenceRecords
from actors.store.incident_keeping import Ground, follow, keep_time
from cli.replay import ReplayScene
from dashboards.client import ApiClient
from docs.dashboard_sample import FAILED, FAILED_FOR_S
from hoaban.evaluation.report import ModelIdentity
from hoaban.events import Event, Finding
from hoaban.fleet import Camera
from hoaban.latency import SHARES, STAGES
from hoaban.models.promotion import Step
from hoaban.status import SourceState
from hoaban.stream_health import OFFLINE, health_finding
from tests.dashboard_system import DashboardSystem

CLASSES = ("motorcycle",) * 6 + ("car",) * 3 + ("truck", "bus")
ENFORCED, FILMED_S = "enf-001", 31.0
VIOLATIONS = f"sim://junction?seed=2&violations=0.6&fps=15&duration={FILMED_S:g}"
HOUR_S = 3600.0
NO_DATA = "no data for 10 s; check the network and that the camera is on"


def fill(system: DashboardSystem, folder: Path) -> str:
    """Reports, events, incidents, work orders and cases of a shift; the id of the newest case."""
    dice, now_s = random.Random(7), time.time()
    _repaired(system, now_s)
    case = _cases(system, folder, now_s - 300)
    for camera in system.fleet.cameras:
        _report(system, camera, dice)
    failed = health_finding("camera_health", OFFLINE, "start", f"{system.fleet.camera(FAILED).source}: {NO_DATA}")
    system.happen(FAILED, failed, now_s - FAILED_FOR_S)
    for time_s, id, finding in sorted(_happenings(system, dice, now_s), key=lambda one: one[0]):
        system.happen(id, finding, time_s)
    _keep(system, now_s)
    old, new = (
        ModelIdentity(name="yolox-nano", version=v, sha256=v[-1] * 64, card=v[-1] * 64) for v in ("0.1.0", "0.1.1")
    )
    at, by = datetime.now(UTC), "Lò Văn Mai"
    step = Step(kind="promote", place="yolox-nano", before=old, after=new, at=at, by=by, report="c" * 64)
    PromotionRegistry(folder).add(lambda _: step)
    return case


def _report(system: DashboardSystem, camera: Camera, dice: random.Random) -> None:
    """What a camera says of itself now."""
    p95_s = dice.uniform(0.12, 0.34)
    more: dict[str, Any] = {
        "width": 1280,
        "height": 720 if camera.source.simulated or "road" in camera.source.reveal() else 960,
        "decoded_fps": 15.0,
        "analysed_fps": camera.analysis_fps * dice.uniform(0.94, 1.0),
        "target_fps": camera.analysis_fps,
        "analysis_age_s": dice.uniform(0.1, 0.4),
        "model": find_model(str(camera.model)).ref.as_dict(),
        "simulated": camera.source.simulated,
        "inference": "inference:1",
        "tracks": dice.randint(2, 9),
        "latency_p50_s": p95_s * dice.uniform(0.4, 0.6),
        "latency_p95_s": p95_s,
        "latency": {
            "budget_s": camera.latency_budget_s,
            "p95_s": p95_s,
            "stages_p95_s": {
                stage: share * p95_s * dice.uniform(0.8, 1.1) for stage, share in zip(STAGES, SHARES, strict=True)
            },
            "late_stage": None,
            "rung": "full",
        },
    }
    zone = camera.zones[0].id if camera.zones else None
    if camera.role == "traffic_counting":
        level, count, speed = dice.choice((("free", 5, 41.0), ("slow", 14, 17.2)))
        flow = {"zone": zone, "level": level, "count": count, "speed": speed, "speed_unit": "km/h"}
        more["measures"] = {f"congestion:{zone}": flow}
    if camera.role in ("face_crowd", "overview"):
        crowded = camera.role == "face_crowd"
        crowd = {"zone": zone, "phase": "crowd" if crowded else "clear", "count": 8 if crowded else 2}
        more["measures"] = {f"crowd:{zone}": crowd | ({"density": 0.11, "density_per": "m2"} if crowded else {})}
    if camera.id == FAILED:
        more |= {"state": SourceState.FAILED, "error": f"{camera.source}: {NO_DATA}", "tracks": 0, "measures": {}}
        more |= dict.fromkeys(("decoded_fps", "analysed_fps"), 0.0)
        more |= {"last_frame_s": time.time() - FAILED_FOR_S, "analysis_age_s": FAILED_FOR_S}
        more |= dict.fromkeys(("latency_p50_s", "latency_p95_s", "latency"))
    system.report(camera.id, **more)


def _happenings(system: DashboardSystem, dice: random.Random, now_s: float) -> list[tuple[float, str, Finding]]:
    """(when, camera, finding): crossings and turns of the last four hours, and what asks for somebody."""
    told: list[tuple[float, str, Finding]] = []
    counting = [(c, rule) for c in system.fleet.cameras for rule in c.rules if rule.type == "line_count"]
    for track in range(420):
        camera, rule = dice.choice(counting)
        label = dice.choice([one for one in CLASSES if one in rule.classes] or list(rule.classes))
        lane = dice.choice(rule.lanes) if rule.lanes else None
        way = dice.choice(("forward", "forward", "backward"))
        crossed = Finding("line_count", rule.name, track, label, line=rule.line, direction=way, extra={"lane": lane})
        told.append((now_s - dice.uniform(20, 4 * HOUR_S), camera.id, crossed))
    for track in range(60):
        came, left = dice.sample(("bắc", "đông", "nam"), 2)
        turned = Finding("turning_count", "turning", track, "car", line=left, extra={"from": came, "to": left})
        told.append((now_s - dice.uniform(60, HOUR_S), "demo-junction", turned))
    box = (500.0, 300.0, 620.0, 700.0)
    for camera_id, kind, zone, ago_s, label, extra in (
        ("demo-entrance", "loitering", "door", 900, "person", {"inside_s": 64.2}),
        ("demo-mast", "crowd", "plaza", 420, None, {"phase": "start", "count": 6, "at_least": 4}),
        ("demo-entrance", "intrusion", "door", 200, "person", {}),
        ("demo-square", "crowd", "square", 75, None, {"phase": "start", "count": 8, "at_least": 6}),
    ):
        track = None if label is None else ago_s
        more = {} if label is None else {"bbox": box, "score": 0.87}
        found = Finding(kind, f"{kind}:{zone}", track, label, zone=zone, extra=extra, **more)  # type: ignore[arg-type]
        told.append((now_s - ago_s, camera_id, found))
    return told


def _repaired(system: DashboardSystem, now_s: float) -> None:
    """A camera that was dirty in the morning and is clean since."""
    soft = "31% of the usual sharpness is left; focus or clean the lens"
    for phase, ago_s in (("start", 5 * HOUR_S), ("end", 3.6 * HOUR_S)):
        system.happen("demo-gate", health_finding("camera_health", "blurred", phase, soft), now_s - ago_s)  # type: ignore[arg-type]
        _keep(system, now_s - ago_s + 600)


def _keep(system: DashboardSystem, now_s: float) -> None:
    """Incidents and work orders from what has happened, as they stand at a time."""
    ground = Ground.of_fleet(system.board.get_json("fleet") or {})
    while follow(system.store.engine, ground, now_s):
        pass
    keep_time(system.store.engine, ground, now_s)


def _cases(system: DashboardSystem, folder: Path, ended_s: float) -> str:
    """The junction's violations, filmed until ended_s; sealed, and fit to be looked at. The newest red-light case."""
    events = _violations(system.fleet.camera(ENFORCED), folder / "evidence", ended_s - FILMED_S)
    system.store.write(events)
    records = EvidenceRecords(system.store.engine)
    cases = [event.id for event in events if event.data.get("evidence")]
    sealer = Sealer(PackageFiles(str(folder / "evidence")), records, Keys(folder).signer(), redactor=Redactor())
    while not sealer.step() and not all(records.get(case).redacted for case in cases):
        pass
    while sealer.behind:
        sealer.step()
    red = [event for event in events if event.type == "hoaban.red_light" and event.id in cases]
    return max(red, key=lambda event: event.time).id


def _violations(camera: Camera, kept: Path, begins_s: float) -> list[Event]:
    """What the camera's rules find in the simulation, as if it had been filmed from begins_s on; candidates in kept."""
    ring = PacketRing(2 * FILMED_S, 2**26)

    def clip(from_s: float, to_s: float) -> Clip:
        found = ring.cut(from_s - begins_s, to_s - begins_s)
        return replace(found, from_s=found.from_s + begins_s, to_s=found.to_s + begins_s)

    scene = ReplayScene(camera, load_detector(find_model(str(camera.model))))
    keeper, told = EvidenceKeeper(camera, str(kept), clip, live=False), list[Event]()
    for frame in open_frames(VIOLATIONS, camera.id, ring):
        picture = Picture(replace(frame.meta, captured_s=frame.meta.captured_s + begins_s), frame.frame)
        told += keeper.take(picture, scene.step(picture) or [], scene.pins())
    keeper.stop()
    return told


def people(http: httpx.Client, api: ApiClient, second: ApiClient) -> None:
    """What people do in a shift. second: of who approves what another proposed."""
    picture = next(iter(open_frames(str(find_clip("road-a.mp4")), "photo"))).bgr(1024)
    photo = base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode()
    lamp = {"text": "Đèn tín hiệu không sáng", "landmark": "Ngã ba Noong Bua"}
    queue: Mapping[str, Any] = {
        "text": "Xe dừng thành hàng dài trước ngã ba, bên phải có xe đỗ",
        "landmark": "Chợ trung tâm",
        "lat": 21.386,
        "lon": 103.016,
        "contact": {"phone": "0900 000 000"},
    }
    for report in (lamp, dict(queue) | {"photo": photo}):
        http.post("/reports", json=report).raise_for_status()
    entries = [_propose(api, *one) for one in (("27B-123.45", "VA-2026-118"), ("29C1-456.78", "VA-2026-131"))]
    second.approve("/plates", entries[0]["id"])
    for incident in api.incidents(["new"], None, None)[:1]:
        api.act_on_incident(incident["number"], "acknowledge", incident["version"])


def _propose(api: ApiClient, plate: str, subject: str) -> Any:
    return api.propose(
        "/plates",
        {
            "watchlist": "wanted",
            "subject": subject,
            "plate": plate,
            "law": "Bộ luật Tố tụng hình sự, Điều 192",
            "authority": "Cơ quan Cảnh sát điều tra",
            "document": f"QĐ-{subject[-3:]}/2026",
            "basis_until": "2027-02-01T00:00:00+07:00",
            "expires_at": "2027-01-31T00:00:00+07:00",
        },
    )
