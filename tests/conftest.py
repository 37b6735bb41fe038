"""Fixtures that every kind of test may use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.models import ModelError, find_clip, find_model
from hoaban.fleet import Camera


@pytest.fixture
def make_camera() -> Callable[..., Camera]:
    """A camera with sensible fields; any may be given."""

    def make(source: str = "rtsp://127.0.0.1/none", **fields: object) -> Camera:
        base = {"id": "cam", "name": "Cam", "role": "shared", "district": "d", "owner": "o", "model": "yolox-nano"}
        return Camera.model_validate(base | {"source": source} | fields)

    return make


@pytest.fixture(scope="session")
def clip() -> Callable[[str], Path]:
    """A recorded clip; the test is skipped, and says so, where the clips are not."""

    def find(name: str) -> Path:
        try:
            return find_clip(name)
        except ModelError as missing:
            pytest.skip(str(missing))

    return find


@pytest.fixture(scope="session")
def yolox() -> str:
    """The pinned detector's name; skipped where its file is not."""
    try:
        find_model("yolox-nano")
    except ModelError as missing:
        pytest.skip(str(missing))
    return "yolox-nano"
