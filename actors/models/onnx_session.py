"""Opening an ONNX file with ONNX Runtime, on the processor or on CUDA."""

from pathlib import Path

import onnxruntime as ort
import structlog

from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard

log = structlog.get_logger(__name__)


def open_session(card: ModelCard, path: Path, threads: int, device: str) -> ort.InferenceSession:
    """A session of a card's file. threads: for one picture. device: auto, cpu or cuda. Raises ModelError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle workers that spin would take the processor from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    if device != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    elif device == "auto":
        log.info("ONNX Runtime has no CUDA here (install onnxruntime-gpu): the processor is used", model=card.name)
    elif device == "cuda":
        raise ModelError(
            f"model {card.name!r}: CUDA was asked for, but this onnxruntime has none; install onnxruntime-gpu"
        )
    try:
        return ort.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime raises its own kinds, which have no common base
        raise ModelError(f"model {card.name!r}: {path} is no ONNX model: {str(error).splitlines()[0]}") from error


def picture_input(card: ModelCard, session: ort.InferenceSession) -> tuple[str, bool]:
    """The name of a session's only input, and whether it takes one picture at a time.

    Raises ModelError when it is not (batch, 3, height, width) of the card's size.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ModelError(
            f"model {card.name!r}: one input (batch, 3, height, width) is expected; it has {[i.shape for i in inputs]}"
        )
    batch, *picture = inputs[0].shape
    wanted = [3, card.input.height, card.input.width]
    if any(isinstance(has, int) and has != want for has, want in zip(picture, wanted, strict=True)):
        raise ModelError(f"model {card.name!r}: its input is {picture}, its card says {wanted}; correct the card")
    return inputs[0].name, batch == 1
