"""From a package to a running detector."""

from actors.models.files import ModelPackage
from hoaban.models.backend import Detector, ModelError


def load_detector(package: ModelPackage, *, threads: int = 1, device: str = "auto") -> Detector:
    """Load a package with its back end. threads: of the back end, for one frame. device: auto, cpu or cuda.

    Raises ModelError. Back ends are imported here, when asked for: torch alone costs a process 200 MB.
    """
    card, path = package.card, package.path
    if card.task != "detect":
        raise ModelError(f"model {card.name!r} is for the task {card.task!r}, not a detector; choose another")
    if card.backend == "opencv-hog":
        from actors.models.hog_backend import HogDetector

        return HogDetector(card)
    if card.backend == "opencv-sim":
        from actors.models.sim_backend import SimDetector

        return SimDetector(card)
    if path is None:
        raise ModelError(f"model {card.name!r}: its file {card.file!r} is missing")
    if card.backend == "onnx":
        from actors.models.onnx_backend import OnnxDetector

        return OnnxDetector(card, path, threads, device)
    from actors.models.torch_backend import TorchDetector

    return TorchDetector(card, path, threads, device)
