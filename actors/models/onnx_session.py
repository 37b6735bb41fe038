"""Opening an ONNX file with ONNX Runtime, on the processor or on CUDA."""

from pathlib import Path
from typing import Any

import onnxruntime as ort
import structlog

from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard

log = structlog.get_logger(__name__)

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(card: ModelCard, model: Path | bytes, threads: int, device: str) -> tuple[ort.InferenceSession, str]:
    """A session of a card's file, or of its contents, and what should be said of it, or "".

    threads: for one picture. device: auto, cpu or cuda; auto falls back to the processor, and says so, where CUDA is
    missing or does not work. Raises ModelError.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle workers that spin would take the processor from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    trouble = ""
    if device != "cpu":
        try:
            if CUDA not in ort.get_available_providers():
                raise RuntimeError("this onnxruntime has none; install onnxruntime-gpu")
            # By default each new batch size is timed with every algorithm there is, on the frame path.
            session = _open(model, options, (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}))
            if device_of(session) == "cuda":
                return session, ""
            raise RuntimeError("onnxruntime could not use the GPU; compare its CUDA and cuDNN with the node's")
        except Exception as error:  # onnxruntime raises its own kinds, which have no common base
            trouble = str(error).splitlines()[0]
            if device == "cuda":
                raise ModelError(f"model {card.name!r}: CUDA was asked for: {trouble}") from error
    try:
        session = _open(model, options)
    except Exception as error:
        raise ModelError(f"model {card.name!r}: {card.file} is no ONNX model: {str(error).splitlines()[0]}") from error
    if not trouble:
        return session, ""
    log.warning("no CUDA: the processor is used", model=card.name, why=trouble)
    return session, f"runs on the processor, CUDA was to be used: {trouble}"


def _open(model: Path | bytes, options: ort.SessionOptions, *providers: Any) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=[*providers, CPU])


def device_of(session: ort.InferenceSession) -> str:
    """Where a session runs: cuda or cpu."""
    return "cuda" if CUDA in session.get_providers() else "cpu"


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
