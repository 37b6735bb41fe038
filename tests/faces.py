"""Real faces for tests: portraits in the public domain that Python packages ship, and films made of them."""

import importlib.util
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from actors.models import ModelError, find_model, load_face_model
from actors.models.face_model import FaceModel
from tests.conftest import absent

Pixels = NDArray[np.uint8]
PORTRAITS = {
    "collins": ("skimage", "data/astronaut.png"),  # Eileen Collins, NASA
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),  # Grace Hopper, US Navy
}


def portrait_file(name: str) -> Path:
    """The file of a portrait; the test is skipped, and says so, where its package is not installed."""
    package, inside = PORTRAITS[name]
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        absent(f"{package} is not installed, which ships the picture of {name}: pip install -e .[dev]")
    return path


def portrait(name: str, height: int = 400) -> Pixels:
    """(height, w, 3) uint8 BGR."""
    picture = cv2.imread(str(portrait_file(name)))
    scale = height / picture.shape[0]
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def face_model() -> FaceModel:
    """The pinned face model; skipped where its files are not."""
    try:
        return load_face_model(find_model("faces"), device="cpu")
    except ModelError as missing:
        absent(str(missing))


def film(path: Path, people: list[str], seconds: float = 3.0, fps: int = 10) -> Path:
    """A 1280 x 720 film in which the people walk past one after the other, from the left to the right."""
    background = np.random.default_rng(7).integers(90, 130, (720, 1280, 3)).astype(np.uint8)
    frames = round(seconds * fps)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for name in people:
            person = portrait(name)
            for i in range(frames):
                picture = background.copy()
                left = round((1280 - person.shape[1]) * i / max(1, frames - 1))
                picture[160 : 160 + person.shape[0], left : left + person.shape[1]] = person
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                    out.mux(packet)
            for _ in range(fps):
                for packet in stream.encode(av.VideoFrame.from_ndarray(background, "bgr24")):
                    out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


BASIS = {
    "law": "a law, article 1",
    "authority": "an authority",
    "document": "12/QĐ",
    "valid_until": "2099-01-01T00:00:00+07:00",
}


def face_rule(**fields: object) -> dict[str, object]:
    """A face rule of the fleet file on the zone "all"."""
    rule = {"type": "face_watchlist", "zone": "all", "watchlist": ["wanted"], "threshold": 0.5, "lawful_basis": BASIS}
    return rule | fields


ALL = {"id": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
