"""From a package to a running model, by its card's task."""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from actors.models.files import ModelPackage, find_model
from hoaban.models.backend import ENTRY_POINTS, Backend, Detector, Embedder, ModelError
from hoaban.models.card import BACKENDS, ModelCard

if TYPE_CHECKING:
    from actors.models.face_model import FaceModel


def load_model(package: ModelPackage, *, threads: int = 1, device: str = "auto", most: int | None = None) -> Detector:
    """Load what the frame path can run: a detector, or a face model. Raises ModelError."""
    if package.card.task == "faces":
        return load_face_model(package, threads=threads, device=device)
    return load_detector(package, threads=threads, device=device, most=most)


def load_detector(
    package: ModelPackage, *, threads: int = 1, device: str = "auto", most: int | None = None
) -> Detector:
    """Load a package with its back end. threads: of the back end, for one frame. device: auto, cpu or cuda.

    most: pictures of one batch, where the back end can take several; by default what is best on the device. Raises
    ModelError. Back ends are imported here, when asked for: torch alone costs a process 200 MB.
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
    if card.backend not in BACKENDS:
        return _installed(card)(card, path, threads, device, most)
    if path is None:
        raise ModelError(f"model {card.name!r}: its file {card.file!r} is missing")
    if card.backend == "onnx":
        from actors.models.onnx_backend import OnnxDetector

        return OnnxDetector(card, path, threads, device, most)
    if card.backend == "torch":
        from actors.models.torch_backend import TorchDetector

        return TorchDetector(card, path, threads, device, most)
    raise ModelError(f"model {card.name!r}: the back end {card.backend} runs no detectors; use onnx or torch")


def _installed(card: ModelCard) -> Backend:
    """The back end that an installed package brings. Raises ModelError."""
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    point = found.get(card.backend)
    if point is None:
        known = ", ".join((*BACKENDS, *sorted(found)))
        raise ModelError(
            f"model {card.name!r}: no back end {card.backend!r} is installed; install the package that brings it, "
            f"or use one of {known}"
        )
    try:
        backend: Backend = point.load()
    except Exception as error:  # whatever its import raises
        raise ModelError(
            f"model {card.name!r}: the back end {card.backend!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}; mend its package"
        ) from error
    return backend


def load_face_model(package: ModelPackage, *, threads: int = 1, device: str = "auto") -> "FaceModel":
    """Load a face model and the two models it is made of. Raises ModelError."""
    from actors.models.face_model import FaceModel

    spec = package.card.faces
    if spec is None:
        name, task = package.card.name, package.card.task
        raise ModelError(f"model {name!r} is for the task {task!r}, no face model; choose another")
    finder, embedder = find_model(spec.detector), find_model(spec.embedder)
    return FaceModel(package.card, finder, load_embedder(embedder, threads=threads, device=device), threads, device)


def load_embedder(package: ModelPackage, *, threads: int = 1, device: str = "auto") -> Embedder:
    """Load what makes templates of faces. Raises ModelError."""
    card, path = package.card, package.path
    if card.embed is None:
        raise ModelError(f"model {card.name!r} is for the task {card.task!r}, it makes no templates; choose another")
    if path is None:
        raise ModelError(f"model {card.name!r}: its file {card.file!r} is missing")
    if card.backend == "deepface":
        from actors.models.deepface_backend import DeepfaceEmbedder

        return DeepfaceEmbedder(card, path)
    if card.backend == "onnx":
        from actors.models.onnx_embedder import OnnxEmbedder

        return OnnxEmbedder(card, path, threads, device)
    raise ModelError(f"model {card.name!r}: the back end {card.backend} makes no templates; use onnx or deepface")
