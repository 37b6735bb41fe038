"""OpenCV's histogram-of-gradients people detector: the last resort, which needs no weights."""

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.models.base import CardDetector
from hoaban.models.card import ModelCard
from hoaban.models.decode import suppress


class HogDetector(CardDetector):
    """People in upright posture. One descriptor a thread: OpenCV does not say that one may be shared."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self._local = threading.local()

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return [self._people(picture) for picture in batch]

    def _people(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not hasattr(self._local, "hog"):
            self._local.hog = cv2.HOGDescriptor()
            self._local.hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
        boxes, weights = self._local.hog.detectMultiScale(picture, winStride=(8, 8), scale=1.05)
        if len(boxes) == 0:
            return np.zeros((0, 6), np.float32)
        boxes = np.asarray(boxes, np.float32)
        boxes[:, 2:] += boxes[:, :2]
        # The margin of the SVM, made a score in 0..1 by the logistic function.
        scores = 1 / (1 + np.exp(-np.asarray(weights, np.float32).reshape(-1)))
        return suppress(np.column_stack([boxes, scores, np.zeros(len(boxes))]), self.card.nms_iou)
