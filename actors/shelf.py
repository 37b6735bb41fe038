"""The models of an inference process: each loaded once, beside its work, by whoever asks for it first."""

import threading
import time
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from actors.mailbox import Shape
from actors.models import ModelError, find_model, load_model
from actors.models.files import ModelPackage
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.backend import Detector
from hoaban.probation import Probation, Verdict, budget_after

log = structlog.get_logger(__name__)

REFUSED_FOR_S = 20.0
"""a model that could not be loaded is tried again after that only: its cameras ask every few seconds, and the others'
processor time is not theirs"""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model that is warm.

    name: what cameras ask for it by. generation: which of all that were loaded here, so that answers tell them apart.
    swapped: it took the place of another of its name. times_s: what its latest pictures took.
    """

    name: str
    generation: int
    detector: Detector
    swapped: bool = False
    times_s: deque[float] = field(default_factory=lambda: deque(maxlen=256))

    @property
    def label(self) -> str:
        """Its name to people; a hang of a swapped model must not be held against the one that its name stands for."""
        return f"{self.name} (generation {self.generation})" if self.swapped else self.name

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


@dataclass(slots=True)
class _Swap:
    """A model that took another's place; both are let go when it is decided which of them stays."""

    old: LoadedModel | None
    new: LoadedModel | None
    probation: Probation
    report: dict[str, Any]

    def stats(self) -> dict[str, Any]:
        probation = self.probation
        return self.report | {
            "state": probation.verdict.value,
            "why": probation.why,
            "pictures": probation.pictures,
        }


class ModelShelf:
    """Models by name. Each load has a thread of its own: one that hangs holds up nobody but who wants that model.

    device, most: as load_model takes them. barred: models that may not be loaded yet -> for how many seconds.
    stands_for: names that a promoted model has the place of.
    """

    def __init__(
        self,
        device: str,
        most: int | None = None,
        barred: Mapping[str, float] | None = None,
        stands_for: Mapping[str, ModelIdentity] | None = None,
    ) -> None:
        self._device, self._most = device, most
        self._stands_for = dict(stands_for or {})
        self._lock = threading.RLock()
        self._loaded: dict[str, LoadedModel] = {}
        self._asked: dict[str, Future[LoadedModel]] = {}
        self._refused_until: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self._swaps: dict[str, _Swap] = {}
        self._trials: set[str] = set()
        """names whose model was swapped in for a trial, which lasts as long as the process"""
        self._kept: frozenset[str] = frozenset()
        self._unload_after_s: float | None = None
        self._asked_s: dict[str, float] = {}
        """when a camera asked for a model last"""
        self._unloaded: Counter[str] = Counter()
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

    def stats(self) -> dict[str, dict[str, Any]]:
        """What each is and how it runs. unloads_in_s: unless a camera asks for it; null: it stays."""
        with self._lock:
            now = time.monotonic()
            return {
                name: loaded.stats() | {"unloads_in_s": self._unloads_in_s(name, now)}
                for name, loaded in self._loaded.items()
            }

    def keep(self, names: Iterable[str], unload_after_s: float | None) -> None:
        """Models that stay loaded, and for how long any other does that no camera asks for; None: they stay too."""
        with self._lock:
            self._kept, self._unload_after_s = frozenset(names), unload_after_s

    def sweep(self, asked: Container[str]) -> list[str]:
        """Unload what no camera has asked for since long; the names. asked: those that cameras have seats with now."""
        with self._lock:
            now = time.monotonic()
            for name in self._loaded:
                if name in asked or self._stays(name):
                    self._asked_s[name] = now
            over = [name for name in self._loaded if self._unloads_in_s(name, now) == 0]
            for name in over:
                loaded = self._loaded.pop(name)
                self._asked.pop(name, None)
                self._unloaded[name] += 1
                log.info("model unloaded", model=loaded.label, unasked_for_s=self._unload_after_s)
        return over

    def unloaded(self) -> dict[str, int]:
        """How often each was unloaded, for no camera asked for it."""
        return dict(self._unloaded)

    def _stays(self, name: str) -> bool:
        """Whether a model stays though no camera asks for it. One that is swapped would lose what it is to prove."""
        swap = self._swaps.get(name)
        proving = swap is not None and swap.probation.verdict is Verdict.OPEN
        return name in self._kept or name in self._trials or proving or _swapping(name) in self._began

    def _unloads_in_s(self, name: str, now: float) -> float | None:
        if self._unload_after_s is None or self._stays(name):
            return None
        return max(0.0, round(self._asked_s[name] + self._unload_after_s - now, 1))

    def request(self, name: str) -> "Future[LoadedModel]":
        """The model, once it is loaded and warmed up, or the ModelError that tells why it cannot be."""
        with self._lock:
            self._asked_s[name] = time.monotonic()
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

    def lacking(self) -> frozenset[str]:
        """Models that are to stay loaded, were asked for and are not there: being loaded, or refused."""
        with self._lock:
            return self._kept & self._asked.keys() - self._loaded.keys()

    def swap(self, name: str, package: ModelPackage, budget_s: float | None = None) -> LoadedModel:
        """Put a package in the place of the model `name` for a trial: loaded beside it, warmed up, then switched to.

        The old one stays at hand until the new one has proved itself (hoaban/probation.py) on the frames that `judge`
        hears of. budget_s: seconds a picture may take. Raises ModelError, and then nothing has changed.
        """
        new = self._swap(name, package, budget_s)
        with self._lock:
            if self._loaded.get(name) is new:
                self._trials.add(name)
        return new

    def _swap(self, name: str, package: ModelPackage, budget_s: float | None = None) -> LoadedModel:
        began = _swapping(name)
        with self._lock:
            old, running = self._loaded.get(name), self._swaps.get(name)
            if old is None:
                raise ModelError(f"model {name!r} is not loaded here; only a loaded one can be swapped")
            if began in self._began or (running is not None and running.probation.verdict is Verdict.OPEN):
                raise ModelError(f"model {name!r}: another swap goes on; wait until it is decided")
            self._began[began] = time.monotonic()
        try:
            detector = self._ready(package)
            if (detector.template is None) != (old.detector.template is None):
                raise ModelError(f"model {detector.ref.name!r} has another task than {old.detector.ref.name!r}")
            with self._lock:
                new = self.put(name, detector, swapped=True)
                probation = Probation(budget_s or budget_after(list(old.times_s)))
                report = {"from": old.detector.ref.as_dict(), "to": detector.ref.as_dict()}
                self._swaps[name] = _Swap(old, new, probation, report | {"generation": new.generation})
        finally:
            self._began.pop(began, None)
        log.warning("model swapped", model=name, **report)
        return new

    def stand_for(self, name: str, identity: ModelIdentity | None) -> bool:
        """Let a name stand for a promoted model from now on, or for itself again; whether a swap began.

        Raises ModelError, and then nothing has changed.
        """
        package = _package(name, identity)
        self._end_probation(name, package)
        loaded = self._loaded.get(name)
        swaps = loaded is not None and loaded.detector.ref != package.ref
        if swaps:
            self._swap(name, package)
        elif name in self._began:
            raise ModelError(f"model {name!r} is being loaded; it can be swapped then")
        with self._lock:
            if identity is None:
                self._stands_for.pop(name, None)
            else:
                self._stands_for[name] = identity
            self._trials.discard(name)
            if loaded is None:  # it was refused, or never asked for
                self._asked.pop(name, None)
                self._refused_until.pop(name, None)
        return swaps

    def _end_probation(self, name: str, package: ModelPackage) -> None:
        """A model that comes or goes by a promotion does not wait for a probation: no frame may ever decide it.

        When it is the model before, still at hand, it is put back.
        """
        with self._lock:
            swap = self._swaps.get(name)
            if swap is None or swap.new is None or swap.old is None or swap.new.detector.ref == package.ref:
                return
            back = swap.old.detector.ref == package.ref
            swap.probation.end(Verdict.FAILED if back else Verdict.KEPT, "another model was put in its place")
            self._settle(name, swap)

    def _settle(self, name: str, swap: _Swap) -> None:
        """Put the old model back if the new one failed, and let go of both. Called with the lock held."""
        if swap.probation.verdict is Verdict.FAILED and swap.old is not None:
            self._loaded[name], self._asked[name] = swap.old, _done(swap.old)
            self._trials.discard(name)
        swap.old = swap.new = None

    def judge(self, loaded: LoadedModel, pictures: int, failed: int, took_s: float) -> None:
        """Hear of a batch; a swapped model that failed on it too often, or takes too long, is taken back."""
        loaded.times_s.append(took_s / pictures)
        swap = self._swaps.get(loaded.name)
        if swap is None or swap.new is not loaded:
            return
        with self._lock:
            if swap.probation.verdict is not Verdict.OPEN:
                return
            verdict = swap.probation.saw(pictures, failed, took_s)
            if verdict is Verdict.OPEN:
                return
            self._settle(loaded.name, swap)
        log.warning("swap decided", model=loaded.name, verdict=verdict.value, why=swap.probation.why)

    def put(self, name: str, detector: Detector, *, swapped: bool = False) -> LoadedModel:
        """A model that is warm, for whoever asks for it by that name from now on."""
        with self._lock:
            self._generation += 1
            loaded = self._loaded[name] = LoadedModel(name, self._generation, detector, swapped)
            self._asked[name] = _done(loaded)
            self._asked_s[name] = time.monotonic()
        return loaded

    def swaps(self) -> dict[str, dict[str, Any]]:
        """The last swap of each name: from what to what, and how it went."""
        return {name: swap.stats() for name, swap in dict(self._swaps).items()}

    def _load(self, name: str, answer: "Future[LoadedModel]") -> None:
        try:
            detector = self._ready(_package(name, self._stands_for.get(name)))
        except ModelError as error:
            log.error("model refused", model=name, error=str(error))
            self._refuse(name, answer, error, REFUSED_FOR_S)
            return
        with self._lock:
            loaded = self.put(name, detector)
            self._began.pop(name, None)
        log.info("model loaded", model=name, digest=detector.ref.digest[:12], device=detector.device)
        answer.set_result(loaded)

    def _ready(self, package: ModelPackage) -> Detector:
        try:
            detector = load_model(package, threads=1, device=self._device, most=self._most)
            detector.warm_up()
        except ModelError:
            raise
        except Exception as error:  # a back end may raise anything on a broken file
            log.exception("model not loaded", model=package.card.name)
            name = package.card.name
            raise ModelError(f"model {name!r} could not be loaded: {error}; correct its file or its card") from error
        return detector

    def _refuse(self, name: str, answer: "Future[LoadedModel]", error: ModelError, for_s: float) -> None:
        with self._lock:
            self._refused_until[name] = time.monotonic() + for_s
            self._began.pop(name, None)
        answer.set_exception(error)


def _swapping(name: str) -> str:
    """What loading a model into another's place is called while it goes on."""
    return f"{name} (to be swapped in)"


def _package(name: str, identity: ModelIdentity | None) -> ModelPackage:
    """What a name stands for, exactly the one that was promoted. Raises ModelError."""
    if identity is None:
        return find_model(name)
    package = find_model(identity.ref)
    if differs := identity.differs(ModelIdentity.of(package.card)):
        raise ModelError(
            f"model {name!r} stands for {identity.ref}, and the one on this node is another ({differs}); "
            "put the promoted one there"
        )
    return package


def _done(loaded: LoadedModel) -> "Future[LoadedModel]":
    future = _begun()
    future.set_result(loaded)
    return future


def _begun() -> "Future[LoadedModel]":
    """A future that whoever waits for it cannot cancel: others wait too."""
    future: Future[LoadedModel] = Future()
    future.set_running_or_notify_cancel()
    return future
