"""Makes docs/simulation.jpg: each simulated scene with its zones and lines, as the decoder gives it.

`python docs/make_simulation_sheet.py`, from the project's folder.
"""

from pathlib import Path

import cv2
import numpy as np

from actors.source import open_frames
from hoaban.geometry import to_pixels
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film

OUT = Path(__file__).with_name("simulation.jpg")
SHOWN = (
    ("sim://junction?seed=2&violations=0.5", 26),
    ("sim://junction?seed=2&violations=0.5&night=1&occlusion=0.1&noise=3", 26),
    ("sim://road?seed=2", 30),
    ("sim://overview?seed=2", 55),
    ("sim://plaza?seed=2", 40),
    ("sim://yard?seed=2", 62),
)
ZONE, LINE = (180, 120, 240), (240, 200, 60)


def picture(source: str, at_s: int) -> np.ndarray:
    """The scene at a moment, zones and lines drawn on it."""
    ends = f"{source}&duration={at_s}"
    *_, last = open_frames(ends, "sim")
    image, setup = last.frame.to_ndarray(format="bgr24"), Film(parse_address(ends)).setup()
    for name, polygon in setup.zones.items():
        corners = to_pixels(polygon, setup.width, setup.height).astype(np.int32)
        cv2.polylines(image, [corners], True, ZONE, 1, cv2.LINE_AA)
        _write(image, name, corners[corners[:, 1].argmax()] + (4, -5), ZONE)
    for name, (start, end) in setup.lines.items():
        a, b = to_pixels([start, end], setup.width, setup.height).astype(int).tolist()
        cv2.line(image, a, b, LINE, 1, cv2.LINE_AA)
        _write(image, name, ((a[0] + b[0]) // 2, (a[1] + b[1]) // 2 - 3), LINE)
    _write(image, source, (8, setup.height - 8), (255, 255, 255))
    return image


def _write(image: np.ndarray, text: str, place: object, colour: tuple[int, int, int]) -> None:
    x, y = (int(v) for v in place)
    for shade, thickness in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, thickness, cv2.LINE_AA)


def main() -> None:
    pictures = [picture(source, at_s) for source, at_s in SHOWN]
    rows = [np.hstack(pictures[i : i + 2]) for i in range(0, len(pictures), 2)]
    cv2.imwrite(str(OUT), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
