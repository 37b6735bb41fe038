"""The fleet file's pieces on the pages of roles are such as `hoaban check` takes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hoaban.fleet import Camera

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "roles"
PAGES = [FOLDER / f"{role}.md" for role in ("neighbourhood", "crowd", "overview", "camera-health")]
CALIBRATION = {
    "id": "c",
    "measured": "2026-01-01",
    "picture": [[0, 0], [1, 0], [1, 1], [0, 1]],
    "ground_m": [[0, 36], [64, 36], [64, 0], [0, 0]],
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_can_be_written_so(page: Path, make_camera: Callable[..., Camera]) -> None:
    pieces = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert pieces
    for piece in pieces:
        camera = make_camera(calibration=CALIBRATION, **yaml.safe_load(piece))
        places = {"zones": {zone.id for zone in camera.zones}, "lines": {line.id for line in camera.lines}}
        for rule in camera.rules:
            assert all(getattr(rule, field) in places[place] for field, place in rule.references().items())
