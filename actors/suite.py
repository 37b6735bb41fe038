"""Suites of recordings with known happenings from disk."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hoaban.evaluation
from actors.models.files import find_clip
from hoaban.evaluation.report import Suited
from hoaban.evaluation.suite import parse_recording
from hoaban.fleet_text import FleetError, FleetErrors
from hoaban.fleet_yaml import MOST_CHARACTERS
from hoaban.models.backend import ModelError
from hoaban.source_address import SourceAddress

SHIPPED = Path(hoaban.evaluation.__file__).with_name("counts")
"""hand counts of the demo clips"""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A recording of a suite and where it is. source: a path, or sim://."""

    suited: Suited
    source: str


def load_suite(places: Sequence[Path] = (SHIPPED,)) -> list[OnDisk]:
    """The recordings of these files, and of every *.yaml of these folders.

    Raises FleetErrors with all that is wrong: files that are not as hoaban/evaluation/suite.py says, and recordings
    that are not there.
    """
    found: list[OnDisk] = []
    errors: list[FleetError] = []
    for path in _files(places, errors):
        try:
            found.append(_load(path))
        except FleetErrors as wrong:
            errors += wrong.errors
        except UnicodeDecodeError as error:
            errors.append(FleetError(str(path), 1, "", f"not UTF-8 text ({error.reason}); save it as UTF-8"))
        except OSError as error:
            errors.append(FleetError(str(path), 1, "", f"cannot be read: {error.strerror}; check the name and rights"))
    names = [one.suited.name for one in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        errors.append(FleetError(f"{name}.yaml", 1, "", "two recordings have this name; rename a file"))
    if errors:
        raise FleetErrors(errors)
    return found


def _files(places: Sequence[Path], errors: list[FleetError]) -> list[Path]:
    paths: list[Path] = []
    for place in places:
        inside = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not inside:
            errors.append(FleetError(str(place), 1, "", "no recording (*.yaml) is in this folder; name another"))
        paths += inside
    return list(dict.fromkeys(paths))


def _load(path: Path) -> OnDisk:
    with path.open("rb") as file:
        recording = parse_recording(str(path), file.read(4 * MOST_CHARACTERS + 1).decode("utf-8"))
    clip = recording.clip
    address = SourceAddress(clip)
    if address.simulated:
        try:
            address.check()
        except ValueError as error:
            raise FleetErrors([FleetError(str(path), 1, "clip", str(error))]) from None
        return OnDisk(Suited(path.stem, recording, hashlib.sha256(clip.encode()).hexdigest()), clip)
    beside = path.parent / clip
    try:
        source = beside if beside.is_file() else find_clip(clip)
    except ModelError as missing:
        raise FleetErrors([FleetError(str(path), 1, "clip", str(missing))]) from None
    with source.open("rb") as video:
        digest = hashlib.file_digest(video, "sha256").hexdigest()
    return OnDisk(Suited(path.stem, recording, digest), str(source))
