"""Where model files and demo clips are found (DESIGN 9). Fetching is in actors/models/pull.py."""

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml
from platformdirs import user_cache_path
from pydantic import ValidationError

from hoaban.events import ModelRef
from hoaban.models.backend import ModelError
from hoaban.models.card import PINNED, ModelCard

CARD_FILE = "card.yaml"
MOST_CARD_CHARACTERS = 2**18
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

    A bare NAME is the pinned version, or else the lowest one: a version that is put beside it does not take its place
    (hoaban/models/promotion.py says what does). The same version twice is the first on the search path.

    A card that cannot be read is no reason for another model not to run: one may lie there half copied. Raises
    ModelError when no card has that name, when its file is nowhere, or has another digest than its card.
    """
    packages, broken = _read_all()
    try:
        return _found(name, packages)
    except ModelError:
        if broken:  # it may be the one that is wanted
            raise broken[0] from None
        raise


def _found(name: str, packages: list[ModelPackage]) -> ModelPackage:
    """Raises ModelError."""
    wanted, _, version = name.partition("@")
    cards = [package for package in packages if package.card.name == wanted]
    matching = [package for package in cards if version in ("", package.card.version)]
    if not matching:
        known = ", ".join(sorted({f"{p.card.name}@{p.card.version}" for p in cards or packages}))
        raise ModelError(f"model {name!r} is not known; known: {known}")
    package = matching[0]
    if package.card.name not in PINNED:
        package = min(matching, key=lambda package: version_key(package.card.version))
    if package.card.file is None:
        return package
    if package.path is None:
        folders = ", ".join(str(folder) for folder in search_path("models"))
        cure = f"run `hoaban models pull {wanted}`" if package.card.url else "put the file into one of these folders"
        raise ModelError(
            f"model {name!r}: {package.card.file} was not found in {folders}; {cure}, or set HOABAN_MODEL_PATH"
        )
    return _checked(package)


def version_key(version: str) -> list[tuple[int, str]]:
    """Orders versions as people do: 1.9 before 1.10."""
    return [(int(part or 0), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", version)]


def open_package(what: str) -> ModelPackage:
    """The package in a folder with a card, or that of a model, NAME or NAME@VERSION. Raises ModelError."""
    folder = Path(what).expanduser()
    if not (folder / CARD_FILE).is_file():
        return find_model(what)
    card = read_card(folder / CARD_FILE)
    if card.file is None:
        return ModelPackage(card, None)
    path = folder / card.file
    if not path.is_file():
        raise ModelError(f"model {card.name!r}: {path} is missing; put it beside its card")
    return _checked(ModelPackage(card, path))


def _checked(package: ModelPackage) -> ModelPackage:
    """The same, when its file is the one of its card. Raises ModelError."""
    name, path = package.card.name, package.path
    if path is None:
        return package
    stat = path.stat()
    digest = _digest(path, stat.st_mtime_ns, stat.st_size)
    if digest != package.card.sha256:
        raise ModelError(
            f"model {name!r}: {path} has sha256 {digest[:12]}…, its card says {package.card.sha256[:12]}…; "
            "the file is damaged or another version: fetch it again or correct the card"
        )
    return package


def list_models() -> list[ModelPackage]:
    """Every known model: the pinned ones, and each folder with a card on the search path. Raises ModelError."""
    packages, broken = _read_all()
    if broken:
        raise broken[0]
    return packages


def readable_models() -> list[ModelPackage]:
    """`list_models` without those whose card cannot be read."""
    return _read_all()[0]


def _read_all() -> tuple[list[ModelPackage], list[ModelError]]:
    packages = [ModelPackage(card, _find_card_file(card)) for card in PINNED.values()]
    broken: list[ModelError] = []
    for folder in search_path("models"):
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")) if folder.is_dir() else ():
            try:
                card = read_card(card_file)
            except ModelError as error:
                broken.append(error)
                continue
            path = card_file.parent / card.file if card.file else None
            packages.append(ModelPackage(card, path if path and path.is_file() else _find_card_file(card)))
    return packages, broken


def read_card(path: Path) -> ModelCard:
    """A card from YAML. Raises ModelError that names the file and the field."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CARD_CHARACTERS + 1)
        if len(text) > MOST_CARD_CHARACTERS:
            raise ValueError(f"more than {MOST_CARD_CHARACTERS} characters are no card")
        return ModelCard.model_validate(yaml.safe_load(text))
    except ValidationError as invalid:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors())
        raise ModelError(f"{path}: {problems}; correct the card") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}; correct the card") from None


def find_clip(name: str) -> Path:
    """A demo clip. Raises ModelError with the folders searched."""
    if (path := _find_file("clips", name)) is not None:
        return path
    folders = ", ".join(str(folder) for folder in search_path("clips"))
    raise ModelError(
        f"clip {name!r} was not found in {folders}; put a video of that name there, or set HOABAN_CLIP_PATH"
    )


def find_weights(name: str) -> Path | None:
    """A weight file of deepface: in its own folder, in a package that ships some, or where all models are."""
    home = Path(os.environ.get("DEEPFACE_HOME") or Path.home())
    folders = [home / ".deepface" / "weights"]
    if (package := importlib.util.find_spec("face_recognition_models")) and package.origin:
        folders.append(Path(package.origin).parent / "models")
    beside = (folder / name for folder in folders if (folder / name).is_file())
    return next(beside, None) or _find_file("models", name)


def _find_card_file(card: ModelCard) -> Path | None:
    if card.file is None:
        return None
    return find_weights(card.file) if card.backend == "deepface" else _find_file("models", card.file)


def _find_file(kind: str, name: str) -> Path | None:
    found: Iterator[Path] = (folder / name for folder in search_path(kind) if (folder / name).is_file())
    return next(found, None)


@lru_cache(maxsize=64)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
