"""Where faces are: YuNet on ONNX Runtime. OpenCV 4's own reader does not take the pinned file's free input size."""

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.models.files import ModelPackage
from actors.models.onnx_session import device_of, open_session
from hoaban.detections import Floats
from hoaban.models.backend import ModelError
from hoaban.models.decode import suppress

MIN_SCORE = 0.45
"""low on purpose: a blurred wall costs less than a seen face"""
NMS_IOU = 0.3
STRIDES = (8, 16, 32)
COLUMNS = 16


class FaceDetector:
    """Faces in a picture of any size."""

    def __init__(
        self, package: ModelPackage, min_score: float = MIN_SCORE, threads: int = 1, device: str = "cpu"
    ) -> None:
        """Raises ModelError."""
        if package.path is None:
            raise ModelError(f"model {package.card.name!r}: its file {package.card.file!r} is missing")
        self._min_score = min_score
        self._session, self.note = open_session(package.card, package.path, threads, device)
        self.device = device_of(self._session)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
        missing = set(self._outputs) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise ModelError(f"model {package.card.name!r} is no YuNet: it has no outputs {sorted(missing)}")

    def boxes(self, picture: NDArray[np.uint8]) -> Floats:
        """(n, 4) float32 xyxy pixels of the faces in an (h, w, 3) uint8 BGR picture."""
        return self.rows(picture)[:, :4]

    def rows(self, picture: NDArray[np.uint8]) -> Floats:
        """(n, 16) float32: x1, y1, x2, y2, score, 0, and x, y of five landmarks, in pixels of an (h, w, 3) picture.

        Landmarks: the eye on the picture's left, the other eye, nose tip, mouth corners left and right.
        Formula: the decoder published with ShiqiYu/libfacedetection.train: score is the root of class times
        objectness; centres and landmarks are offsets and sizes exponents, in strides, from the cell's corner.
        """
        height, width = picture.shape[:2]
        padded = cv2.copyMakeBorder(picture, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
        blob = padded.transpose(2, 0, 1)[None].astype(np.float32)
        answers = dict(zip(self._outputs, self._session.run(self._outputs, {self._input: blob}), strict=True))
        rows = [np.zeros((0, COLUMNS), np.float32)]
        for stride in STRIDES:
            kind, there = (np.clip(answers[f"{name}_{stride}"], 0, 1).reshape(-1) for name in ("cls", "obj"))
            sure = np.sqrt(kind * there)
            cells = np.flatnonzero(sure >= self._min_score)
            box = answers[f"bbox_{stride}"].reshape(-1, 4)[cells]
            points = answers[f"kps_{stride}"].reshape(-1, 5, 2)[cells]
            corners = np.stack([cells % (padded.shape[1] // stride), cells // (padded.shape[1] // stride)], axis=1)
            centre, size = (corners + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
            landmarks = ((points + corners[:, None]) * stride).reshape(-1, 10)
            parts = [centre - size / 2, centre + size / 2, sure[cells], np.zeros(len(cells)), landmarks]
            rows.append(np.column_stack(parts).astype(np.float32))
        return suppress(np.concatenate(rows), NMS_IOU)
