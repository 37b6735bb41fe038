"""From the picture to the ground: a plane calibration of a camera."""

from datetime import date
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hoaban.shapes import Id, Point, Strict

Metres = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]]


class Calibration(Strict):
    """Where at least four points of the picture lie on the ground, in metres from any fixed point, x east, y north."""

    id: Id
    picture: Annotated[tuple[Point, ...], Field(min_length=4, description="fractions of the picture")]
    ground_m: Annotated[tuple[Metres, ...], Field(min_length=4, description="the same points in metres")]
    measured: date
    valid_until: date | None = Field(None, description="after this day the calibration is no longer believed")

    @model_validator(mode="after")
    def _fits(self) -> "Calibration":
        if len(self.picture) != len(self.ground_m):
            raise ValueError(
                f"{len(self.picture)} picture points but {len(self.ground_m)} ground_m; give as many of each"
            )
        if _homography(self.picture, self.ground_m) is None:
            raise ValueError("three of the points lie on one line; choose corners that span the road")
        return self


class Ground:
    """The calibration made usable for frames of width x height pixels."""

    def __init__(self, calibration: Calibration, width: int, height: int) -> None:
        picture = np.asarray(calibration.picture, np.float64) * (width, height)
        matrix = _homography(picture, calibration.ground_m)
        if matrix is None:
            raise ValueError(f"calibration {calibration.id!r} has no solution")
        self._matrix = matrix

    def to_metres(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, 2) metres of (n, 2) pixels on the ground plane; nan for points at or beyond the horizon.

        Formula: plane homography, Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 2.3.
        """
        homogeneous = np.ones((len(points), 3))
        homogeneous[:, :2] = points
        product = homogeneous @ self._matrix.T
        # The sign of the scale is that of the calibrated points on this side of the horizon, made positive below.
        scale = product[:, 2:]
        beyond = ~(scale > 1e-9)
        if np.count_nonzero(beyond):
            scale[beyond] = np.nan
        return np.asarray(product[:, :2] / scale)


def _homography(picture: object, ground_m: object) -> NDArray[np.float64] | None:
    source, target = np.asarray(picture, np.float64), np.asarray(ground_m, np.float64)
    matrix, _ = cv2.findHomography(source, target)
    if matrix is None or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix) < 3:
        return None
    scales = np.column_stack([source, np.ones(len(source))]) @ matrix[2]
    if not (np.all(scales > 0) or np.all(scales < 0)):
        return None
    return np.asarray(matrix * np.sign(scales[0]), np.float64)
