"""Model packages on disk and the back ends that run them."""

from actors.models.files import find_clip, find_model
from actors.models.load import load_detector, load_embedder, load_face_model, load_model
from hoaban.models.backend import ModelError

__all__ = ["ModelError", "find_clip", "find_model", "load_detector", "load_embedder", "load_face_model", "load_model"]
