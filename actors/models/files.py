"""Where model files and demo clips are found (DESIGN 9), and fetching them from their publisher."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx
import structlog
import yaml
from platformdirs import user_cache_path
from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from hoaban.events import ModelRef
from hoaban.models.backend import ModelError
from hoaban.models.card import OPENCV_HOG, PINNED, ModelCard

log = structlog.get_logger(__name__)
CARD_FILE = "card.yaml"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A card and its file; None for a model that needs none."""

    card: ModelCard
    path: Path | None

    @property
    def ref(self) -> ModelRef:
        return self.card.ref


def cache_dir(kind: str) -> Path:
    """The cache folder of "models" or "clips"."""
    return user_cache_path("hoaban") / kind


def search_path(kind: str) -> list[Path]:
    """Folders searched in order: HOABAN_MODEL_PATH or HOABAN_CLIP_PATH, by default the cache and ../shared."""
    named = os.environ.get({"models": "HOABAN_MODEL_PATH", "clips": "HOABAN_CLIP_PATH"}[kind])
    if named:
        return [Path(folder).expanduser() for folder in named.split(os.pathsep) if folder]
    beside = [PROJECT.parent / "shared" / kind, Path.cwd().parent / "shared" / kind]
    return [cache_dir(kind), *dict.fromkeys(beside)]


def find_model(name: str) -> ModelPackage:
    """The package of a model, NAME or NAME@VERSION.

    Raises ModelError when no card has that name, when its file is nowhere, or has another digest than its card.
    """
    wanted, _, version = name.partition("@")
    cards = [package for package in list_models() if package.card.name == wanted]
    matching = [package for package in cards if version in ("", package.card.version)]
    if not matching:
        known = ", ".join(sorted({f"{p.card.name}@{p.card.version}" for p in cards or list_models()}))
        raise ModelError(f"model {name!r} is not known; known: {known}")
    package = matching[-1]
    if package.card.file is None:
        return package
    if package.path is None:
        folders = ", ".join(str(folder) for folder in search_path("models"))
        cure = f"run `hoaban models pull {wanted}`" if package.card.url else "put the file into one of these folders"
        raise ModelError(
            f"model {name!r}: {package.card.file} was not found in {folders}; {cure}, or set HOABAN_MODEL_PATH"
        )
    stat = package.path.stat()
    digest = _digest(package.path, stat.st_mtime_ns, stat.st_size)
    if digest != package.card.sha256:
        raise ModelError(
            f"model {name!r}: {package.path} has sha256 {digest[:12]}…, its card says {package.card.sha256[:12]}…; "
            "the file is damaged or another version: fetch it again or correct the card"
        )
    return package


def list_models() -> list[ModelPackage]:
    """Every known model: the pinned ones, and each folder with a card on the search path."""
    packages = [ModelPackage(card, _find_file("models", card.file) if card.file else None) for card in PINNED.values()]
    for folder in search_path("models"):
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")) if folder.is_dir() else ():
            card = read_card(card_file)
            path = card_file.parent / card.file if card.file else None
            packages.append(ModelPackage(card, path if path and path.is_file() else None))
    return packages


def read_card(path: Path) -> ModelCard:
    """A card from YAML. Raises ModelError that names the file and the field."""
    try:
        return ModelCard.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as invalid:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors())
        raise ModelError(f"{path}: {problems}; correct the card") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}; correct the card") from None


def best_detector() -> ModelPackage:
    """The detector a demo runs with nothing said: the first of DESIGN 9's order that is there, loudly named."""
    try:
        return find_model("yolox-nano")
    except ModelError as missing:
        log.warning(str(missing))
    try:
        pull("yolox-nano")
        return find_model("yolox-nano")
    except ModelError as missing:
        log.warning(str(missing))
    log.warning("NO TRAINED DETECTOR IS HERE: running OpenCV's HOG people detector. It sees upright people only.")
    return ModelPackage(OPENCV_HOG, None)


def pull(name: str) -> Path:
    """Fetch a model's file from its publisher into the cache, checked against the pinned digest. Raises ModelError."""
    card = PINNED.get(name)
    if card is None or card.file is None:
        raise ModelError(f"model {name!r} is not one that can be fetched; known: {', '.join(PINNED)}")
    if card.url is None:
        raise ModelError(f"model {name!r}: no publisher's address is known; put {card.file} into {cache_dir('models')}")
    target = cache_dir("models") / card.file
    try:
        data = _fetch(card.url)
    except httpx.HTTPError as error:
        raise ModelError(
            f"model {name!r}: {card.url} could not be reached ({error}); put {card.file} into {target.parent}, "
            "or set HOABAN_MODEL_PATH"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"model {name!r}: {card.url} gave sha256 {digest[:12]}…, {card.sha256[:12]}… is pinned; not kept"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(data)
    os.replace(part.name, target)
    return target


@retry(
    stop=stop_after_attempt(2),
    wait=wait_exponential_jitter(0.2, 2),
    retry=retry_if_exception_type(httpx.TransportError),
    reraise=True,
)
def _fetch(url: str) -> bytes:
    response = httpx.get(url, follow_redirects=True, timeout=httpx.Timeout(60, connect=5))
    response.raise_for_status()
    return response.content


def find_clip(name: str) -> Path:
    """A demo clip. Raises ModelError with the folders searched."""
    if (path := _find_file("clips", name)) is not None:
        return path
    folders = ", ".join(str(folder) for folder in search_path("clips"))
    raise ModelError(
        f"clip {name!r} was not found in {folders}; put a video of that name there, or set HOABAN_CLIP_PATH"
    )


def _find_file(kind: str, name: str) -> Path | None:
    found: Iterator[Path] = (folder / name for folder in search_path(kind) if (folder / name).is_file())
    return next(found, None)


@lru_cache(maxsize=64)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
