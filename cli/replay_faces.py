"""The face rules of a camera in a replay: the same pipeline as live, one frame after the other."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from actors.models import find_model, load_face_model
from actors.models.face_model import FaceModel
from actors.picture import Picture
from actors.watchlist.store import WatchlistStore
from cli.replay_lists import read_list
from hoaban import __version__
from hoaban.admission import Admission
from hoaban.events import Event
from hoaban.faces.pipeline import FacePipeline
from hoaban.fleet import Camera

log = structlog.get_logger(__name__)


class ReplayFaces:
    """Media time is the clock of tracks and votes; the law is judged by today, not by the recording's time."""

    def __init__(self, camera: Camera, model: FaceModel, data: Path | None) -> None:
        """Raises ModelError when the data folder holds no readable watchlist."""
        self._model = model
        self._now_s = time.time()
        self._pipeline = FacePipeline(camera, __version__, law_not_before_s=self._now_s)
        if data is not None:
            self._pipeline.set_watchlist(read_list(data, WatchlistStore))
        self._admission = Admission.of_faces(camera)
        self.failed = 0
        self._batch = np.empty((1, model.input_height, model.input_width, 3), np.uint8)

    @classmethod
    def of(cls, camera: Camera, data: Path | None) -> "ReplayFaces | None":
        """None for a camera without face rules. Raises ModelError."""
        if not camera.face_rules:
            return None
        model = load_face_model(find_model(camera.face_model or "faces"), threads=1, device="cpu")
        return cls(camera, model, data)

    def step(self, picture: Picture) -> list[Event]:
        """What a picture gives, when it is due for faces. One on which the model fails is counted and left out."""
        meta = picture.meta
        if not self._pipeline.wants(meta.captured_s) or not self._admission.admit(meta.captured_s, picture.luma):
            return []
        try:
            return self._search(picture)
        except Exception:
            self.failed += 1
            if self.failed == 1:
                log.exception("faces not searched; further frames are only counted", camera=meta.camera, seq=meta.seq)
            return []

    def _search(self, picture: Picture) -> list[Event]:
        meta = picture.meta
        _, letterbox = picture.model_input(self._model.input_width, self._model.input_height, self._batch[0])
        self._pipeline.hide_outside(self._batch[0], letterbox, meta.width, meta.height)
        (rows,) = self._model.infer(self._batch)
        return self._pipeline.step_rows(meta, rows, letterbox, self._model.ref, self._model.template)

    def summary(self) -> dict[str, Any]:
        """For --json: the model and what was searched."""
        return {"model": self._model.ref.as_dict(), **self._pipeline.status(self._now_s)}
