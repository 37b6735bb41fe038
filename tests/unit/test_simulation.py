"""Simulated sources: the same seed gives the same world, and what is told of it is what the decoded pixels show."""

import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.models import find_model, load_detector
from actors.preroll import PacketRing
from actors.sim_source import SimReader
from actors.source import SourceError, SourceThread, open_frames
from actors.tile import TileMaker
from benchmarks.simulation import recall_and_precision
from cli.main import app
from hoaban.calibration import Calibration, Ground
from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.geometry import to_pixels
from hoaban.sim.address import SCENES, parse_address
from hoaban.sim.colours import DIRECTIONS, LABELS
from hoaban.sim.film import Film
from hoaban.sim.mark import stamp
from hoaban.sim.stage import STEP_S
from hoaban.sim.truth import (
    Colour,
    CrossingTruth,
    FrameTruth,
    HappeningTruth,
    PhaseTruth,
    Truth,
    ViolationKind,
    ViolationTruth,
    from_json,
    to_json,
)
from hoaban.sim.view import Pose, View


@lru_cache(maxsize=16)
def truth(source: str, frames: bool = True) -> list[Truth]:
    return list(Film(parse_address(source)).truth(frames=frames))


def only(kind: type, source: str, frames: bool = False) -> list:
    return [record for record in truth(source, frames) if isinstance(record, kind)]


def decoded(source: str) -> list[np.ndarray]:
    return [picture.frame.to_ndarray(format="bgr24") for picture in open_frames(source, "cam")]


# --- addresses


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sim://junktion", "'junktion' is no simulated scene; use one of junction, road, plaza, overview, yard"),
        ("sim://road?violations=0.5", "road has no parameter 'violations'; it takes seed, size"),
        ("sim://road?fps=100&size=641x360", "size=641x360: it must be even"),
        ("sim://road?seed=1&seed=2", "'seed' is given twice"),
        ("sim://road?seed", "not NAME=VALUE"),
        ("sim://junction?yellow=6&red=12", "at least 8 s longer than yellow"),
        ("sim://road?jitter=nan", "finite"),
    ],
)
def test_what_an_address_may_not_say_is_named(source: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are looked at below)
        parse_address(source)
    assert words in str(caught.value)
    with pytest.raises(SourceError) as caught_too:
        SimReader(source)
    assert words in str(caught_too.value)
    cameras = f"cameras:\n- {{id: a, name: a, role: shared, district: d, owner: o, source: '{source}'}}"
    text = (
        f"version: 1\nprovince: {{name: x}}\ndistricts: [{{id: d, name: d}}]\nagencies: [{{id: o, name: o}}]\n{cameras}"
    )
    with pytest.raises(FleetErrors) as errors:
        parse_fleet([("fleet.yaml", text)], {})
    (line,) = map(str, errors.value.errors)
    assert line.startswith("fleet.yaml:6: cameras[0].source: ")
    assert words in line


@given(st.text() | st.text("sim:/?&=xjuntcorad0123456789.", max_size=40).map(lambda rest: "sim://road?" + rest))
def test_no_address_brings_another_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_address(text).scene in SCENES


def test_a_simulated_camera_uses_the_detector_that_knows_its_colours() -> None:
    text = """\
version: 1
province: {name: x}
districts: [{id: d, name: d}]
agencies: [{id: o, name: o}]
cameras:
  - {id: a, name: a, role: shared, district: d, owner: o, source: "sim://road?seed=1"}
  - {id: b, name: b, role: shared, district: d, owner: o, source: "sim://road?seed=1", model: opencv-hog}
  - {id: c, name: c, role: shared, district: d, owner: o, source: "rtsp://127.0.0.1/1"}
"""
    models = [camera.model for camera in parse_fleet([("f", text)], {}).cameras]
    assert models == ["sim-colours", "opencv-hog", "yolox-nano"]
    assert find_model("sim-colours").card.labels == LABELS


# --- the view


@given(
    st.builds(
        Pose,
        x=st.floats(-20, 20),
        y=st.floats(-40, 0),
        height=st.floats(3, 40),
        down=st.floats(5, 60),
        right=st.floats(-30, 30),
        focal=st.floats(0.5, 2),
    ),
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.7, 0.95)), min_size=1, max_size=5),
)
def test_the_ground_comes_back_from_its_picture(pose: Pose, shares: list[tuple[float, float]]) -> None:
    view = View(pose, 640, 360)
    pixels = to_pixels(shares, 640, 360)
    ground = view.to_ground(pixels)
    ahead = np.isfinite(ground).all(axis=1) & (np.abs(ground).max(axis=1) < 500)
    again, depth = view.ground(ground[ahead])
    assert np.allclose(again, pixels[ahead], atol=1e-3)
    assert (depth > 0).all()


@pytest.mark.parametrize("scene", SCENES)
def test_the_told_calibration_is_the_cameras_own(scene: str) -> None:
    film = Film(parse_address(f"sim://{scene}?size=960x540"))
    ground = Ground(Calibration.model_validate(film.setup().calibration), 960, 540)
    pixels = np.array([[480.0, 500.0], [200.0, 300.0], [700.0, 350.0]])
    assert np.allclose(ground.to_metres(pixels), film.view.to_ground(pixels), atol=1e-4)


# --- the same again


@pytest.mark.parametrize("scene", SCENES)
def test_a_seed_gives_the_same_pictures_and_truth_each_time(scene: str) -> None:
    source = f"sim://{scene}?seed=5&duration=4&night=1&occlusion=0.1&drop=0.2&jitter=0.4&size=320x180"
    films = [Film(parse_address(source)) for _ in range(2)]
    one, two = ([(s.seq, s.time_s, s.pixels.copy()) for s in film.shots()] for film in films)
    assert [(seq, time_s) for seq, time_s, _ in one] == [(seq, time_s) for seq, time_s, _ in two]
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(one, two, strict=True))
    lines = [to_json(record) for record in Film(parse_address(source)).truth()]
    assert lines == [to_json(record) for record in Film(parse_address(source)).truth()]
    assert [to_json(from_json(line)) for line in lines] == lines
    other = Film(parse_address(source.replace("seed=5", "seed=6")))
    assert not np.array_equal(one[-1][2], [s.pixels.copy() for s in other.shots()][-1])


def test_the_rate_of_frames_does_not_change_the_world() -> None:
    slow, fast = (only(CrossingTruth, f"sim://road?seed=2&duration=40&fps={fps}") for fps in (5, 20))
    until = 39.0  # the last step of the one that ends sooner
    assert [c for c in slow if c.time_s < until] == [c for c in fast if c.time_s < until]
    assert len(slow) > 20


def test_lost_frames_and_late_timestamps_are_told() -> None:
    source = "sim://road?seed=2&duration=30&drop=0.3&jitter=0.5&size=160x90"
    frames = only(FrameTruth, source, True)
    times = [frame.time_s for frame in frames]
    assert 170 < len(frames) < 250
    assert times == sorted(set(times))
    assert max(abs(frame.time_s - frame.world_s) for frame in frames) <= 0.05
    # Replay starts its clock at the first frame.
    metas = [picture.meta for picture in open_frames(source, "cam")]
    assert [m.captured_s for m in metas] == pytest.approx([t - times[0] for t in times], abs=1e-4)
    assert all(m.simulated for m in metas)


# --- what the pixels show


@pytest.mark.parametrize("scene", SCENES)
def test_a_told_box_holds_the_things_pixels_after_decoding(scene: str) -> None:
    source = f"sim://{scene}?seed=4&duration=45&fps=1"
    frames = only(FrameTruth, source, True)
    looked = 0
    for frame, picture in list(zip(frames, decoded(source), strict=True))[::6]:
        _, red, blue = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(int) - 128)
        for item in frame.objects:
            x1, y1, x2, y2 = (round(v) for v in item.box)
            if item.label not in LABELS or item.visible < 0.95 or (x2 - x1) * (y2 - y1) < 150 or y2 - y1 < 12:
                continue
            looked += 1
            there = np.s_[y1:y2, x1:x2]
            away = (np.degrees(np.arctan2(red[there], blue[there])) - DIRECTIONS[item.label] + 180) % 360 - 180
            own = (np.abs(away) < 16) & (np.hypot(red[there], blue[there]) > 15)
            assert own.mean() > 0.4, item
            ys, xs = np.nonzero(own)
            assert (np.ptp(xs) + 1) / (x2 - x1) > 0.7, item
            assert (np.ptp(ys) + 1) / (y2 - y1) > 0.7, item
    assert looked >= 8


@pytest.mark.parametrize("night", [0, 1])
def test_lamps_shine_as_told(night: int) -> None:
    source = f"sim://junction?seed=3&duration=36&fps=1&night={night}"
    film = Film(parse_address(source))
    (signal,) = film.setup().signals
    shown = set()
    for frame, picture in list(zip(only(FrameTruth, source, True), decoded(source), strict=True)):
        colours = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(int)
        for lamp in Colour:
            x1, y1, x2, y2 = (round(v) for v in film.view.pixels(getattr(signal, lamp.value)))
            luma, red, blue = colours[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].reshape(-1, 3).mean(axis=0)
            lit = lamp is frame.signals["main"]
            assert (np.hypot(red - 128, blue - 128) > 35) == lit
            if lit:
                shown.add(lamp)
                direction = DIRECTIONS[f"{lamp.value} lamp"]
                turned = (np.degrees(np.arctan2(red - 128, blue - 128)) - direction + 180) % 360 - 180
                assert abs(turned) < 20
                assert luma > 60
    assert shown == set(Colour)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", ["640x360", "320x180", "1280x720"])
def test_every_picture_says_that_it_is_simulated(scene: str, size: str) -> None:
    assert_marked(decoded(f"sim://{scene}?seed=1&duration=0.1&size={size}")[0])


def test_a_tile_says_so_even_where_all_else_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_camera: Callable[..., Camera]
) -> None:
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))  # no face detector there
    source = "sim://road?duration=0.1"
    (picture,) = open_frames(source, "cam")
    tile = TileMaker().make(make_camera(source), picture, None, 640)
    assert tile.blur == "mosaic"
    assert_marked(cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("size", [(1920, 90), (160, 1080), (64, 36)])
def test_the_mark_fits_pictures_of_any_shape(size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 128, np.uint8)
    stamp(picture)
    assert (picture[:3, :3] < 60).all()  # a corner of the plate
    assert (picture.min(axis=(1, 2)) > 100).any() or (picture.min(axis=(0, 2)) > 100).any()  # and where it ends


def assert_marked(picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    corner = cv2.cvtColor(picture[: height // 14, : width // 3], cv2.COLOR_BGR2GRAY)
    assert np.median(corner) < 60  # a dark plate
    assert 0.02 < (corner > 150).mean() < 0.4  # bright letters


@pytest.mark.parametrize(
    ("source", "recall", "precision"),
    [
        ("sim://junction?seed=7&duration=40&fps=2", 0.93, 0.85),
        ("sim://junction?seed=7&duration=40&fps=2&night=1&noise=3", 0.85, 0.55),
        ("sim://plaza?seed=7&duration=40&fps=2", 0.8, 0.8),
    ],
)
def test_the_detector_finds_most_things_by_pixels_alone(source: str, recall: float, precision: float) -> None:
    found = recall_and_precision(source, every=1)
    assert found[0] >= recall, found
    assert found[1] >= precision, found


def test_what_is_not_simulated_gives_no_things() -> None:
    detector = load_detector(find_model("sim-colours"))
    detector.warm_up()
    grey = np.random.default_rng(1).normal(110, 3, (1, 360, 640, 1)).clip(0, 255).astype(np.uint8)
    assert len(detector.infer(np.repeat(grey, 3, axis=3))[0]) == 0


# --- what is told


def test_violations_are_told_only_where_somebody_breaks_a_rule() -> None:
    assert only(ViolationTruth, "sim://junction?seed=2&duration=150&violations=0") == []
    found = [
        v for seed in (2, 4) for v in only(ViolationTruth, f"sim://junction?seed={seed}&duration=150&violations=0.7")
    ]
    assert {violation.kind for violation in found} == set(ViolationKind)
    assert len(found) >= 12


def test_a_red_light_is_passed_in_red_and_the_evidence_is_in_order() -> None:
    source = "sim://junction?seed=2&duration=150&violations=0.7"
    phases = only(PhaseTruth, source)
    assert [p.from_s for p in phases[1:]] == pytest.approx([p.to_s for p in phases[:-1]])
    violations = [v for v in only(ViolationTruth, source) if v.kind is ViolationKind.RED_LIGHT]
    assert len(violations) >= 2
    for violation in violations:
        (phase,) = (p for p in phases if p.from_s <= violation.at_s < p.to_s)
        assert phase.colour is Colour.RED
        assert violation.yellow_s == 3.0
        if phase.from_s > 0:
            assert violation.red_for_s == pytest.approx(violation.at_s - phase.from_s, abs=1e-6)
        assert violation.at_s < violation.line_s + STEP_S
        assert violation.before_s is None or violation.before_s < violation.line_s
        assert violation.after_s is None or violation.line_s < violation.after_s


def test_who_keeps_the_rules_is_over_the_line_soon_after_red_began() -> None:
    source = "sim://junction?seed=9&duration=150&violations=0"
    reds = [(p.from_s, p.to_s) for p in only(PhaseTruth, source) if p.colour is Colour.RED]
    crossings = [c for c in only(CrossingTruth, source) if c.line == "stop" and c.direction == "backward"]
    assert len(crossings) > 20
    for crossing in crossings:
        assert not any(from_s + 3 < crossing.time_s < to_s for from_s, to_s in reds if from_s > 0), crossing


def test_a_square_fills_and_empties_and_a_road_jams_and_clears() -> None:
    counts = [frame.zones["square"] for frame in only(FrameTruth, "sim://plaza?seed=3&duration=90&fps=2", True)]
    assert counts[0] == counts[-1] == 0
    assert max(counts) == 30
    (crowd,) = only(HappeningTruth, "sim://plaza?seed=3&duration=90&fps=2", True)
    assert (crowd.kind, crowd.count) == ("crowd", 30)
    jams = only(HappeningTruth, "sim://overview?seed=3&duration=100&fps=2")
    assert {jam.kind for jam in jams} == {"congestion"}
    longest = max(jams, key=lambda jam: jam.to_s - jam.from_s)
    assert longest.to_s - longest.from_s > 15
    assert 60 < longest.to_s < 90


def test_a_yard_sees_each_of_its_happenings_once_a_round() -> None:
    kinds = Counter(h.kind.value for h in only(HappeningTruth, "sim://yard?seed=3&duration=150&fps=2"))
    assert kinds["abandoned_object"] == kinds["removed_object"] == kinds["loitering"] == 1
    assert kinds["intrusion"] == 2  # the one who looks around, and the one who takes the pot


# --- as a source


def test_a_live_camera_gets_an_endless_labelled_stream_and_a_clip(make_camera: Callable[..., Camera]) -> None:
    ring, seen = PacketRing(6.0, 10**7), []
    camera = make_camera("sim://road?seed=1&size=320x180")

    def take(picture: object) -> None:
        seen.append(picture.meta)
        thread.ready()

    thread = SourceThread(camera, take, ring=ring, pacing="demand")
    thread.start()
    deadline = time.monotonic() + 60
    while len(seen) < 80 and time.monotonic() < deadline:
        time.sleep(0.02)
    status = thread.status()
    thread.stop()
    assert (status.simulated, status.codec, status.width, status.decode_errors) == (True, "h264", 320, 0)
    assert len(seen) >= 80
    assert all(meta.simulated for meta in seen)
    steps = np.diff([meta.captured_s for meta in seen])
    assert steps == pytest.approx(np.full(len(steps), 0.1), abs=1e-3)
    clip = ring.clip(seen[40].captured_s, seen[60].captured_s)
    with av.open(io.BytesIO(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 21


def fleet_for(source: str, folder: Path) -> Path:
    printed = CliRunner().invoke(app, ["sim", "fleet", source])
    assert printed.exit_code == 0, printed.output
    path = folder / "fleet.yaml"
    path.write_text(printed.stdout.replace("- type: camera_health", "- {type: line_count, line: gate}"))
    return path


def test_replay_counts_what_is_true_and_gives_the_same_file_each_time(tmp_path: Path) -> None:
    source = "sim://road?seed=6&duration=60&fps=5"  # as many as the camera analyses
    fleet = fleet_for("sim://road", tmp_path)
    for name, of in (("a", source), ("short", source.replace("60", "20")), ("again", source.replace("60", "20"))):
        command = ["replay", str(fleet), "--camera", "sim-road", "--source", of, "--out", str(tmp_path / name)]
        done = CliRunner().invoke(app, [*command, "--json"])
        assert done.exit_code == 0, done.output
    short = (tmp_path / "short").read_bytes()
    assert short == (tmp_path / "again").read_bytes()
    assert short.count(b"\n") > 5
    assert (tmp_path / "a").read_bytes().startswith(short)
    events = [json.loads(line)["data"] for line in (tmp_path / "a").read_text().splitlines()]
    assert all(event["simulated"] for event in events)
    counted = Counter((event["direction"], event["class"]) for event in events)
    true = Counter((c.direction, c.label) for c in only(CrossingTruth, source) if c.line == "gate")
    assert sum(true.values()) > 25
    assert ((counted - true) + (true - counted)).total() <= 0.05 * true.total()


def test_replay_of_a_source_without_end_is_refused_with_a_cure(tmp_path: Path) -> None:
    fleet = fleet_for("sim://road?seed=1", tmp_path)
    done = CliRunner().invoke(app, ["replay", str(fleet), "--camera", "sim-road", "--out", str(tmp_path / "a")])
    assert done.exit_code == 2
    assert "--source 'sim://road?seed=1&duration=60'" in done.stderr


def test_truth_is_written_and_bad_sources_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "t.jsonl"
    done = CliRunner().invoke(app, ["sim", "truth", "sim://yard?duration=5", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    records = [from_json(line) for line in out.read_text().splitlines()]
    assert Counter(record.record for record in records) == json.loads(done.stdout)["records"]
    assert records[0].record == "scene"
    for source, words in (("sim://yard", "add duration=SECONDS"), ("yard", "no simulated scene")):
        refused = CliRunner().invoke(app, ["sim", "truth", source, "--out", str(out)])
        assert refused.exit_code == 2
        assert words in refused.stderr
