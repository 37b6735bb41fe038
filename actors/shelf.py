"""The models of an inference process: each loaded once, beside its work, by whoever asks for it first."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import structlog

from actors.mailbox import Shape
from actors.models import ModelError, find_model, load_model
from hoaban.models.backend import Detector

log = structlog.get_logger(__name__)

REFUSED_FOR_S = 20.0
"""a model that could not be loaded is tried again after that only: its cameras ask every few seconds, and the others'
processor time is not theirs"""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is warm. generation: which of all that were loaded here, so that answers tell them apart."""

    generation: int
    detector: Detector

    def welcome(self) -> dict[str, Any]:
        """What a camera must know of it."""
        detector = self.detector
        return {
            "generation": self.generation,
            "model": detector.ref.as_dict(),
            "labels": list(detector.labels),
            "width": detector.input_width,
            "height": detector.input_height,
            "template": detector.template.as_dict() if detector.template else None,
        }

    def stats(self) -> dict[str, Any]:
        """What it is and how it runs."""
        detector = self.detector
        return detector.ref.as_dict() | {
            "generation": self.generation,
            "device": detector.device,
            "most": detector.most,
            "notes": list(detector.notes),
        }

    @property
    def shape(self) -> Shape:
        return Shape(self.detector.input_height, self.detector.input_width)


class ModelShelf:
    """Models by name. Each load has a thread of its own: one that hangs holds up nobody but who wants that model.

    device, most: as load_model takes them. barred: models that may not be loaded yet -> for how many seconds.
    """

    def __init__(self, device: str, most: int | None = None, barred: Mapping[str, float] | None = None) -> None:
        self._device, self._most = device, most
        self._lock = threading.Lock()
        self._loaded: dict[str, LoadedModel] = {}
        self._asked: dict[str, Future[LoadedModel]] = {}
        self._refused_until: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._generation = 0
        for name, for_s in (barred or {}).items():
            why = f"model {name!r} hung and was ended with its process; it is tried again in {for_s:.0f} s or less"
            self._asked[name] = _begun()
            self._refuse(name, self._asked[name], ModelError(why), for_s)

    def __getitem__(self, name: str) -> LoadedModel:
        """A model that is loaded. Raises KeyError."""
        return self._loaded[name]

    def __iter__(self) -> Iterator[tuple[str, LoadedModel]]:
        return iter(dict(self._loaded).items())

    def request(self, name: str) -> "Future[LoadedModel]":
        """The model, once it is loaded and warmed up, or the ModelError that tells why it cannot be."""
        with self._lock:
            answer = self._asked.get(name)
            if answer is None or time.monotonic() >= self._refused_until.get(name, float("inf")):
                self._refused_until.pop(name, None)
                answer = self._asked[name] = _begun()
                self._began[name] = time.monotonic()
                threading.Thread(target=self._load, args=(name, answer), name=f"load {name}", daemon=True).start()
            return answer

    def load(self, name: str) -> LoadedModel:
        """The model, waited for. Raises ModelError."""
        return self.request(name).result()

    def loading(self) -> tuple[str, float] | None:
        """The model whose load goes on longest, and for how many seconds."""
        began = [(at_s, name) for name, at_s in dict(self._began).items()]
        return (min(began)[1], time.monotonic() - min(began)[0]) if began else None

    def _load(self, name: str, answer: "Future[LoadedModel]") -> None:
        try:
            detector = load_model(find_model(name), threads=1, device=self._device, most=self._most)
            detector.warm_up()
        except Exception as error:  # a back end may raise anything on a broken file
            if not isinstance(error, ModelError):
                log.exception("model not loaded", model=name)
                error = ModelError(f"model {name!r} could not be loaded: {error}; correct its file or its card")
            log.error("model refused", model=name, error=str(error))
            self._refuse(name, answer, error, REFUSED_FOR_S)
            return
        with self._lock:
            self._generation += 1
            loaded = self._loaded[name] = LoadedModel(self._generation, detector)
            self._began.pop(name, None)
        log.info("model loaded", model=name, digest=detector.ref.digest[:12], device=detector.device)
        answer.set_result(loaded)

    def _refuse(self, name: str, answer: "Future[LoadedModel]", error: ModelError, for_s: float) -> None:
        with self._lock:
            self._refused_until[name] = time.monotonic() + for_s
            self._began.pop(name, None)
        answer.set_exception(error)


def _begun() -> "Future[LoadedModel]":
    """A future that whoever waits for it cannot cancel: others wait too."""
    future: Future[LoadedModel] = Future()
    future.set_running_or_notify_cancel()
    return future
