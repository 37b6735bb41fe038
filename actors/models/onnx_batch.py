"""A graph that was exported for one picture, made to take any number of them: in memory, and checked before it is used.

An exporter that is told batch 1 writes that 1 into the shapes of input and outputs and into the constants of Reshape
nodes. Which number of a Reshape stands for the batch cannot be read off it with certainty, so this is a guess by two
rules, and what makes it safe is the check: the rewritten graph must answer a batch of different pictures as the file
answers them one by one.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

TOLERANCE = 1e-4
CHECKED_WITH = 3
"""pictures in the checking batch"""


def any_batch(path: Path, picture: tuple[int, int, int], scale: float = 1.0) -> bytes:
    """The model of an ONNX file with a free first dimension of input and outputs; the file stays as it is.

    picture: (channels, height, width) of its input, whose values go from 0 to 255 * scale. Raises ValueError when the
    graph cannot be rewritten so that it answers as before.
    """
    try:
        rewritten = _freed(onnx.load(path)).SerializeToString()
        _check(path, rewritten, picture, scale)
    except ValueError:
        raise
    except Exception as error:  # onnx and onnxruntime raise kinds of their own, which have no common base
        raise ValueError(str(error).strip().splitlines()[0]) from error
    return rewritten


def _freed(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # shapes between the nodes, which would still say 1
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for number, node in enumerate(graph.node):
        if node.op_type == "Reshape" and node.input[1] in constants:
            shape = _freed_shape(numpy_helper.to_array(constants[node.input[1]]))
            # Under a name of its own: several nodes may share one constant.
            name = f"{node.input[1]}/batch/{number}"
            graph.initializer.append(numpy_helper.from_array(shape, name))
            node.input[1] = name
    return model


def _freed_shape(shape: NDArray[np.int64]) -> NDArray[np.int64]:
    """A Reshape's target for any batch: a leading 1 becomes 0 (as the input has it), else a fixed first number -1.

    The second rule is for a batch that is folded into the first number, as in a channel shuffle; where the shape has a
    -1 already, that one grows with the batch.
    """
    shape = shape.copy()
    if len(shape) and shape[0] == 1:
        shape[0] = 0
    elif len(shape) and -1 not in shape:
        shape[0] = -1
    return shape


def _check(path: Path, rewritten: bytes, picture: tuple[int, int, int], scale: float) -> None:
    """Noise of different brightness, so that pictures which are mixed up show. Raises ValueError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    one, many = (ort.InferenceSession(it, options, ["CPUExecutionProvider"]) for it in (path, rewritten))
    random = np.random.default_rng(1)
    pictures = np.stack([random.uniform(0, 85 * (i + 1) * scale, picture) for i in range(CHECKED_WITH)])
    pictures = pictures.astype(np.float32)
    name = one.get_inputs()[0].name
    singles = [one.run(None, {name: pictures[i : i + 1]}) for i in range(CHECKED_WITH)]
    for index, together in enumerate(many.run(None, {name: pictures})):
        apart = np.concatenate([outputs[index] for outputs in singles])
        if apart.shape != together.shape or not np.allclose(apart, together, rtol=TOLERANCE, atol=TOLERANCE):
            raise ValueError("several pictures together are not answered as one by one")
