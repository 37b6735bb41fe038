"""Templates of faces by a model of deepface, and MobileFaceNet as one of deepface's models.

deepface runs on ONNX Runtime here, and never fetches weights: they are looked for in
$DEEPFACE_HOME/.deepface/weights, in the packages that ship them, and where all models are looked for.
"""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.models.embedder import CardEmbedder
from actors.models.files import find_model, find_weights
from actors.models.onnx_embedder import OnnxEmbedder
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard

OWN_MODEL = "MobileFaceNet"
"""its name in deepface's registry"""


class DeepfaceEmbedder(CardEmbedder):
    """Meets hoaban.models.backend.Embedder with any of deepface's face recognition models whose weights are here."""

    def __init__(self, card: ModelCard, path: Path) -> None:
        """Raises ModelError that names the cure: deepface, a package of it or the weights are missing."""
        if card.embed is None or card.embed.deepface is None:
            raise ModelError(f"model {card.name!r}: embed.deepface is missing in its card; name deepface's model")
        super().__init__(card)
        self._lock = threading.Lock()  # deepface hands out one client a process, and dlib's is not said to be reentrant
        try:
            self._client = build(card.embed.deepface, {path.name: path})
        except ModelError:
            raise
        except Exception as error:  # deepface raises many kinds, ImportError for a back end's package among them
            raise ModelError(
                f"model {card.name!r}: deepface could not build {card.embed.deepface}: {str(error).splitlines()[0]}"
            ) from error
        shape = tuple(self._client.input_shape), self._client.output_shape
        if shape != ((card.input.height, card.input.width), card.embed.dimension):
            raise ModelError(f"model {card.name!r}: deepface says input and template are {shape}; correct the card")

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        # deepface's clients take BGR in 0..1; some tell that from 0..255 by the batch's maximum.
        scaled = crops.astype(np.float32) / 255
        with self._lock:
            return np.asarray(self._client.forward(scaled), np.float32)


def build(name: str, known: dict[str, Path]) -> Any:
    """deepface's client for a model. known: weight files that were found and checked, by file name.

    Raises ModelError when deepface or the weights are not here.
    """
    os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "onnx")
    try:
        from deepface.commons import weight_utils
        from deepface.modules import modeling
    except ImportError as missing:
        raise ModelError(
            f"deepface is not installed whole ({missing}); run `make`, or pip install --no-deps -r no-deps.txt"
        ) from None

    def local(file_name: str, *_: Any, **__: Any) -> str:
        path = known.get(file_name) or find_weights(file_name)
        if path is None:
            raise ModelError(
                f"deepface's {name}: its weights {file_name} are not here, and nothing is fetched at run time; put "
                "them into $DEEPFACE_HOME/.deepface/weights or a folder of HOABAN_MODEL_PATH"
            )
        return str(path)

    weight_utils.download_weights_if_necessary = local
    register(modeling)
    return modeling.build_model("facial_recognition", name)


def register(modeling: Any) -> None:
    """Put MobileFaceNet among deepface's models, so that whatever asks deepface for a model by name finds it."""
    source = f"{__name__}.mobilefacenet_client"
    modeling.AVAILABLE_MODELS["facial_recognition"].setdefault(OWN_MODEL, {modeling.ANY: source})


def mobilefacenet_client() -> Any:
    """A deepface client of MobileFaceNet (deepface calls what the registry names, a class or this)."""
    from deepface.models.FacialRecognition import FacialRecognition

    package = find_model("mobilefacenet")
    if package.path is None:
        raise ModelError("model 'mobilefacenet' is not here")
    embedder = OnnxEmbedder(package.card, package.path, 1, "cpu")

    class MobileFaceNetClient(FacialRecognition):  # type: ignore[misc]
        def __init__(self) -> None:
            self.model, self.model_name = embedder, OWN_MODEL
            self.input_shape, self.output_shape = (embedder.size, embedder.size), embedder.dimension

        def forward(self, img: NDArray[Any]) -> list[Any]:
            """img: (h, w, 3) or (n, h, w, 3) BGR in 0..1, as deepface's preprocessing gives it."""
            batch = np.atleast_3d(img)[None] if img.ndim == 3 else img
            templates = embedder.embed(np.rint(np.clip(batch, 0, 1) * 255).astype(np.uint8)).tolist()
            return templates[0] if len(templates) == 1 else templates

    return MobileFaceNetClient()
