"""What is worked out of all tracks, zones and lines of a frame at once equals what geometry says of each alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hoaban.calibration import Calibration
from hoaban.detections import Tracks
from hoaban.geometry import signed_distance
from hoaban.rules.base import Site
from hoaban.rules.line_sides import LEAST_MARGIN_PX, MARGIN, LineSides
from hoaban.rules.lineage import Lineage
from hoaban.rules.seen import Since
from hoaban.shapes import Line, Zone
from hoaban.track_table import TrackRows, TrackTable

W, H = 64, 48
CALIBRATION = Calibration.model_validate(
    {
        "id": "c", "measured": "2026-01-01", "picture": [[0.1, 0.9], [0.9, 0.9], [0.3, 0.4], [0.7, 0.4]],
        "ground_m": [[-5, 0], [5, 0], [-5, 40], [5, 40]],
    }
)  # fmt: skip
whole = st.integers(0, 16).map(lambda n: n / 16)
"""sixteenths: corners that share a height, feet on an edge and lines that meet are then drawn often"""
spots = st.tuples(whole, whole)


@st.composite
def zones(draw: st.DrawFn) -> Zone:
    """A polygon that goes round its middle, so that it never crosses itself."""
    angles = sorted(draw(st.sets(st.integers(0, 23), min_size=3, max_size=9)))
    reach = [draw(st.integers(1, 8)) / 16 for _ in angles]
    corners = [
        (0.5 + r * np.cos(a * np.pi / 12 + 0.01), 0.5 + r * np.sin(a * np.pi / 12 + 0.01))
        for a, r in zip(angles, reach, strict=True)
    ]
    return Zone.model_construct(id="z", polygon=tuple((round(float(x), 3), round(float(y), 3)) for x, y in corners))


lines = st.tuples(spots, spots).filter(lambda ends: ends[0] != ends[1])


def tracks_at(feet: list[tuple[float, float]], ids: list[int] | None = None, height: float = 6.0) -> Tracks:
    points = np.array(feet, np.float32).reshape(-1, 2) * (np.float32(W), np.float32(H))
    boxes = np.column_stack([points - np.array([2, height]), points + np.array([2, 0])]).astype(np.float32)
    count, zeros = len(points), np.zeros(len(points), np.int32)
    numbers = np.arange(count) if ids is None else np.array(ids)
    return Tracks(numbers.astype(np.int64), boxes, np.ones(count, np.float32), zeros, zeros + 9, ("person",))


def site_of(areas: list[Zone], ends: list[tuple[tuple[float, float], tuple[float, float]]]) -> Site:
    named = {f"l{i}": Line.model_construct(id=f"l{i}", from_=a, to=b) for i, (a, b) in enumerate(ends)}
    return Site({f"z{i}": zone for i, zone in enumerate(areas)}, named, W, H, CALIBRATION)


def in_polygon(x: float, y: float, corners: NDArray[np.float64]) -> bool:
    """The even-odd rule, edge by edge."""
    found = False
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            found = not found
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(zones(), max_size=4), st.lists(lines, max_size=4), st.lists(spots, max_size=12))
def test_zones_and_distances_of_all_at_once_are_those_of_each(
    areas: list[Zone], ends: list[tuple[tuple[float, float], tuple[float, float]]], feet: list[tuple[float, float]]
) -> None:
    site = site_of(areas, ends)
    tracks = tracks_at(feet)
    seen = site.seen(tracks)
    for name, polygon in site.places.polygons.items():
        expected = [in_polygon(x, y, polygon) for x, y in tracks.ground_points().astype(float)]
        assert seen.inside(name).tolist() == expected
        assert seen.within(name, ("person",)).tolist() == np.flatnonzero(expected).tolist()
    rows = list(range(len(ends)))
    for row, (start, end) in enumerate(site.places.ends):
        alone = signed_distance(tracks.ground_points(), start, end)
        np.testing.assert_array_equal(seen.distances_of(rows)[row], alone)
        np.testing.assert_array_equal(seen.distances_of([row])[0], alone)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_who_is_here_who_came_and_who_went(now: set[int], before: set[int]) -> None:
    ids, earlier = np.array(list(now), np.int64), np.array(sorted(before), np.int64)
    since = Since.of(ids, earlier)
    assert ids[since.here].tolist() == earlier[since.before].tolist() == [i for i in ids.tolist() if i in before]
    assert ids[since.come].tolist() == [i for i in ids.tolist() if i not in before]
    assert earlier[since.gone].tolist() == sorted(before - now)


steps = st.lists(st.lists(st.one_of(st.none(), spots), min_size=3, max_size=3), min_size=2, max_size=8)
"""of three tracks, where they are in each frame; None where they are not seen"""


@settings(deadline=None, max_examples=60)
@given(st.lists(lines, min_size=1, max_size=3), steps)
def test_crossings_of_all_lines_are_those_that_each_track_makes_alone(
    ends: list[tuple[tuple[float, float], tuple[float, float]]], way: list[list[tuple[float, float] | None]]
) -> None:
    site = site_of([], ends)
    names = tuple(site.lines)
    sides = LineSides.of(site, names, ("person",), site.shared.rows)
    told: list[tuple[int, str, int, bool]] = []
    for frame, places in enumerate(way):
        here = [i for i, place in enumerate(places) if place is not None]
        tracks = tracks_at([place for place in places if place is not None], here)
        crossings = sides.update(tracks, frame / 5)
        told += [(frame, name, c.track, c.forward) for name in names for c in crossings[name]]
    alone = []
    for row, (start, end) in enumerate(site.places.ends):
        for track in range(3):
            alone += [
                (frame, names[row], track, forward)
                for frame, forward in _crossings([places[track] for places in way], start, end)
            ]
    assert sorted(told) == sorted(alone)


def _crossings(
    way: list[tuple[float, float] | None], start: NDArray[np.float64], end: NDArray[np.float64]
) -> list[tuple[int, bool]]:
    """One track and one line, step by step: frames in which it is over, and whether forward."""
    found: list[tuple[int, bool]] = []
    margin = max(LEAST_MARGIN_PX, MARGIN * 6.0)
    side, sure, last = 0, None, None  # the side; where it was seen last on it before it came near; where it was last
    for frame, place in enumerate(way):
        if place is None:
            continue
        point = tracks_at([place]).ground_points().astype(np.float64)
        away = float(signed_distance(point, start, end)[0])
        now = 0 if abs(away) <= margin else (1 if away > 0 else -1)
        before = last if sure is None else sure
        if now == 0:
            sure = before if side else None
        else:
            if side and now != side and _met(before, point[0], start, end):
                found.append((frame, now > 0))
            side, sure = now, None
        last = point[0]
    return found


def _met(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]) -> bool:
    """Whether the way from a to b, on two sides of the line, meets it between its ends."""
    left, right = (float(signed_distance(p[None], c, d)[0]) for p in (a, b))
    where = a + (b - a) * left / (left - right)
    share = float((where - c) @ (d - c) / ((d - c) @ (d - c)))
    return -1e-9 <= share <= 1 + 1e-9


def test_points_beyond_the_horizon_are_not_on_the_ground_and_the_others_are() -> None:
    places = site_of([], []).places
    points = np.array([[30.0, 40.0], [30.0, -500.0], [10.0, 30.0]])
    together = places.to_metres(points)
    assert np.isnan(together).any(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(together[[0, 2]], places.to_metres(points[[0, 2]]), rtol=1e-12)


def test_what_is_put_into_a_table_of_several_numbers_is_got_from_it() -> None:
    rows = TrackRows()
    table = TrackTable(rows, one=0.0, two=(1.0, 2.0), five=(np.nan,) * 5)
    here = rows.of(np.array([5, 3, 9]), 1.0)
    table.touch(here, 1.0)
    numbers = np.arange(15.0).reshape(3, 5)
    for name, size in (("one", 1), ("two", 2), ("five", 5)):
        values = np.ascontiguousarray(numbers[:, :size])
        table.put(name, here, values)
        assert table.get(name, here).reshape(3, size).tolist() == values.tolist()
        assert table[name][here[1]].tolist() == (values[1].tolist() if size > 1 else values[1, 0])
    more = rows.of(np.arange(100, 300), 2.0)  # the table grows
    table.touch(more, 2.0)
    assert table.get("two", here).tolist() == numbers[:, :2].tolist()
    assert table.get("two", more[:1]).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("seed", range(3))
def test_two_people_never_bear_one_number_in_a_frame(seed: int) -> None:
    """Many who come and go beside each other: whoever comes back may find his number with an heir."""
    rng = np.random.default_rng(seed)
    lineage, inherited = Lineage(), 0
    for frame in range(200):
        here = np.flatnonzero(rng.random(40) > 0.4)
        feet = [(float(x), float(y)) for x, y in rng.random((len(here), 2)) * 0.3]
        tracks = tracks_at(feet, here.tolist())
        numbers = lineage.update(tracks, frame / 5).ids
        assert len(np.unique(numbers)) == len(numbers)
        inherited += int((numbers != tracks.ids).sum())
    assert inherited > 100
