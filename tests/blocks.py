"""A long recording in which white blocks cross a line, and models that see them, well or badly: all of it cheap."""

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper

from tests.torch_models import write_model

WIDTH, HEIGHT, FPS, SECONDS = 64, 48, 5, 400
EVERY_S, TAKES_S, SIDE = 5, 4, 12


class Block(torch.nn.Module):
    """The box around all that is bright."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score

    def forward(self, x):
        found = torch.zeros(x.shape[0], 1, 6)
        for i in range(x.shape[0]):
            bright = torch.nonzero(x[i].mean(dim=0) > 180.0)
            if bright.shape[0] > 20:
                top, left = float(bright[:, 0].min()), float(bright[:, 1].min())
                bottom, right = float(bright[:, 0].max()), float(bright[:, 1].max())
                found[i, 0] = torch.tensor([left, top, right + 1.0, bottom + 1.0, self.score, 0.0])
        return found


def write_block_model(folder: Path, name: str, score: float = 0.9, version: str = "1") -> str:
    return write_model(folder, name, Block(score), version=version)


def block_onnx(score: float = 0.9) -> bytes:
    """The same model as an ONNX file: a row a picture."""
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["x"], ["grey"], axes=[1], keepdims=0),
        node("Greater", ["grey", "threshold"], ["is_bright"]),
        node("Cast", ["is_bright"], ["bright"], to=TensorProto.FLOAT),
        node("ReduceMax", ["bright"], ["by_row"], axes=[2], keepdims=0),
        node("ReduceMax", ["bright"], ["by_column"], axes=[1], keepdims=0),
        node("ReduceMax", ["by_row"], ["any"], axes=[1], keepdims=1),
        node("Mul", ["any", "score"], ["scores"]),
        node("Sub", ["any", "any"], ["classes"]),
    ]
    for name, line, last in (("x1", "by_column", 0), ("y1", "by_row", 0), ("x2", "by_column", 1), ("y2", "by_row", 1)):
        nodes.append(node("ArgMax", [line], [f"{name}_index"], axis=1, keepdims=1, select_last_index=last))
        nodes.append(node("Cast", [f"{name}_index"], [f"{name}_first"], to=TensorProto.FLOAT))
        nodes.append(node("Add", [f"{name}_first", "one" if last else "nought"], [name]))
    nodes.append(node("Concat", ["x1", "y1", "x2", "y2", "scores", "classes"], ["flat"], axis=1))
    nodes.append(node("Reshape", ["flat", "shape"], ["rows"]))
    values = {"threshold": 180.0, "score": score, "one": 1.0, "nought": 0.0}
    constants = [numpy_helper.from_array(np.array([value], np.float32), name) for name, value in values.items()]
    constants.append(numpy_helper.from_array(np.array([1, 1, 6], np.int64), "shape"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 1, 6])
    graph = helper.make_graph(nodes, "blocks", [x], [rows], constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())


def write_block_onnx(folder: Path, name: str) -> str:
    """A package of it, version 1, in a folder of HOABAN_MODEL_PATH: for processes that are to start without torch."""
    package = folder / name
    package.mkdir(parents=True)
    (package / "m.onnx").write_bytes(block_onnx())
    card = {
        "name": name, "version": "1", "task": "detect", "backend": "onnx", "decoder": "rows", "file": "m.onnx",
        "sha256": hashlib.sha256((package / "m.onnx").read_bytes()).hexdigest(), "labels": ["thing"],
        "input": {"width": 64, "height": 64}, "licence": "test", "origin": "test",
    }  # fmt: skip
    (package / "card.yaml").write_text(yaml.safe_dump(card))
    return name


def write_suite(folder: Path) -> Path:
    """The recording, and what happens in it, as hoaban/evaluation/suite.py has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / "blocks.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(SECONDS * FPS):
            picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
            since_s = number / FPS % EVERY_S
            if since_s < TAKES_S:
                foot = _foot(since_s)
                picture[max(0, foot - SIDE) : foot, 26 : 26 + SIDE] = 255
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    crosses_s = next(k / 100 for k in range(100 * TAKES_S) if _foot(k / 100) >= HEIGHT / 2)
    document = {
        "clip": "blocks.mp4",
        "camera": {
            "analysis_fps": FPS,
            "begin_score": 0.5,
            "motion_gate": False,
            "rules": [{"type": "line_count", "line": "l", "classes": ["thing"]}],
        },
        "lines": [{"id": "l", "from": [0.0, 0.5], "to": [1.0, 0.5]}],
        "crossings": [
            {"at_s": start + crosses_s, "line": "l", "direction": "forward", "class": "thing"}
            for start in range(0, SECONDS, EVERY_S)
        ],
    }
    (folder / "blocks.yaml").write_text(yaml.safe_dump(document))
    return folder


def _foot(since_s: float) -> int:
    """The lower edge of a block, in pixels from the top, so long after it appeared whole."""
    return SIDE + round((HEIGHT - SIDE) * since_s / TAKES_S)
