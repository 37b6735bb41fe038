"""Overlaps of boxes: few of them are worked out in another way than many, and the answer must not show which."""

from unittest.mock import patch

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hoaban import geometry

BOXES = st.integers(0, 8).flatmap(
    lambda count: hnp.arrays(np.float32, (count, 4), elements=st.floats(-50, 50, width=32))
)


@given(BOXES, BOXES)
def test_few_boxes_and_many_give_the_same_bytes(a: np.ndarray, b: np.ndarray) -> None:
    few = geometry.overlaps(a, b)
    with patch.object(geometry, "FEW_PAIRS", -1):
        many = geometry.overlaps(a, b)
    for one, other in zip(few, many, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
