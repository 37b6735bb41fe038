"""The camera's own health: real clips altered frame by frame, clocks that are wrong, and memories over a restart."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.picture import Picture
from actors.source import open_frames
from hoaban.detections import Detections, Tracks
from hoaban.events import Finding, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.pipeline import CameraPipeline
from hoaban.rules.camera_health import CameraHealth, CameraHealthRule
from hoaban.scene import Scene

pytestmark = pytest.mark.integration  # a minute of pictures, not of milliseconds
Image = NDArray[np.uint8]
CLIPS = (
    "car-detection.mp4",
    "highway-low.avi",
    "one-by-one-person-detection.mp4",
    "person-bicycle-car-detection.mp4",
    "pets-s2l1-v1.mp4",
    "plaza.mp4",
    "road-a.mp4",
)
FPS = 2.0
QUICK = {"learn_s": 20, "moved_s": 30, "frozen_s": 15}


SIZE = (384, 288)


@pytest.fixture(scope="module")
def large(clip: Callable[[str], Path]) -> list[Image]:
    """Some 80 s of a real clip, two frames a second, 500 x 375."""
    pictures = open_frames(str(clip("pets-s2l1-v1.mp4")), "cam")
    return [picture.bgr(500) for picture in pictures if picture.meta.seq % 5 == 0]


@pytest.fixture(scope="module")
def street(large: list[Image]) -> list[Image]:
    """The same, 384 x 288."""
    return [cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image in large]


def to_and_fro(images: list[Image]) -> Iterator[Image]:
    """Without end and without a cut."""
    while True:
        yield from images
        yield from images[-2:0:-1]


def seen(
    images: Iterable[Image], rule: CameraHealth, fps: float = FPS, start_s: float = 0.0
) -> list[tuple[float, Finding]]:
    found = []
    for seq, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24").reformat(format="yuv420p")
        meta = FrameMeta("cam", seq, start_s + seq / fps, image.shape[1], image.shape[0])
        scene = Scene(meta, Tracks.empty(("person",)), Picture(meta, frame).views(rule.views))
        found += [(meta.captured_s, finding) for finding in rule.update(scene)]
    return found


def told(found: list[tuple[float, Finding]]) -> list[tuple[str, str]]:
    return [(finding.extra["fault"], finding.extra["phase"]) for _, finding in found]


def health(**config: object) -> CameraHealth:
    return CameraHealth(CameraHealthRule.model_validate({"type": "camera_health"} | QUICK | config))


def tape_over_the_lens(image: Image) -> Image:
    noise = np.random.default_rng(int(image.sum()) % 2**32).normal(60, 1.5, image.shape[:2])
    return np.repeat(np.clip(noise, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def leaf_before_most_of_it(image: Image) -> Image:
    covered = image.copy()
    covered[len(image) // 5 :] = (30, 80, 40)
    return covered


def black_cover(image: Image) -> Image:
    return np.random.default_rng(int(image.sum()) % 2**32).integers(0, 3, image.shape, np.uint8)


def warped(degrees: float, zoom: float) -> Callable[[Image], Image]:
    def warp(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)

    return warp


ALTERED = {
    "slightly out of focus": ("blurred", lambda image: cv2.GaussianBlur(image, (0, 0), 1.2)),
    "quite out of focus": ("blurred", lambda image: cv2.GaussianBlur(image, (0, 0), 4)),
    "dark": ("dark", lambda image: (image * 0.08).astype(np.uint8)),
    "tape": ("covered", tape_over_the_lens),
    "leaf": ("covered", leaf_before_most_of_it),
    "black cover": ("covered", black_cover),
    "pushed aside": ("moved", lambda image: np.roll(image, 22, axis=1)),
    "pushed far": ("moved", lambda image: np.roll(image, 110, axis=1)),
    "sunk": ("moved", lambda image: np.roll(image, 24, axis=0)),
    "tilted": ("moved", warped(6, 1.1)),
}


@pytest.mark.parametrize("what", ALTERED)
def test_each_fault_begins_and_ends_once_and_no_other_with_it(street: list[Image], what: str) -> None:
    fault, alter = ALTERED[what]
    images = to_and_fro(street)
    before, during, after = islice(images, 120), islice(images, 160), islice(images, 160)
    found = seen(chain(before, (alter(image) for image in during), after), health())
    assert told(found) == [(fault, "start"), (fault, "end")]
    (began_s, began), (ended_s, _) = found
    assert 60 < began_s < 60 + 50
    assert 140 < ended_s < 140 + 60
    assert began.extra["reason"]


@pytest.mark.parametrize(
    ("fault", "alter"),
    [
        ("blurred", ALTERED["quite out of focus"][1]),
        ("covered", leaf_before_most_of_it),
        ("moved", ALTERED["pushed far"][1]),
    ],
)
@pytest.mark.parametrize("name", ["one-by-one-person-detection.mp4", "plaza.mp4", "road-a.mp4"])
def test_a_room_with_bare_walls_a_plaza_and_a_road_are_judged_too(
    clip: Callable[[str], Path], name: str, fault: str, alter: Callable[[Image], Image]
) -> None:
    pictures = open_frames(str(clip(name)), "cam")
    room = [picture.bgr(384) for picture in pictures if picture.meta.seq % 10 == 0]
    images = to_and_fro(room)
    before, during, after = islice(images, 70), islice(images, 90), islice(images, 90)
    found = seen(chain(before, (alter(image) for image in during), after), health(), fps=1)
    assert told(found) == [(fault, "start"), (fault, "end")]


def test_another_zoom_is_a_move(street: list[Image], large: list[Image]) -> None:
    """The lens sees less, as sharply: the middle of the larger picture."""
    zoomed = (image[43 : 43 + SIZE[1], 58 : 58 + SIZE[0]] for image in islice(to_and_fro(large), 160))
    found = seen(chain(islice(to_and_fro(street), 120), zoomed, islice(to_and_fro(street), 160)), health())
    assert told(found) == [("moved", "start"), ("moved", "end")]


def test_a_frozen_picture_is_told_though_frames_come(street: list[Image]) -> None:
    images = to_and_fro(street)
    before, still = list(islice(images, 100)), [next(images)] * 60
    found = seen(chain(before, still, islice(images, 40)), health())
    assert told(found) == [("frozen", "start"), ("frozen", "end")]
    assert 50 + 15 <= found[0][0] <= 50 + 16.5


def test_a_still_scene_with_a_sensors_noise_is_not_frozen(street: list[Image]) -> None:
    rng = np.random.default_rng(3)
    scene = street[0].astype(np.float32)
    still = (np.clip(scene + rng.normal(0, 0.7, scene.shape), 0, 255).astype(np.uint8) for _ in range(240))
    assert seen(still, health()) == []


def test_more_or_less_light_is_no_fault(street: list[Image]) -> None:
    images = to_and_fro(street)
    brighter = (np.clip(image * 1.35, 0, 255).astype(np.uint8) for image in islice(images, 120))
    half = ((image * 0.45).astype(np.uint8) for image in islice(images, 120))
    fog = (np.clip(image * 0.5 + 90, 0, 255).astype(np.uint8) for image in islice(images, 120))
    ramp = np.linspace(0.3, 1.2, 384)[None, :, None]
    from_the_side = (np.clip(image * ramp, 0, 255).astype(np.uint8) for image in islice(images, 120))
    assert seen(chain(islice(images, 100), brighter, half, fog, from_the_side), health()) == []


def test_nightfall_and_a_night_with_its_noise_are_no_fault(street: list[Image]) -> None:
    rng = np.random.default_rng(5)

    def evening() -> Iterator[Image]:
        for index, image in enumerate(islice(to_and_fro(street), 900)):
            night = min(1.0, max(0.0, (index - 120) / 500))
            grain = rng.normal(0, 0.5 + 2.5 * night, image.shape[:2])[..., None]
            yield np.clip(image * (1 - 0.78 * night) + grain, 0, 255).astype(np.uint8)

    assert seen(evening(), health()) == []


@pytest.mark.parametrize("name", CLIPS)
def test_no_false_alarm_over_a_whole_clip(clip: Callable[[str], Path], name: str) -> None:
    rule = health(learn_s=5, moved_s=10, blurred_s=5, covered_s=2, dark_s=2, frozen_s=2)
    findings, next_s = [], 0.0
    for picture in open_frames(str(clip(name)), "cam"):
        if picture.meta.captured_s < next_s:
            continue
        next_s = picture.meta.captured_s + 0.2
        scene = Scene(picture.meta, Tracks.empty(("person",)), picture.views(rule.views))
        findings += rule.update(scene)
    assert findings == []


def test_one_frame_a_second_and_another_resolution_are_enough(street: list[Image]) -> None:
    images = to_and_fro(street)
    large = (cv2.resize(image, None, fx=2, fy=2) for image in islice(images, 120))
    rule = health()
    assert seen(islice(images, 100), rule, fps=1) == []
    assert seen(large, rule, fps=1, start_s=100) == []
    found = seen((np.roll(image, 40, axis=1) for image in islice(images, 120)), rule, fps=1, start_s=220)
    assert told(found) == [("moved", "start")]


def test_the_view_is_known_again_after_a_restart_and_learned_anew_when_told_so(street: list[Image]) -> None:
    first = health()
    assert seen(islice(to_and_fro(street), 100), first) == []
    memory = json.loads(json.dumps(first.memory()))
    assert len(json.dumps(memory)) < 15_000
    shifted = [np.roll(image, 40, axis=1) for image in street]

    second = health()
    second.remember(memory)
    assert told(seen(islice(to_and_fro(shifted), 160), second)) == [("moved", "start")]
    assert second.faults["moved"].startswith("the picture has shifted: ")

    third = health()
    third.remember(json.loads(json.dumps(second.memory())))
    assert "moved" in third.faults
    assert told(seen(islice(to_and_fro(street), 200), third)) == [("moved", "end")]

    anew = health(view="after the works of March")
    anew.take_over(second)
    assert told(seen(islice(to_and_fro(shifted), 200), anew, start_s=1000)) == [("moved", "end")]
    assert anew.faults == {}


def test_a_damaged_memory_is_no_memory(street: list[Image]) -> None:
    for reference in ({"edges": "AAAA"}, {"edges": "?"}, {"other": 1}):
        rule = health()
        rule.remember({"view": "1", "reference": reference, "faults": {"unheard_of": "x"}})
        assert rule.faults == {}
        assert seen(islice(to_and_fro(street), 4), rule) == []


def clocks(rule: CameraHealth, *, minutes: float, gains: float = 0.0, ahead_s: float | None = None) -> list[Finding]:
    """Frames of a live stream over a network with delays; their picture is left out but for its noise."""
    rng, found = np.random.default_rng(11), []
    texture = rng.integers(0, 255, (90, 160), np.uint8)
    for seq in range(int(minutes * 60 * 2)):
        now = 1e9 + seq / 2
        late = 0.08 + rng.exponential(0.05) + (3.0 if seq % 400 == 399 else 0.0)
        told = None if ahead_s is None else now + ahead_s
        meta = FrameMeta(
            "cam", seq, now, 160, 90, arrived_s=now + late, stream_s=77 + seq / 2 * (1 + gains), told_s=told
        )
        noisy = cv2.add(texture, rng.integers(0, 3, texture.shape, np.uint8))
        pixels = {view: cv2.resize(noisy, (view.width, view.height)) for view in rule.views}
        found += rule.update(Scene(meta, Tracks.empty(("person",)), pixels))
    return [finding for finding in found if finding.extra["fault"] == "wrong_time"]


def test_a_camera_whose_clock_is_off_is_told_and_a_slow_network_is_not() -> None:
    assert clocks(health(), minutes=8, ahead_s=0.3) == []
    assert clocks(health(), minutes=8) == []
    (found,) = clocks(health(), minutes=3, ahead_s=-95.0)
    assert "behind" in found.extra["reason"]
    assert "95" in found.extra["reason"]


def test_a_stream_whose_clock_runs_too_fast_is_told() -> None:
    (found,) = clocks(health(), minutes=8, gains=0.004)
    assert "gains 14 s an hour" in found.extra["reason"]
    assert clocks(health(), minutes=8, gains=0.0001) == []


def test_faults_come_before_the_other_rules_see_the_frame(
    make_camera: Callable[..., Camera], street: list[Image]
) -> None:
    camera = make_camera(rules=[{"type": "camera_health"} | QUICK])
    pipeline = CameraPipeline(camera, ModelRef("m", "1", ""), "0")
    shown = []

    class Listener:
        name, views = "listener", ()

        def update(self, scene: Scene) -> list[Finding]:
            shown.append(dict(scene.faults))
            return []

    images = to_and_fro(street)
    events = []
    for seq, image in enumerate(chain(islice(images, 60), ((i * 0.05).astype(np.uint8) for i in islice(images, 60)))):
        meta = FrameMeta("cam", seq, seq / FPS, image.shape[1], image.shape[0])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24").reformat(format="yuv420p")
        views = Picture(meta, frame).views(pipeline.views(meta))
        if seq == 0:
            pipeline._rules.append(Listener())
        got = pipeline.step(meta, Detections.empty(("person",)), views).events
        assert not got or "dark" in shown[-1]
        events += got
    (event,) = events
    assert event.type == "hoaban.camera_health"
    assert {"fault": "dark", "phase": "start"}.items() <= event.data.items()
    successor = CameraPipeline(camera, ModelRef("m", "1", ""), "0")
    successor.remember_health(pipeline.health_memory())
    successor.views(FrameMeta("cam", 0, 0.0, 384, 288))
    assert successor.faults == pipeline.faults
