"""A camera's picture for people: small, faces blurred before anything else, tracks and zones drawn on top."""

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.blur import FaceBlur, mosaic
from actors.picture import Picture
from hoaban.fleet import Camera
from hoaban.sim.mark import stamp

if TYPE_CHECKING:
    from actors.scene_watch import Analysed

JPEG_QUALITY = 78
BOX, LINE, ZONE = (60, 190, 250), (240, 200, 60), (180, 120, 240)  # BGR


@dataclass(frozen=True, slots=True)
class Tile:
    """A JPEG of a camera. blur: how faces were hidden ("faces" or "mosaic")."""

    jpeg: bytes
    seq: int
    captured_s: float
    blur: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class TileMaker:
    """Makes each tile once, however many ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blur: FaceBlur | None = None
        self._made: tuple[tuple[int, int], Tile] | None = None

    def make(self, camera: Camera, latest: Picture, analysed: "Analysed | None", max_width: int) -> Tile:
        """The tile of the newest analysed picture, whose people are known; before there is one, a mosaic of the latest.

        Where people's heads are is known of the analysed picture alone: a newer one could show a face.
        """
        picture = analysed.seen.picture if analysed else latest
        with self._lock:
            key = (picture.meta.seq, max_width)
            if self._made is not None and self._made[0] == key:
                return self._made[1]
            if self._blur is None:
                self._blur = FaceBlur()
            image = picture.bgr(max_width)
            scale = image.shape[1] / picture.meta.width
            if analysed is None:
                image, how = mosaic(image), "mosaic"
            else:
                image, how = self._blur.apply(image, analysed.seen.people * np.float32(scale))
            image = draw(image, camera, analysed, scale)
            if picture.meta.simulated:
                stamp(image)  # the mark in the picture itself may have been blurred with it
            ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if not ok:
                raise ValueError(f"camera {camera.id}: the picture could not be encoded as JPEG")
            tile = Tile(jpeg.tobytes(), picture.meta.seq, picture.meta.captured_s, how)
            self._made = (key, tile)
            return tile


def plain_tile(camera: Camera, picture: Picture, max_width: int) -> Tile:
    """A picture as it is, but for the privacy zones, which are black in it: faces show. Never kept, never shared."""
    image = picture.bgr(max_width)
    if picture.meta.simulated:
        stamp(image)
    ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError(f"camera {camera.id}: the picture could not be encoded as JPEG")
    return Tile(jpeg.tobytes(), picture.meta.seq, picture.meta.captured_s, "none")


def with_heat(tile: Tile, seconds: NDArray[np.float64]) -> Tile:
    """A tile under a heat map. seconds: (rows, columns); by their square root, so that paths show beside seats."""
    image = cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the tile is no picture")
    heat = np.sqrt(seconds / max(float(seconds.max()), 1e-9)).astype(np.float32)
    heat = np.clip(cv2.resize(heat, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC), 0, 1)
    colour = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    cover = (0.65 * np.clip(heat * 2, 0, 1))[..., None]
    mixed = (image * (1 - cover) + colour * cover).astype(np.uint8)
    ok, jpeg = cv2.imencode(".jpg", mixed, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise ValueError("the heat map could not be encoded as JPEG")
    return Tile(jpeg.tobytes(), tile.seq, tile.captured_s, tile.blur)


def draw(image: NDArray[np.uint8], camera: Camera, analysed: "Analysed | None", scale: float) -> NDArray[np.uint8]:
    """Zones, lines and tracks drawn on a tile, in place where the array allows it."""
    image = np.ascontiguousarray(image)
    size = np.array([image.shape[1], image.shape[0]])
    for zone in camera.zones:
        corners = (np.array(zone.polygon) * size).astype(np.int32)
        cv2.polylines(image, [corners], True, ZONE, 1, cv2.LINE_AA)
    for line in camera.lines:
        start, end = ((np.array(point) * size).astype(int).tolist() for point in (line.from_, line.to))
        cv2.line(image, start, end, LINE, 2, cv2.LINE_AA)
    if analysed is not None:
        tracks = analysed.tracks
        for row in range(len(tracks)):
            x1, y1, x2, y2 = (tracks.boxes[row] * scale).astype(int).tolist()
            cv2.rectangle(image, (x1, y1), (x2, y2), BOX, 1, cv2.LINE_AA)
            text = f"{tracks.label(row)} {int(tracks.ids[row])}"
            cv2.putText(image, text, (x1, max(y1 - 3, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(image, text, (x1, max(y1 - 3, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.38, BOX, 1, cv2.LINE_AA)
    return image
