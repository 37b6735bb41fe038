"""Taking a model package in: checked as far as a machine can, then copied whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from actors.models.files import (
    CARD_FILE,
    ModelPackage,
    list_models,
    open_package,
    read_card,
    search_path,
    version_key,
)
from actors.models.smoke import LIMIT_S, MEMORY_BYTES, Tried, try_out
from hoaban.models.backend import ModelError
from hoaban.models.card import PINNED, ModelCard

LEAST_LEFT_BYTES = 256 * 2**20
"""on the disk of the model folder"""
SCRATCH, ABANDONED_S = ".adding-", 3600.0
"""where a package is copied to first; one as old as this was left by a process that was killed"""


def add(
    folder: Path, target: Path | None = None, limit_s: float = LIMIT_S, memory_bytes: int = MEMORY_BYTES
) -> tuple[Path, Tried]:
    """Check the package in a folder and copy it into the model folder; where it lies now, and how it ran.

    target: by default the first folder that models are searched in. The copy is what is checked and tried out, so
    nobody can exchange the file in between. Raises ModelError, and then nothing has changed.
    """
    if not (folder / CARD_FILE).is_file():
        raise ModelError(f"{folder}: no {CARD_FILE} is in it; write one, docs/models.md says how")
    _no_link(folder / CARD_FILE)
    card = read_card(folder / CARD_FILE)
    _check(card, folder)
    target = target or search_path("models")[0]
    place = target / f"{card.name}-{card.version}"
    try:
        target.mkdir(parents=True, exist_ok=True)
        _clear(target)
        _has_room(folder, card, target)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target) as scratch:
            copy = Path(scratch) / "package"
            copy.mkdir()
            for name in (CARD_FILE, card.file):
                if name is not None:
                    shutil.copyfile(folder / name, copy / name, follow_symlinks=False)
                    _no_link(copy / name)  # it was made one since it was looked at
            checked = open_package(str(copy))
            if checked.card != card:
                raise ModelError(f"{folder}: its card changed while it was read; try again")
            tried = try_out(copy, limit_s, memory_bytes)
            _beside_others(checked)
            try:
                os.rename(copy, place)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another was quicker, or has the same folder's name
                    raise ModelError(f"{place}: another model is there already; give it another version") from None
                raise
    except OSError as error:
        raise ModelError(f"{error.filename or place}: {error.strerror}; see that {target} may be written") from None
    return place, tried


def _clear(target: Path) -> None:
    """Remove what killed processes left of packages."""
    for left in target.glob(f"{SCRATCH}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def _no_link(path: Path) -> None:
    """What a link leads to is not the package's. Raises ModelError."""
    if path.is_symlink():
        raise ModelError(f"{path}: is a link; put the file itself there")


def _has_room(folder: Path, card: ModelCard, target: Path) -> None:
    """The copy may not fill the disk that cameras' events go to. Raises ModelError, OSError."""
    needed = 0 if card.file is None else (folder / card.file).stat().st_size
    if (free := shutil.disk_usage(target).free) < needed + LEAST_LEFT_BYTES:
        raise ModelError(
            f"{folder}: takes {needed // 2**20} MiB, {free // 2**20} MiB are free in {target} and "
            f"{LEAST_LEFT_BYTES // 2**20} have to stay; make room"
        )


def _check(card: ModelCard, folder: Path) -> None:
    """What can be said without running it. Raises ModelError."""
    what = f"{folder / CARD_FILE}"
    if card.file is not None:
        if Path(card.file).name != card.file:
            raise ModelError(f"{what}: file: {card.file!r} is not in this folder; put it there and name it alone")
        if not (folder / card.file).is_file():
            raise ModelError(f"{what}: file: {card.file} is missing; put it beside the card")
        _no_link(folder / card.file)
        if not card.sha256:
            raise ModelError(f"{what}: sha256: is missing; add that of {card.file} (`sha256sum {card.file}`)")
    for field in ("licence", "origin"):
        if not str(getattr(card, field)).strip():
            raise ModelError(f"{what}: {field}: is empty; say what holds for the file, if only that it is not known")
    if card.task == "detect" and not card.labels:
        raise ModelError(f"{what}: labels: are missing; name the classes in the order of the model's outputs")
    if len(set(card.labels)) < len(card.labels):
        raise ModelError(f"{what}: labels: one is given twice; name each class once")
    _beside_others(ModelPackage(card, None))


def _beside_others(package: ModelPackage) -> None:
    """It may change nothing that a name stands for already. Raises ModelError."""
    card = package.card
    versions = [known.card.version for known in list_models() if known.card.name == card.name]
    if card.version in versions:
        raise ModelError(f"model {card.ref.name}@{card.version} is here already; give it another version")
    lowest = min(versions, key=version_key, default=None)
    if card.name not in PINNED and lowest is not None and version_key(card.version) < version_key(lowest):
        raise ModelError(
            f"model {card.name!r}: version {card.version} is below {lowest}, which the bare name stands for; "
            "give it a higher one"
        )
