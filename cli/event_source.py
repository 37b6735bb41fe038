"""What an event was made from, as far as it is still here: its recording, and its model."""

import json
from dataclasses import dataclass
from pathlib import Path

from actors.models import ModelError, find_model
from actors.models.files import ModelPackage
from actors.proof.files import PackageFiles
from hoaban.events import Event, ModelRef
from hoaban.evidence.manifest import CANDIDATE, CLIP
from hoaban.fleet import Camera
from hoaban.source_address import SourceAddress


class NothingError(Exception):
    """It is not here any more; the message says what."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What an event was seen in. starts_s: capture time of the first frame; None: of a file, to be found by the event's
    frame number. what: for people."""

    source: SourceAddress
    what: str
    starts_s: float | None


def package_of(model: ModelRef) -> ModelPackage:
    """The package of exactly this model, file and card. Raises NothingError that says what of it is not here.

    Events of old name no card: of those the file decides.
    """
    name = f"model {model.name}@{model.version}"
    try:
        package = find_model(f"{model.name}@{model.version}")
    except ModelError as error:
        raise NothingError(str(error)) from None
    if package.card.sha256 != model.digest:
        raise NothingError(f"{name} with the digest {model.digest[:12]}… is not here")
    if model.card not in (None, package.ref.card):
        raise NothingError(
            f"{name} is here with another card (sha256 {package.card.digest()[:12]}…, the event's was "
            f"{model.card[:12]}…): it was edited under the same version; put the old one back"
        )
    return package


def recording_of(event: Event, camera: Camera, files: PackageFiles, scratch: Path | None) -> Recording:
    """What the event was seen in. scratch: a folder to put a clip into; None: it is only asked about.

    Raises NothingError.
    """
    if files.has(event.id, CLIP) and files.has(event.id, CANDIDATE):
        clip = json.loads(files.read(event.id, CANDIDATE)).get("clip")
        if clip is not None:
            path = Path("clip.mp4") if scratch is None else scratch / f"{event.id}.mp4"
            if scratch is not None:
                path.write_bytes(files.read(event.id, CLIP))
            return Recording(SourceAddress(str(path)), "the clip of its evidence", float(clip["from_s"]))
    source = camera.source
    if source.is_file and Path(source.reveal()).is_file():
        return Recording(source, f"the file {source}", None)
    if source.simulated:
        raise NothingError("its camera was simulated and no clip of it was kept; give `hoaban replay` a duration")
    raise NothingError("no clip of it was kept (its rule makes no evidence), and its camera's source is no file here")
