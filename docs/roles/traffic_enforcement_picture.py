"""Makes traffic-enforcement.jpg: an enforcement camera's set-up over a frame of sim://junction. From the root:

python docs/roles/traffic_enforcement_picture.py

The picture is a drawing: there is no face in it to hide.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from actors.source import open_frames
from benchmarks.enforcement import junction_camera
from hoaban.geometry import to_pixels
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film

SOURCE = "sim://junction?seed=3&duration=40&size=1280x720&noise=1&violations=0.5"
FRAME = 300
ZONES = {"box": (240, 120, 180), "no-parking": (60, 60, 230), "approach": (60, 190, 250)}  # BGR
LINES = {"stop": (60, 60, 250), "left": (250, 140, 60), "heading": (80, 220, 80)}
LAMPS = {"red": (60, 60, 255), "yellow": (60, 220, 255), "green": (90, 230, 60)}
SHADE = 0.22


def main() -> None:
    camera = junction_camera(Film(parse_address(SOURCE)).setup())
    picture = next(islice(open_frames(SOURCE, camera.id), FRAME, None))
    width, height = picture.meta.width, picture.meta.height
    image = picture.bgr(width)
    for zone in camera.zones:
        if zone.id in ZONES:
            corners = np.rint(to_pixels(zone.polygon, width, height)).astype(np.int32)
            layer = image.copy()
            cv2.fillPoly(layer, [corners], ZONES[zone.id])
            image = cv2.addWeighted(layer, SHADE, image, 1 - SHADE, 0)
            cv2.polylines(image, [corners], True, ZONES[zone.id], 1, cv2.LINE_AA)
            label(image, f"zone {zone.id}", corners.mean(axis=0), ZONES[zone.id])
    for line in camera.lines:
        if line.id in LINES:
            start, end = np.rint(to_pixels([line.from_, line.to], width, height)).astype(int).tolist()
            draw = cv2.arrowedLine if line.id == "heading" else cv2.line
            draw(image, start, end, LINES[line.id], 3, cv2.LINE_AA)
            label(image, f"line {line.id}", np.add(start, end) / 2 + (0, -8), LINES[line.id])
    (signal,) = camera.signals
    for name, colour in LAMPS.items():
        corners = np.rint(to_pixels(getattr(signal.lamps, name), width, height)).astype(np.int32)
        cv2.polylines(image, [corners], True, colour, 1, cv2.LINE_AA)
        label(image, name, np.add(corners.mean(axis=0), (44, 4)), colour)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    cv2.imwrite(str(Path(__file__).with_name("traffic-enforcement.jpg")), image, quality)


def label(image: np.ndarray, text: str, middle: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Text with a dark rim, its middle at a point."""
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    where = int(middle[0] - wide / 2), int(middle[1])
    for shade, thick in (((0, 0, 0), 4), (colour, 1)):
        cv2.putText(image, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, shade, thick, cv2.LINE_AA)


if __name__ == "__main__":
    main()
