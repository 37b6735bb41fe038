"""Actors' parts without Ray: mailbox, wire, pictures, files, pre-roll, models, blur."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from actors import wire
from actors.analyser import Seen
from actors.blur import FaceBlur, mosaic
from actors.link import LinkedModel
from actors.mailbox import Shape
from actors.models import ModelError, find_model, load_detector
from actors.models.files import ModelPackage
from actors.preroll import PacketRing
from actors.scene_watch import Analysed
from actors.source import SourceError, SourceThread, open_frames
from actors.tile import TileMaker
from hoaban.detections import Tracks
from hoaban.events import ModelRef
from hoaban.fleet import Camera
from hoaban.frames import Letterbox
from hoaban.models.card import InputSpec, ModelCard
from hoaban.status import SourceState
from hoaban.tiling import Part


def video(path: Path, frames: int = 30, size: tuple[int, int] = (64, 48), codec: str = "libx264") -> Path:
    """A small video: a white block that moves right by a pixel a frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(frames):
            picture = np.full((size[1], size[0], 3), 40, np.uint8)
            picture[10:20, i % size[0] : i % size[0] + 10] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def colours(picture: np.ndarray) -> int:
    """How many different colours a picture has."""
    return len(np.unique(picture.reshape(-1, 3).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)))


def test_wire_results_survive_the_way_and_rubbish_does_not() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)
    back = wire.unpack_result(wire.pack_result(wire.Result(3, 4, 1.0, 2.0, rows)))
    assert (back.generation, back.seq, back.failed) == (3, 4, False)
    assert np.array_equal(back.rows, rows)
    assert len(wire.pack_result(wire.Result(1, 1, 0, 0, np.zeros((5000, 6), np.float32)))) <= wire.MAX_MESSAGE
    for rubbish in (b"r", b"{", b"r" + b"\xff" * 40):
        with pytest.raises(wire.WireError):
            wire.unpack_result(rubbish) if rubbish[:1] == b"r" else wire.parse_json(rubbish)


@pytest.mark.parametrize("size", [(64, 48), (98, 50), (1280, 64), (50, 400)])
def test_model_input_is_the_letterboxed_picture(tmp_path: Path, size: tuple[int, int]) -> None:
    *_, picture = open_frames(str(video(tmp_path / "v.mp4", 5, size)), "cam")
    fitted, letterbox = picture.model_input(96, 96)
    full = picture.frame.to_ndarray(format="bgr24")
    wide, high = round(size[0] * letterbox.scale), round(size[1] * letterbox.scale)
    expected = cv2.resize(full, (wide, high), interpolation=cv2.INTER_LINEAR)
    assert fitted.shape == (96, 96, 3)
    assert np.abs(fitted[:high, :wide].astype(int) - expected).mean() < 6
    assert (fitted[high:] == 114).all()
    assert (fitted[:, wide:] == 114).all()


def test_replay_frames_have_media_time(tmp_path: Path) -> None:
    metas = [picture.meta for picture in open_frames(str(video(tmp_path / "v.mp4")), "cam")]
    assert [m.seq for m in metas] == list(range(30))
    assert [m.captured_s for m in metas] == pytest.approx([i / 10 for i in range(30)])


def test_bad_files_are_explained(tmp_path: Path) -> None:
    good = video(tmp_path / "good.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate = 8000
        out.mux(stream.encode(frame))
    for name, words in [
        ("none.mp4", "not found"),
        ("cut.mp4", "cut off"),
        ("text.mp4", "not a video"),
        ("empty.mp4", "an empty file"),
        ("sound.wav", "no video"),
        ("", "folder"),
    ]:
        with pytest.raises(SourceError, match=words):
            list(open_frames(str(tmp_path / name), "cam"))


def test_a_damaged_video_loses_frames_not_the_camera(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    data = bytearray(video(tmp_path / "v.avi", 60, (320, 240), "mpeg4").read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 97):
        data[at] ^= 0xFF
    (tmp_path / "bad.avi").write_bytes(data)
    got: list[int] = []
    camera = make_camera(str(tmp_path / "bad.avi"), loop=False)
    thread = SourceThread(camera, lambda p: (got.append(p.meta.seq), thread.ready())[0], pacing="demand")
    thread.start()
    deadline = time.monotonic() + 20
    while thread.status().state not in (SourceState.ENDED, SourceState.FAILED) and time.monotonic() < deadline:
        time.sleep(0.02)
    thread.stop()
    assert len(got) > 20


def test_a_file_loops_as_one_stream_and_a_fault_behind_it_does_not_stop_it(
    tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    times: list[float] = []

    def take(picture) -> None:
        times.append(picture.meta.captured_s)
        thread.ready()
        if len(times) == 3:
            raise RuntimeError("a fault in the analysis")

    thread = SourceThread(make_camera(str(video(tmp_path / "v.mp4", 8))), take, pacing="demand")
    thread.start()
    deadline = time.monotonic() + 20
    while len(times) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    status = thread.status()
    thread.stop()
    assert len(times) >= 30
    assert times == sorted(times)
    assert (status.state, status.reconnects, status.codec) == (SourceState.LIVE, 0, "h264")


def test_preroll_gives_back_the_cameras_own_packets(tmp_path: Path) -> None:
    path = video(tmp_path / "v.mp4", 60)
    ring = PacketRing(2.0, 10**7)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ring.open(stream)
        for packet in container.demux(stream):
            if packet.size:
                ring.add(packet, float(packet.pts * packet.time_base))
        clip = ring.clip(4.0, 5.0)
    with av.open(io.BytesIO(clip)) as container:
        assert 10 <= sum(1 for _ in container.decode(video=0)) <= 60
    assert PacketRing(1, 10).clip(0, 1) == b""


def test_detectors_find_people_in_a_real_picture(clip: Callable[[str], Path], yolox: str) -> None:
    picture = next(open_frames(str(clip("pets-s2l1-v1.mp4")), "cam"))
    for name, least in (("yolox-nano", 4), ("fastestdet", 2), ("opencv-hog", 1)):
        detector = load_detector(find_model(name))
        detector.warm_up()
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
        (rows,) = detector.infer(pixels[None])
        people = rows[(rows[:, 5] == 0) & (rows[:, 4] > 0.4)]
        assert len(people) >= least, name
        # The man in the middle of frame 1 (public truth of PETS09-S2L1: x 499, y 158, 31 x 75 pixels).
        if name == "yolox-nano":
            boxes = people[:, :4] / letterbox.scale
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            assert np.hypot(*(centres - (514, 195)).T).min() < 25


def test_a_torch_model_runs_and_a_pickle_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Brightest(torch.nn.Module):
        def forward(self, x):
            score = x.mean(dim=(1, 2, 3)) / 255
            box = torch.tensor([1.0, 2.0, 30.0, 40.0]).expand(x.shape[0], 4)
            return torch.cat([box, score[:, None], torch.zeros(x.shape[0], 1)], 1)[:, None]

    torch.jit.script(Brightest()).save(str(tmp_path / "m.pt"))
    card = ModelCard(
        name="bright", version="1", task="detect", backend="torch", file="m.pt", labels=("light",),
        input=InputSpec(width=64, height=64), licence="test", origin="test",
    )  # fmt: skip
    detector = load_detector(ModelPackage(card, tmp_path / "m.pt"), device="cpu")
    detector.warm_up()
    bright, dark = detector.infer(np.stack([np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)]))
    assert bright.tolist() == [[1, 2, 30, 40, 1, 0]]
    assert len(dark) == 0
    torch.save({"a": 1}, tmp_path / "p.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="no TorchScript"):
        load_detector(ModelPackage(card, tmp_path / "p.pt"), device="cpu")


def test_wrong_models_are_refused_with_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yolox: str) -> None:
    package = find_model(yolox)
    wrong = package.card.model_copy(update={"input": InputSpec(width=320, height=320)})
    with pytest.raises(ModelError, match="correct the card"):
        load_detector(ModelPackage(wrong, package.path))
    labels = package.card.model_copy(update={"labels": ("one",)})
    with pytest.raises(ModelError, match="1 labels"):
        load_detector(ModelPackage(labels, package.path)).warm_up()
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))
    with pytest.raises(ModelError, match="HOABAN_MODEL_PATH"):
        find_model(yolox)
    (tmp_path / "yolox_nano.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="sha256"):
        find_model(yolox)
    with pytest.raises(ModelError, match="not known"):
        find_model("nothing")


def test_faces_are_hidden_and_without_a_face_detector_everything_is(
    clip: Callable[[str], Path], yolox: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    *_, picture = (p for _, p in zip(range(100), open_frames(str(clip("pets-s2l1-v1.mp4")), "c"), strict=False))
    image = picture.bgr(640)
    person = np.array([[100, 100, 140, 200]], np.float32)
    hidden, how = FaceBlur().apply(image, person)
    head = np.s_[102:126, 100:140]  # 24 x 40 pixels of the 34 x 49 that are hidden
    assert how == "faces"
    assert colours(hidden[head]) <= 60
    assert np.array_equal(hidden[190:200, 102:138], image[190:200, 102:138])
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))
    mosaic, how = FaceBlur().apply(image, person)
    assert how == "mosaic"
    assert colours(mosaic) <= 40 * 30


def test_a_tile_never_shows_a_picture_whose_people_are_not_known(
    clip: Callable[[str], Path], make_camera: Callable[..., Camera]
) -> None:
    frames = open_frames(str(clip("pets-s2l1-v1.mp4")), "c")
    pictures = [next(frames) for _ in range(60)]
    old, new = pictures[0], pictures[-1]
    camera, maker = make_camera(), TileMaker()
    first = maker.make(camera, new, None, 640)
    assert (first.blur, first.seq) == ("mosaic", new.meta.seq)
    # Below the camera's min_score: no detection, but a head that may be one is hidden too.
    seen = Part(np.array([[480, 140, 540, 240, 0.11, 0]], np.float32), Letterbox.fit(768, 576, 768, 576))
    model = LinkedModel(1, ModelRef("m", "1", "d"), ("person",), Shape(576, 768))
    analysed = Analysed(Seen(old, (seen,), model, 0.0, 0.0, 0.0, 0.0, 0.0), Tracks.empty())
    tile = maker.make(camera, new, analysed, 768)
    assert (tile.blur, tile.seq, tile.captured_s) == ("faces", old.meta.seq, old.meta.captured_s)
    shown = cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR)
    plain = cv2.imdecode(cv2.imencode(".jpg", old.bgr(768), [cv2.IMWRITE_JPEG_QUALITY, 78])[1], cv2.IMREAD_COLOR)
    head, feet = np.s_[142:166, 482:538], np.s_[210:240, 482:538]
    assert (
        np.abs(shown[head].astype(int) - plain[head]).mean() > 10 * np.abs(shown[feet].astype(int) - plain[feet]).mean()
    )


def test_the_mosaic_hides_as_much_whatever_the_pictures_size() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)
    for width, height in ((320, 180), (640, 360), (1920, 1080)):
        assert colours(mosaic(cv2.resize(noise, (width, height)))) <= 40 * 24
