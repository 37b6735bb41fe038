"""A face cut out upright and at one size, as embedding models were trained to see it."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
F64 = NDArray[np.float64]

SIZE = 112
TEMPLATE: F64 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) pixels in a 112 x 112 crop: the eye on the picture's left, the other eye, nose tip, mouth corners left, right.

The points of SphereFace (Liu et al., CVPR 2017, 96 x 112) moved 8 pixels to the right, as ArcFace (Deng et al.,
CVPR 2019) and InsightFace's published alignment have them.
"""


def similarity(points: F64, onto: F64) -> F64:
    """(2, 3) matrix that turns, scales (by one factor) and moves (n, 2) points onto others with least squared error.

    Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns, PAMI 13(4), 1991,
    equations 40 to 43. Raises ValueError when the points coincide: nothing then says how to turn them.
    """
    points, onto = np.asarray(points, np.float64), np.asarray(onto, np.float64)
    centre, centre_onto = points.mean(axis=0), onto.mean(axis=0)
    away, away_onto = points - centre, onto - centre_onto
    spread = float((away**2).sum()) / len(points)
    if not spread > 1e-9:
        raise ValueError("the landmarks coincide: no face can be aligned by them")
    u, singular, v = np.linalg.svd(away_onto.T @ away / len(points))
    signs = np.ones(2)
    if np.linalg.det(u) * np.linalg.det(v) < 0:
        signs[1] = -1  # a mirrored face is not the same face
    turn = u @ np.diag(signs) @ v
    scale = float((singular * signs).sum()) / spread
    return np.column_stack([scale * turn, centre_onto - scale * turn @ centre])


def template(size: int = SIZE, margin: float = 0.0) -> F64:
    """(5, 2) where the landmarks come to lie in a size x size crop; margin: share of the crop added around the face."""
    return ((TEMPLATE / SIZE - 0.5) * (1 - 2 * margin) + 0.5) * size


def aligned(picture: Pixels, landmarks: Floats, size: int = SIZE, margin: float = 0.0) -> Pixels:
    """The (size, size, 3) uint8 crop of a face in an (h, w, 3) picture; outside the picture is black.

    landmarks: (5, 2) pixels of the picture, in the order of TEMPLATE. Raises ValueError for points that coincide.
    """
    matrix = similarity(np.asarray(landmarks, np.float64), template(size, margin))
    crop: Pixels = np.asarray(cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
    return crop
