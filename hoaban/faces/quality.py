"""Is a face good enough to be compared with anyone? A refusal says why.

A poor face is worse than none: its template lies near many others. Measures are simple on purpose, so that an
operator can see with his own eyes what a refusal means and move the camera.
"""

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class Refusal(IntEnum):
    """Why a face is not compared; NONE: it is."""

    NONE = 0
    UNSURE = 1
    """the detector's score is too low"""
    SMALL = 2
    ROLLED = 3
    """the head leans to a shoulder"""
    TURNED = 4
    """the face looks to the side"""
    TILTED = 5
    """the face looks up or down"""
    DARK = 6
    BRIGHT = 7
    BLURRED = 8


REASONS = tuple(refusal.name.lower() for refusal in Refusal)
"""name of each refusal, by its number"""
MEASURES = ("eyes_px", "sharpness", "turn", "tilt", "roll_deg", "brightness")
"""columns of the (n, 6) measures; see `measure`"""


class QualityGate(BaseModel):
    """What a face must reach. Pixels are those of the face model's input, where the face is cut out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    min_score: float = Field(0.7, ge=0, le=1, description="the face detector's score")
    min_eyes_px: float = Field(18.0, gt=0, description="distance between the eyes")
    max_roll_deg: float = Field(35.0, gt=0, le=180, description="how far the eyes' line may lean")
    max_turn: float = Field(0.45, gt=0, description="nose beside the middle of the eyes, in eye distances")
    max_tilt: float = Field(0.28, gt=0, description="nose above or below its place between eyes and mouth, of that way")
    min_brightness: float = Field(40.0, ge=0, le=255, description="mean grey level of the aligned face")
    max_brightness: float = Field(225.0, ge=0, le=255)
    min_sharpness: float = Field(
        30.0, ge=0, description="variance of the Laplacian of the aligned face at a contrast of 50 grey levels"
    )

    def refusal(self, score: float, measures: Floats) -> Refusal:
        """The first thing wrong with a face, or NONE. measures: (6,) as `measure` gives them."""
        eyes_px, sharpness, turn, tilt, roll_deg, brightness = measures.tolist()
        checks = (
            (score < self.min_score, Refusal.UNSURE),
            (eyes_px < self.min_eyes_px, Refusal.SMALL),
            (abs(roll_deg) > self.max_roll_deg, Refusal.ROLLED),
            (abs(turn) > self.max_turn, Refusal.TURNED),
            (abs(tilt) > self.max_tilt, Refusal.TILTED),
            (brightness < self.min_brightness, Refusal.DARK),
            (brightness > self.max_brightness, Refusal.BRIGHT),
            (sharpness < self.min_sharpness, Refusal.BLURRED),
        )
        return next((why for wrong, why in checks if wrong), Refusal.NONE)


FRONTAL_NOSE = 0.5
"""of the way from the middle of the eyes to the middle of the mouth, where a frontal face's nose tip lies: 0.495 in
the alignment template (hoaban/faces/align.py)"""
CONTRAST = 50.0


def measure(landmarks: Floats, crop: Pixels) -> Floats:
    """(6,) float32 measures of a face, see MEASURES.

    landmarks: (5, 2) pixels, in the order of hoaban.faces.align.TEMPLATE. crop: its aligned (h, w, 3) uint8 BGR face.
    Pose from five points is a coarse guess: `turn` and `tilt` are shares, not angles.
    Sharpness: variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), divided by the squared contrast, so that dim
    light is not taken for blur.
    """
    points = landmarks.astype(np.float64)
    eye, other, nose = points[0], points[1], points[2]
    across = other - eye
    distance = max(float(np.hypot(*across)), 1e-6)
    between, mouth = (eye + other) / 2, (points[3] + points[4]) / 2
    turn = float(np.dot(nose - between, across)) / distance**2
    down = mouth - between
    tilt = float(np.dot(nose - between, down)) / max(float(np.dot(down, down)), 1e-6) - FRONTAL_NOSE
    roll_deg = float(np.degrees(np.arctan2(across[1], across[0])))
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    contrast = max(float(grey.std()), 5.0)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var()) * (CONTRAST / contrast) ** 2
    return np.array([distance, sharpness, turn, tilt, roll_deg, float(grey.mean())], np.float32)
