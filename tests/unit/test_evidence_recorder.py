"""Evidence candidates: whole or not there, what binds them, what a crash leaves; from a real encoded stream."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import fsspec
import numpy as np
import pytest

from actors.evidence import EvidenceKeeper, ring_seconds
from actors.picture import Picture
from actors.preroll import Clip, PacketRing
from actors.recorder import MOST_WAITING, EvidenceFolder, Recorder
from actors.source import open_frames
from actors.stills import StillRing
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.plates import Character, Plate

PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")
RULE = {"type": "wrong_way", "line": "l"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s at 10 frames a second; each picture shows its number as a grey level, a keyframe every second."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"preset": "ultrafast", "g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for i in range(300):
            picture = np.full((96, 160, 3), i % 250, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def event(*seqs: int, fps: float = 10) -> Event:
    """A candidate whose moments are these frames."""
    names = ("before", "at", "past")
    frames = {n: {"seq": s, "captured_s": s / fps, "bbox": [20, 10, 120, 80]} for n, s in zip(names, seqs, strict=True)}
    finding = Finding("red_light", "red_light:x", track=seqs[0], bbox=(20, 10, 120, 80), extra={"frames": frames})
    return bind(finding, FrameMeta("cam", seqs[-1], seqs[-1] / fps, 160, 96), "traffic_enforcement", PROVENANCE)


@pytest.fixture
def camera(make_camera: Callable[..., Camera]) -> Camera:
    return make_camera(lines=[{"id": "l", "from": [0, 0.5], "to": [1, 0.5]}], rules=[RULE])


def play(video: Path, ring: PacketRing) -> Iterator[Picture]:
    yield from open_frames(str(video), "cam", ring)


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name != ".part")


def check(folder: Path) -> dict:
    """The candidate, every file of which has the hash that it says."""
    candidate = json.loads((folder / "candidate.json").read_text())
    for name, known in candidate["files"].items():
        data = (folder / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (known["sha256"], known["bytes"])
    assert {path.name for path in folder.iterdir()} - {"event.json"} == set(candidate["files"]) | {"candidate.json"}
    return candidate


def grey(jpeg: Path) -> int:
    return int(np.median(cv2.imread(str(jpeg))))


def test_a_candidate_has_its_moments_and_six_seconds_either_side(video: Path, camera: Camera, tmp_path: Path) -> None:
    ring = PacketRing(ring_seconds(camera), 10**7)
    keeper = EvidenceKeeper(camera, str(tmp_path), ring.cut, live=False)
    found, published = event(120, 121, 130), []
    for picture in play(video, ring):
        seq = picture.meta.seq
        published += keeper.take(picture, [found] if seq == 130 else [], {120, 121} if 121 <= seq < 130 else set())
        if seq == 185:
            assert folders(tmp_path) == []  # the post-roll is not over
        if seq == 191:
            assert folders(tmp_path) == [found.id]
    keeper.stop()
    assert [e.data["evidence"] for e in published] == [found.id]
    candidate = check(tmp_path / found.id)
    assert candidate["event"]["data"]["evidence"] == found.id
    assert candidate["missing"] == {}
    assert candidate["plate"]["text"] is None
    for name, seq in (("before", 120), ("at", 121), ("past", 130)):
        assert grey(tmp_path / found.id / f"{name}.jpg") == pytest.approx(seq, abs=3)
    with av.open(str(tmp_path / found.id / "clip.mp4")) as clip:
        shown = [int(np.median(frame.to_ndarray(format="gray"))) for frame in clip.decode(video=0)]
    assert candidate["clip"]["from_s"] <= 6.1 <= 19.0 - 0.1 <= candidate["clip"]["to_s"]
    assert len(shown) == round(10 * (candidate["clip"]["to_s"] - candidate["clip"]["from_s"])) + 1 >= 130
    assert not (tmp_path / ".part" / "cam" / found.id).exists()


def test_the_end_of_a_recording_gives_what_post_roll_there_is(video: Path, camera: Camera, tmp_path: Path) -> None:
    ring = PacketRing(ring_seconds(camera), 10**7)
    keeper = EvidenceKeeper(camera, str(tmp_path), ring.cut, live=False)
    found = event(280, 281, 290)
    for picture in play(video, ring):
        keeper.take(picture, [found] if picture.meta.seq == 290 else [], set())
    assert folders(tmp_path) == []
    keeper.stop()  # the source is closed by now; its packets are still good
    candidate = check(tmp_path / found.id)
    assert candidate["clip"]["to_s"] == pytest.approx(29.9)
    assert candidate["clip"]["wanted_to_s"] == pytest.approx(35.0)


def test_stills_live_in_bounded_memory_and_what_was_pinned_stays(video: Path) -> None:
    size = 160 * 96 * 3 // 2
    ring = StillRing(raw_bytes=5 * size, kept_bytes=10**6)
    for picture in play(video, PacketRing(1, 1)):
        ring.add(picture)
        ring.pin({40, 41} if 41 <= picture.meta.seq < 200 else set())
        assert ring.nbytes <= 5 * size + 10**6
        if picture.meta.seq == 199:
            assert ring.jpeg(40) is not None
            assert ring.jpeg(150) is None
            assert ring.jpeg(198) is not None
    assert ring.jpeg(40) is None


def recorder(folder: EvidenceFolder, reader: object = "no reader here", clip: bytes = b"mp4") -> Recorder:
    cut = lambda from_s, to_s: Clip(clip, from_s, to_s)  # noqa: E731
    return Recorder("cam", folder, cut, pre_roll_s=6, post_roll_s=6, reader=lambda: reader)


class Stills(StillRing):
    """Pictures of one colour, for any number."""

    def jpeg(self, seq: int) -> bytes | None:
        return cv2.imencode(".jpg", np.full((96, 160, 3), 128, np.uint8))[1].tobytes()


def test_a_crash_in_the_post_roll_loses_the_clip_alone(tmp_path: Path) -> None:
    folder = EvidenceFolder(str(tmp_path))
    first = recorder(folder)
    found = first.claim(event(10, 11, 20), Stills())
    first.advance(3.0)
    assert folders(tmp_path) == []
    del first  # the process is gone; another one of the same camera starts
    (tmp_path / ".part" / "cam" / "torn").mkdir()
    (tmp_path / ".part" / "cam" / "torn" / "before.jpg").write_bytes(b"x")
    (tmp_path / ".part" / "other" / "busy").mkdir(parents=True)
    second = recorder(folder)
    assert second.recover() == 2
    candidate = check(tmp_path / found.id)
    assert candidate["clip"] is None
    assert "before the post-roll was over" in candidate["missing"]["clip.mp4"]
    assert folders(tmp_path) == [found.id]
    assert folder.parts("cam") == []
    assert folder.parts("other") == ["busy"]  # another camera's work is left alone
    assert second.recover() == 0


def test_storage_that_fails_in_the_middle_leaves_nothing_half_and_is_tried_again(tmp_path: Path) -> None:
    class Failing(EvidenceFolder):
        fails = True

        def write_part(self, camera: str, event: str, files: dict[str, bytes]) -> None:
            if self.fails and "candidate.json" in files:
                super().write_part(camera, event, {"clip.mp4": b"half"})
                raise OSError("disk full")
            super().write_part(camera, event, files)

    folder = Failing(str(tmp_path))
    it = recorder(folder)
    found = it.claim(event(10, 11, 20), Stills())
    with pytest.raises(OSError, match="disk full"):
        it.advance(100.0)
    assert folders(tmp_path) == []
    assert it.waiting == 1
    folder.fails = False
    it.advance(100.0)
    assert (it.waiting, it.written) == (0, 1)
    check(tmp_path / found.id)


def test_an_object_store_has_candidate_json_last() -> None:
    store = fsspec.filesystem("memory")
    folder = EvidenceFolder("memory://evidence")
    it = recorder(folder)
    found = it.claim(event(10, 11, 20), Stills())
    it.advance(3.0)
    assert not folder.whole(found.id)
    it.advance(100.0)
    assert folder.whole(found.id)
    assert json.loads(store.cat_file(f"/evidence/{found.id}/candidate.json"))["files"]["clip.mp4"]["bytes"] == 3
    assert folder.parts("cam") == []


def test_too_many_at_once_are_refused_and_said(tmp_path: Path) -> None:
    it = recorder(EvidenceFolder(str(tmp_path)))
    claimed = [it.claim(event(i, i + 1, i + 2), Stills()) for i in range(MOST_WAITING + 3)]
    assert [e.data["evidence"] is None for e in claimed] == [False] * MOST_WAITING + [True] * 3
    assert it.refused == 3


def test_an_event_without_moments_and_a_gone_picture(tmp_path: Path) -> None:
    it = recorder(EvidenceFolder(str(tmp_path)), clip=b"")
    plain = bind(Finding("line_count", "x"), FrameMeta("cam", 1, 1.0, 10, 10), "shared", PROVENANCE)
    assert it.claim(plain, Stills()) is plain
    found = it.claim(event(1, 2, 3), StillRing())
    it.finish()
    candidate = check(tmp_path / found.id)
    assert set(candidate["missing"]) == {"before.jpg", "at.jpg", "past.jpg", "clip.mp4"}


def test_a_clip_or_a_plate_that_cannot_be_made_costs_the_rest_nothing(tmp_path: Path) -> None:
    class Broken:
        def read(self, crop: np.ndarray) -> None:
            raise RuntimeError("the reader broke")

    def no_clip(from_s: float, to_s: float) -> Clip:
        raise ValueError("no such codec in MP4")

    it = recorder(EvidenceFolder(str(tmp_path)), Broken())
    it._clip = no_clip
    found = [it.claim(event(i, i + 1, i + 2), Stills()) for i in (1, 11)]
    it.advance(1000.0)
    for one in found:
        candidate = check(tmp_path / one.id)
        assert candidate["missing"] == {"clip.mp4": "the clip could not be made: no such codec in MP4"}
        assert candidate["plate"] == {"text": None, "why": "the reader failed: the reader broke"}
    assert (it.written, it.refused) == (2, 0)


def test_the_plate_is_what_the_stills_agree_on(tmp_path: Path) -> None:
    def plate(text: str) -> Plate:
        characters = tuple(Character(c, 0.9) for c in text if c.isalnum())
        return Plate(text, "civil", 1, characters, (10, 10, 60, 30))

    class Said:
        def __init__(self, plate: Plate | None) -> None:
            self.plate, self.lines = plate, ("line",)

    class Speaks:
        texts = iter(["30A-123.45", "30A-128.45", None])

        def read(self, crop: np.ndarray) -> Said:
            text = next(self.texts)
            return Said(None if text is None else plate(text))

    it = recorder(EvidenceFolder(str(tmp_path)), Speaks())
    found = it.claim(event(1, 2, 3), Stills())
    it.finish()
    candidate = check(tmp_path / found.id)
    assert candidate["plate"]["text"] == "30A-12?.45"
    assert candidate["plate"]["read_on"] == ["before", "at"]
    assert "plate.jpg" in candidate["files"]
    picture = cv2.imdecode(np.frombuffer((tmp_path / found.id / "plate.jpg").read_bytes(), np.uint8), 1)
    assert picture.shape[1] > picture.shape[0]


def test_a_clip_can_be_cut_after_its_source_is_closed(video: Path) -> None:
    ring = PacketRing(20.0, 10**7)
    for _ in play(video, ring):
        pass
    clip = ring.cut(20.0, 25.0)
    with av.open(io.BytesIO(clip.data)) as container:
        assert sum(1 for _ in container.decode(video=0)) == round(10 * (clip.to_s - clip.from_s)) + 1
