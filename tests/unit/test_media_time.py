"""A stream's own clock, told well or badly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from actors.source import open_frames
from hoaban.media_time import MediaTime


def test_stamps_of_showing_are_taken_where_they_grow() -> None:
    clock = MediaTime(0.04)
    times = [clock.at(shown, decoded, 0.04) for shown, decoded in [(0, -2), (1, -1), (2, 0), (4, 2), (5, 3)]]
    assert np.allclose(times, [0, 0.04, 0.08, 0.16, 0.2])


def test_stamps_of_showing_that_go_to_and_fro_lose_to_those_of_decoding() -> None:
    clock = MediaTime(0.04)
    stamps = [(1, 3), (4, 4), (6, 5), (5, 6), (7, 7), (9, 8), (8, 9), (10, 10)]
    assert np.allclose([clock.at(*stamp, 0.04) for stamp in stamps][3:], np.arange(6, 11) * 0.04)


def test_without_stamps_the_frame_rate_goes_on() -> None:
    clock = MediaTime(0.1)
    assert np.allclose([clock.at(None, None, 0.0) for _ in range(3)] + [clock.at(7, None, 0.1)], [0, 0.1, 0.2, 0.7])


def test_an_avi_with_b_frames_lasts_as_long_as_it_says(clip: Callable[[str], Path]) -> None:
    times = [picture.meta.captured_s for picture in open_frames(str(clip("highway-low.avi")), "c")]
    assert len(times) == 748
    assert abs(times[-1] - 748 / 25) < 0.2
    assert np.diff(times).max() < 0.2
