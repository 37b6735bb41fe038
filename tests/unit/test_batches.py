"""Detectors whose files take one picture at a time, run on several at once; and what is said where that, or a GPU,
cannot be had."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from structlog.testing import capture_logs

from actors.inference import InferenceService
from actors.link import ModelLink, Peer
from actors.models import ModelError, find_model, load_detector
from actors.models.files import ModelPackage
from actors.models.onnx_batch import any_batch
from actors.source import open_frames
from hoaban.models.card import InputSpec, ModelCard

CLIPS = ("pets-s2l1-v1.mp4", "road-a.mp4", "plaza.mp4", "one-by-one-person-detection.mp4", "highway-low.avi")


@pytest.fixture(scope="module")
def pictures(clip: Callable[[str], Path]) -> Callable[[int], np.ndarray]:
    firsts = [next(open_frames(str(clip(name)), "cam")) for name in CLIPS]
    return lambda size: np.stack([picture.model_input(size, size)[0] for picture in firsts])


def session(model: Path | bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["yolox-nano", "fastestdet", "mobilefacenet"])
def test_a_pinned_graph_answers_a_batch_of_real_pictures_as_each_alone(
    name: str, pictures: Callable[[int], np.ndarray], yolox: str
) -> None:
    package = find_model(name)
    size, scale = package.card.input.width, package.card.input.scale
    blob = np.ascontiguousarray(pictures(size).transpose(0, 3, 1, 2), np.float32) * np.float32(scale)
    one, many = session(package.path), session(any_batch(package.path, (3, size, size), scale))
    key = one.get_inputs()[0].name
    assert many.get_inputs()[0].shape == ["batch", 3, size, size]
    together = many.run(None, {key: blob})[0]
    apart = np.concatenate([one.run(None, {key: blob[i : i + 1]})[0] for i in range(len(blob))])
    assert np.abs(together - apart).max() < 1e-4
    assert np.abs(many.run(None, {key: blob[2:4]})[0] - together[2:4]).max() < 1e-4


def test_cameras_share_a_batch_of_a_pinned_model_and_each_gets_what_it_would_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Callable[[int], np.ndarray], yolox: str
) -> None:
    package = find_model(yolox)
    shutil.copy(package.path, tmp_path / package.path.name)
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    session = os.urandom(4).hex()
    service = InferenceService("batched", session, [yolox], threads=1, device="cpu", most=4)
    seen = pictures(416)
    alone = load_detector(package, device="cpu")
    expected = [alone.infer(picture[None])[0] for picture in seen]
    got: dict[int, list[np.ndarray]] = {i: [] for i in range(len(seen))}
    digests: set[str] = set()
    fresh = threading.Condition()
    links = []

    def link(number: int) -> ModelLink:
        def take(result, model) -> None:
            with fresh:
                digests.add(model.ref.digest)
                got[number].append(result.rows)
                fresh.notify()

        hello = {"camera": f"cam-{number}", "model": yolox, "rate": 5.0}
        return ModelLink(hello, [Peer("batched", "here", session)], "here", take)

    try:
        for number in got:
            links.append(link(number))
            links[-1].start()
        for round_ in range(60):
            for number, it in enumerate(links):
                it.offer(round_, lambda into, _, number=number: np.copyto(into, seen[number]))
            with fresh:
                fresh.wait(0.2)
            if min(len(rows) for rows in got.values()) >= 3:
                break
    finally:
        for it in links:
            it.stop()
    for number, answers in got.items():
        assert len(answers) >= 3
        for rows in answers:
            assert rows.shape == expected[number].shape
            assert np.abs(rows - expected[number]).max() < 1e-3  # pixels
    stats = service.stats()
    assert stats["batches"] < sum(stats["served"].values())
    assert stats["models"][yolox]["most"] == 4
    assert digests == {package.card.sha256}
    assert [path.name for path in tmp_path.iterdir()] == [package.path.name]


class Turn:
    """A lock that tells when somebody waits for it."""

    def __init__(self) -> None:
        self.lock, self.waited_for = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            self.waited_for.set()
            self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Slow:
    """A session that counts who runs it at once, and waits for `go`."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session, self.go, self.running, self.at_once = session, threading.Event(), 0, []

    def run(self, *given: object) -> object:
        self.running += 1
        self.at_once.append(self.running)
        self.go.wait(60)
        self.running -= 1
        return self.session.run(*given)


def test_while_a_gpu_runs_one_batch_the_next_is_gathered_and_waits_its_turn(yolox: str) -> None:
    service = InferenceService("turns", os.urandom(4).hex(), [yolox], threads=2, device="cpu")
    detector = service.shelf[yolox].detector
    turn, slow = Turn(), Slow(detector._session)
    detector._turn, detector._session = turn, slow  # as on a GPU
    pixels = np.full((416, 416, 3), 114, np.uint8)
    answers = [service.submit({"camera": name, "model": yolox, "rate": 5}, 1, pixels) for name in ("a", "b")]
    assert turn.waited_for.wait(20)
    slow.go.set()
    assert not any(answer.result(timeout=60).failed for answer in answers)
    assert slow.at_once == [1, 1]


def write(path: Path, nodes: list[onnx.NodeProto], shape: list[int], **constants: np.ndarray) -> ModelPackage:
    """A detector with the input x (1, 3, 8, 8) and these nodes, of which the last gives y of a shape."""
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    card = ModelCard(
        name="odd", version="1", task="detect", backend="onnx", file=path.name, labels=("thing",),
        input=InputSpec(width=32, height=32), licence="test", origin="test",
    )  # fmt: skip
    return ModelPackage(card, path)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


ODD_GRAPHS = {
    # The mean over the batch: nothing for one picture, a mixture for more.
    "mixes": (
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["d"]),
            helper.make_node("Reshape", ["d", "s"], ["f"]),
            helper.make_node("Slice", ["f", "zero", "six", "two"], ["y"]),
        ],
        {"s": ints(1, 512, 6), "zero": ints(0), "six": ints(6), "two": ints(2)},
    ),
    # The last number is the free one, so two pictures cannot be told from one of twice the length.
    "lengthens": ([helper.make_node("Reshape", ["x", "s"], ["y"])], {"s": ints(512, -1)}),
    # A size in full, which this does not rewrite.
    "resizes": (
        [
            helper.make_node("Resize", ["x", "", "", "sizes"], ["r"], mode="nearest"),
            helper.make_node("Reshape", ["r", "s"], ["y"]),
        ],
        {"sizes": ints(1, 3, 32, 64), "s": ints(1, 1024, 6)},
    ),
}


@pytest.mark.parametrize("kind", ODD_GRAPHS)
def test_a_graph_that_cannot_be_freed_safely_keeps_batches_of_one_and_says_so(tmp_path: Path, kind: str) -> None:
    nodes, constants = ODD_GRAPHS[kind]
    shape = [512, 6] if kind == "lengthens" else [1, 512 if kind == "mixes" else 1024, 6]
    package = write(tmp_path / "odd.onnx", nodes, shape, **constants)
    with pytest.raises(ValueError, match=r"\w"):
        any_batch(package.path, (3, 32, 32))
    detector = load_detector(package, device="cpu", most=8)
    assert detector.most == 1
    assert "one picture at a time" in detector.notes[0]
    if kind == "mixes":
        detector.warm_up()
        assert [rows.shape for rows in detector.infer(np.zeros((3, 32, 32, 3), np.uint8))] == [(0, 6)] * 3


def cuda_is_named_but_does_not_work(*_: object) -> list[str]:
    """As with onnxruntime-gpu on a node whose CUDA libraries do not fit: onnxruntime then uses the processor."""
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("named", [False, True])
def test_without_a_gpu_that_works_auto_runs_on_the_processor_and_says_so(
    named: bool, monkeypatch: pytest.MonkeyPatch, yolox: str
) -> None:
    if named:
        monkeypatch.setattr(ort, "get_available_providers", cuda_is_named_but_does_not_work)
    with capture_logs() as logs:
        service = InferenceService("fallback", os.urandom(4).hex(), [yolox], threads=1, device="auto")
    pixels = np.full((416, 416, 3), 114, np.uint8)
    assert not service.submit({"camera": "a", "model": yolox, "rate": 5}, 1, pixels).result(timeout=60).failed
    model = service.stats()["models"][yolox]
    assert (model["device"], model["most"]) == ("cpu", 1)
    assert "runs on the processor, CUDA was to be used" in model["notes"][0]
    assert ("install onnxruntime-gpu" in model["notes"][0]) is not named
    assert any("the processor is used" in entry["event"] for entry in logs)
    with pytest.raises(ModelError, match="CUDA was asked for"):
        load_detector(find_model(yolox), device="cuda")
    assert load_detector(find_model(yolox), device="cpu").notes == ()


def test_a_gpu_that_fails_when_a_session_is_made_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, yolox: str
) -> None:
    real = ort.InferenceSession

    def broken(model, options, providers):
        if len(providers) > 1:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return real(model, options, providers=providers)

    monkeypatch.setattr(ort, "get_available_providers", cuda_is_named_but_does_not_work)
    monkeypatch.setattr(ort, "InferenceSession", broken)
    detector = load_detector(find_model(yolox), device="auto")
    assert (detector.device, detector.most) == ("cpu", 1)
    assert "no CUDA-capable device" in detector.notes[0]
    with pytest.raises(ModelError, match="no CUDA-capable device"):
        load_detector(find_model(yolox), device="cuda")


@pytest.mark.skipif("CUDAExecutionProvider" not in ort.get_available_providers(), reason="no CUDA here")
def test_a_gpu_answers_as_the_processor_does(pictures: Callable[[int], np.ndarray], yolox: str) -> None:
    on_gpu, here = (load_detector(find_model(yolox), device=device) for device in ("cuda", "cpu"))
    assert (on_gpu.device, on_gpu.most > 1) == ("cuda", True)
    seen = pictures(416)
    for there, expected in zip(on_gpu.infer(seen), here.infer(seen), strict=True):
        sure = expected[expected[:, 4] > 0.5]
        assert all(np.abs(there[:, :4] - row[:4]).max(axis=1).min() < 2 for row in sure)
