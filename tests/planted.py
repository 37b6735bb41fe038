"""Models that tests plant: the real detector made worse, and packages of it."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import helper, numpy_helper

from actors.models import find_model
from hoaban.models.card import ModelCard


def package(folder: Path, card: ModelCard, data: bytes | None = None, **changes: object) -> Path:
    """A package folder: a card with changes, and its file."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = card.model_dump(mode="json", exclude_defaults=True) | changes
    if data is not None:
        (folder / "model.onnx").write_bytes(data)
        fields |= {"file": "model.onnx", "sha256": hashlib.sha256(data).hexdigest()} | changes
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return folder


def yolox_scaled(scores: float) -> bytes:
    """yolox-nano with the objectness of every box multiplied: its scores are that much lower."""
    path = find_model("yolox-nano").path
    assert path is not None
    model = onnx.load(str(path))
    (output,) = model.graph.output
    inner = f"{output.name}_whole"
    for node in model.graph.node:
        node.output[:] = [inner if name == output.name else name for name in node.output]
    factors = np.ones((1, 1, 85), np.float32)
    factors[..., 4] = scores
    model.graph.initializer.append(numpy_helper.from_array(factors, "planted_factors"))
    model.graph.node.append(helper.make_node("Mul", [inner, "planted_factors"], [output.name]))
    return bytes(model.SerializeToString())
