"""What a camera costs in processor time, fitted to running cameras, and how well that foretells others.

Three runs of six live cameras with unlike frame rates, sizes and analysis rates give the costs (non-negative least
squares over the cameras' processes); a fourth run, of other clips, sizes and rates, is only foretold. `hoaban plan`
reckons with benchmarks/costs.json, which this writes. Stills and plates cost the same in a camera and alone, and are
measured alone; `python -m benchmarks capacity_alone` renews just that, within a minute.
"""

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import ray
import yaml
from scipy.optimize import nnls

from actors.camera import CameraActor
from actors.inference import InferenceActor
from actors.link import Peer
from actors.models import find_clip, find_model, load_detector, load_face_model
from actors.picture import Picture
from actors.plates import PlateReader
from actors.stills import encode
from benchmarks.throughput import bench_camera, local_system, statuses
from hoaban.capacity import Costs, DecodeCost, ModelCost
from hoaban.frames import FrameMeta

COSTS = Path(__file__).with_name("costs.json")
SETTLE_S, SECONDS = 8.0, 20.0
MODEL = "yolox-nano"
CONTROL_CAMERAS = 6
INPUTS = 100
STILLS, CROPS = 60, 40


@dataclass(frozen=True, slots=True)
class Shape:
    """A camera of a run: a clip brought to a size, its frame rate, and pictures a second to analyse."""

    clip: str
    width: int
    height: int
    fps: int
    rate: float


RUNS = (
    (
        Shape("road-a.mp4", 640, 352, 25, 1),
        Shape("plaza.mp4", 1280, 720, 10, 8),
        Shape("pets-s2l1-v1.mp4", 768, 576, 10, 10),
        Shape("plaza.mp4", 1920, 1080, 25, 1),
        Shape("road-a.mp4", 320, 176, 30, 12),
        Shape("pets-s2l1-v1.mp4", 768, 576, 25, 3),
    ),
    (
        Shape("road-a.mp4", 640, 352, 10, 9),
        Shape("plaza.mp4", 1920, 1080, 10, 1),
        Shape("pets-s2l1-v1.mp4", 384, 288, 30, 2),
        Shape("plaza.mp4", 640, 360, 25, 12),
        Shape("road-a.mp4", 1280, 704, 25, 1),
        Shape("pets-s2l1-v1.mp4", 768, 576, 5, 4),
    ),
    (
        Shape("plaza.mp4", 320, 180, 5, 1),
        Shape("plaza.mp4", 1920, 1080, 25, 5),
        Shape("road-a.mp4", 640, 352, 30, 1),
        Shape("road-a.mp4", 1280, 704, 10, 10),
        Shape("pets-s2l1-v1.mp4", 768, 576, 10, 1),
        Shape("pets-s2l1-v1.mp4", 768, 576, 25, 12),
    ),
)
HELD_OUT = (
    Shape("one-by-one-person-detection.mp4", 768, 432, 12, 6),
    Shape("car-detection.mp4", 768, 432, 10, 5),
    Shape("one-by-one-person-detection.mp4", 1280, 720, 25, 5),
    Shape("person-bicycle-car-detection.mp4", 960, 540, 20, 4),
    Shape("road-a.mp4", 1920, 1056, 15, 3),
)


def _brought_to(shape: Shape, folder: Path) -> str:
    """The first twelve seconds of a clip, encoded anew at a size and frame rate."""
    path = folder / f"{Path(shape.clip).stem}-{shape.width}x{shape.height}-{shape.fps}.mp4"
    if path.exists():
        return str(path)
    with av.open(str(find_clip(shape.clip))) as source, av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=shape.fps, options={"preset": "veryfast", "g": str(2 * shape.fps)})
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number >= 12 * shape.fps:
                break
            picture = frame.reformat(shape.width, shape.height, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, shape.fps)
            made.mux(stream.encode(picture))
        made.mux(stream.encode())
    return str(path)


def _cpu_s(pids: list[int]) -> np.ndarray:
    """(n,) processor seconds so far; nan for a process that ended."""
    found = np.full(len(pids), np.nan)
    for index, pid in enumerate(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            found[index] = times.user + times.system
    return found


def _mb(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += psutil.Process(pid).memory_full_info().pss
    return total / 2**20


def _run(shapes: tuple[Shape, ...], folder: Path, redis_url: str) -> dict[str, Any]:
    """Run these cameras live; what each cost a second, what it did a second, and what the model cost."""
    session, node = os.urandom(4).hex(), ray.get_runtime_context().get_node_id()
    model = InferenceActor.options(num_cpus=0).remote("bench", session, [MODEL], os.cpu_count() or 1, "cpu")
    model_pid = ray.get(model.__ray_call__.remote(lambda self: os.getpid()))
    peers = [Peer("bench", node, session)]
    cameras = [
        bench_camera(i, _brought_to(s, folder), analysis_fps=s.rate, motion_gate=False) for i, s in enumerate(shapes)
    ]
    actors = [CameraActor.options(num_cpus=0).remote(c, peers, redis_url, str(folder), "live") for c in cameras]
    try:
        while any(s["frames_analysed"] < 3 for s in statuses(actors)):
            time.sleep(0.2)
        time.sleep(SETTLE_S)
        before = statuses(actors)
        pids = [s["pid"] for s in before]
        others = _others([*pids, model_pid])
        cpu_s, model_s, rest_s, began = _cpu_s(pids), _cpu_s([model_pid]), _cpu_s(others), time.perf_counter()
        time.sleep(SECONDS)
        after, took_s = statuses(actors), time.perf_counter() - began
        cpu_s, model_s, rest_s = _cpu_s(pids) - cpu_s, _cpu_s([model_pid]) - model_s, _cpu_s(others) - rest_s
        memory = [_mb([pid]) for pid in pids]
        decoded = [(a["frames_decoded"] - b["frames_decoded"]) / took_s for a, b in zip(after, before, strict=True)]
        analysed = [(a["frames_analysed"] - b["frames_analysed"]) / took_s for a, b in zip(after, before, strict=True)]
        return {
            "rows": [
                (1.0, fps, fps * s.width * s.height / 1e6, rate)
                for s, fps, rate in zip(shapes, decoded, analysed, strict=True)
            ],
            "asked": [(float(s.fps), s.rate) for s in shapes],
            "camera_s": (cpu_s / took_s).tolist(),
            "model_s": float(model_s[0] / took_s),
            "rest_s": float(np.nansum(rest_s) / took_s),
            "inputs": sum(analysed),
            "memory_mb": memory,
            "model_mb": _mb([model_pid]),
            "rest_mb": _mb(others),
        }
    finally:
        ray.get([actor.stop.remote() for actor in actors])
        for actor in [*actors, model]:
            ray.kill(actor)
        time.sleep(2)


def _others(mine: list[int]) -> list[int]:
    """Ray's own processes and the live store."""
    found = [p.pid for p in psutil.Process().children(recursive=True)]
    return [pid for pid in found if pid not in mine]


def _control(folder: Path) -> tuple[float, float]:
    """Processors and MB that all of `hoaban up` but its cameras and models takes, with CONTROL_CAMERAS cameras."""
    fleet = folder / "fleet.yaml"
    cameras = [
        bench_camera(i, _brought_to(RUNS[0][0], folder), analysis_fps=1).model_dump(
            mode="json", by_alias=True, include={"id", "name", "role", "district", "owner", "source", "analysis_fps"}
        )
        for i in range(CONTROL_CAMERAS)
    ]
    head = {"version": 1, "province": {"name": "bench"}, "districts": [{"id": "d", "name": "d"}]}
    fleet.write_text(yaml.safe_dump(head | {"agencies": [{"id": "o", "name": "o"}], "cameras": cameras}))
    command = [str(Path(sys.executable).with_name("hoaban")), "up", str(fleet), "--data", str(folder / "data")]
    ports = ["--api-port", str(_free_port()), "--dashboard-port", str(_free_port())]
    up = subprocess.Popen([*command, *ports, "--for", "90"])
    try:
        time.sleep(45)
        family = [up.pid, *(p.pid for p in psutil.Process(up.pid).children(recursive=True))]
        rest = [pid for pid in family if not _serves_frames(pid)]
        cpu_s, began = _cpu_s(rest), time.perf_counter()
        time.sleep(SECONDS)
        return float(np.nansum(_cpu_s(rest) - cpu_s)) / (time.perf_counter() - began), _mb(rest)
    finally:
        up.terminate()
        up.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serves_frames(pid: int) -> bool:
    line = " ".join(psutil.Process(pid).cmdline())
    return "CameraActor" in line or "InferenceActor" in line


def _alone() -> dict[str, ModelCost]:
    """Models that the runs do not use, each on empty pictures: processor seconds an input."""
    found = {}
    for name, load in (("fastestdet", load_detector), ("sim-colours", load_detector), ("faces", load_face_model)):
        model = load(find_model(name), threads=1, device="cpu")
        model.warm_up()
        batch = np.full((1, model.input_height, model.input_width, 3), 114, np.uint8)
        began = time.process_time()
        for _ in range(INPUTS):
            model.infer(batch)
        found[name] = ModelCost(cpu_s=(time.process_time() - began) / INPUTS)
    return found


def _still_megapixel_s() -> float:
    """Processor seconds of keeping a still, for each million pixels: pictures of a road as JPEGs."""
    with av.open(str(find_clip("road-a.mp4"))) as source:
        frames = [frame for frame, _ in zip(source.decode(video=0), range(STILLS), strict=False)]
    pictures = [Picture(FrameMeta("bench", i, 0.0, f.width, f.height), f) for i, f in enumerate(frames)]
    began = time.process_time()
    for picture in pictures:
        encode(picture)
    took_s = time.process_time() - began
    return took_s / sum(picture.meta.width * picture.meta.height for picture in pictures) * 1e6


def _plates() -> tuple[float, float]:
    """Processor seconds of reading a crop, and MB of a reader: a drawn car with a plate of two lines."""
    crop = np.full((240, 240, 3), 90, np.uint8)
    cv2.rectangle(crop, (70, 150), (170, 210), (255, 255, 255), -1)
    for text, foot in (("29-H1", 176), ("567.89", 203)):
        cv2.putText(crop, text, (76, foot), cv2.FONT_HERSHEY_SIMPLEX, 0.75, (0, 0, 0), 2, cv2.LINE_AA)
    before_mb = _mb([os.getpid()])
    reader = PlateReader()
    if reader.read(crop).plate is None:
        raise RuntimeError("the drawn plate is not read: what was measured is not reading")
    mb, began = _mb([os.getpid()]) - before_mb, time.process_time()
    for _ in range(CROPS):
        reader.read(crop)
    return (time.process_time() - began) / CROPS, mb


def measure_alone() -> dict[str, Any]:
    """Stills and plates, written into the costs that are there."""
    cv2.setNumThreads(1)
    costs, (plate_s, plates_mb) = Costs.model_validate_json(COSTS.read_text()), _plates()
    found = {"plate_s": plate_s, "plates_mb": plates_mb, "still_megapixel_s": _still_megapixel_s()}
    COSTS.write_text(json.dumps(costs.model_copy(update=found).model_dump(), indent=2) + "\n")
    return {
        "plate_ms_per_crop": round(plate_s * 1e3, 1),
        "plates_mb": round(plates_mb),
        "still_ms_per_megapixel": round(found["still_megapixel_s"] * 1e3, 2),
    }


def measure() -> dict[str, Any]:
    """The fitted costs, and the forecast of the held-out run against what it took."""
    with tempfile.TemporaryDirectory() as clips, local_system() as (_, redis_url):
        fitted = [_run(shapes, Path(clips), redis_url) for shapes in RUNS]
        held = _run(HELD_OUT, Path(clips), redis_url)
    with tempfile.TemporaryDirectory() as name:
        control_s, control_mb = _control(Path(name))
    rows, cpu_s = np.array([r for run in fitted for r in run["rows"]]), np.concatenate([r["camera_s"] for r in fitted])
    (camera_s, frame_s, megapixel_s, analysed_s), _ = nnls(rows, cpu_s)
    inputs = np.array([run["inputs"] for run in fitted])
    model_s = float(np.dot(inputs, [run["model_s"] for run in fitted]) / np.dot(inputs, inputs))
    rest_s = float(np.median([run["rest_s"] for run in fitted]))
    foretold = sum(
        camera_s + fps * (frame_s + megapixel_s * s.width * s.height / 1e6) + rate * (analysed_s + model_s)
        for s, (fps, rate) in zip(HELD_OUT, held["asked"], strict=True)
    )
    took = sum(held["camera_s"]) + held["model_s"]
    plate_s, plates_mb = _plates()
    costs = Costs(
        machine=f"{os.cpu_count()} processors, {platform.machine()}",
        date=datetime.now(UTC).date().isoformat(),
        decode={"h264": DecodeCost(frame_s=frame_s, megapixel_s=megapixel_s)},
        analysed_s=analysed_s,
        input_s=0.0,
        camera_s=camera_s,
        camera_mb=float(np.median([mb for run in fitted for mb in run["memory_mb"]])),
        models={MODEL: ModelCost(cpu_s=model_s, mb=fitted[0]["model_mb"]), **_alone()},
        plate_s=plate_s,
        plates_mb=plates_mb,
        still_megapixel_s=_still_megapixel_s(),
        node_cpus=rest_s,
        node_mb=fitted[0]["rest_mb"],
        control_s=max(0.0, control_s - rest_s) / CONTROL_CAMERAS,
        control_mb=max(0.0, control_mb - fitted[0]["rest_mb"]),
    )
    COSTS.write_text(json.dumps(costs.model_dump(), indent=2) + "\n")
    return {
        "camera_idle_ms_per_s": round(camera_s * 1e3, 2),
        "decode_ms_per_frame": round(frame_s * 1e3, 3),
        "decode_ms_per_megapixel": round(megapixel_s * 1e3, 3),
        "analysed_ms_per_picture": round(analysed_s * 1e3, 3),
        "model_ms_per_input": round(model_s * 1e3, 2),
        "residual_of_the_fit": round(
            float(np.abs(rows @ [camera_s, frame_s, megapixel_s, analysed_s] - cpu_s).sum() / cpu_s.sum()), 3
        ),
        "control_ms_per_s_and_camera": round(costs.control_s * 1e3, 1),
        "control_mb": round(costs.control_mb),
        "plate_ms_per_crop": round(plate_s * 1e3, 1),
        "still_ms_per_megapixel": round((costs.still_megapixel_s or 0) * 1e3, 2),
        "camera_mb": round(costs.camera_mb, 1),
        "held_out_processors_foretold_and_taken": [round(float(foretold), 3), round(took, 3)],
        "held_out_error": round(float(foretold / took - 1), 3),
    }
