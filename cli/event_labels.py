"""`hoaban events export-coco`: pictures of any events, from the recordings that are still here, to who labels."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from actors.blur import FaceBlur, anonymous, blind
from actors.configs import ConfigArchive, ConfigMissingError
from actors.labels import files_of, write_labels
from actors.models import ModelError, load_detector
from actors.models.base import in_short
from actors.picture import Picture
from actors.privacy import PrivacyMask
from actors.proof.files import PackageFiles
from actors.reader import open_frames
from actors.shadow_watch import sights
from actors.source import SourceError
from actors.store import EventStore
from cli.common import data_folder, fleet_or_refuse, new_folder_or_refuse, refuse, store_or_refuse
from cli.event_source import NothingError, Recording, package_of, recording_of
from cli.recording import recorded
from hoaban.again import model_of
from hoaban.coco import FILE
from hoaban.detections import Detections
from hoaban.events import EVENT_TYPE_PREFIX, Event, ModelRef, format_time
from hoaban.fleet import Camera, Fleet
from hoaban.models.backend import Detector
from hoaban.terms import MODEL_TRIALS, Terms
from hoaban.withheld import of_a_list

WIDTH = 1280
JPEG_QUALITY = 85
DAY_S = 86_400.0


def export_coco(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder")],
    fleet: Annotated[list[Path], typer.Option(help="the fleet file of now: its owners' terms and privacy zones count")],
    reason: Annotated[str, typer.Option(help="why they leave, and to whom; it goes into the audit chain")],
    type: Annotated[str | None, typer.Option(help="of this type of event only")] = None,
    camera: Annotated[str | None, typer.Option(help="of this camera only")] = None,
    since: Annotated[datetime | None, typer.Option(help="captured from then on, UTC", formats=["%Y-%m-%d"])] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="of the newest so many events")] = 100,
    data: Annotated[
        Path | None, typer.Option(help="folder of `hoaban up`; HOABAN_STORE_URL names another store")
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(envvar="HOABAN_EVIDENCE_URL", help="where evidence is; by default evidence in the data folder"),
    ] = None,
) -> None:
    """Pictures in which events were found, with COCO JSON to correct, into a new folder.

    They come from the clip of an event's evidence, or from the file that its camera read; of other events no picture is
    kept. The boxes are what the event's model sees in them. Faces and plates are hidden. Exit code 1: there is none.
    """
    cv2.setNumThreads(1)
    new_folder_or_refuse(folder)
    if len(reason.strip()) < 10:
        refuse("--reason: ten characters at least; say why they leave, and to whom")
    known, where = fleet_or_refuse(fleet), data_folder(data)
    store = store_or_refuse(where)
    try:
        events = _events(store, type, camera, since, limit)
    finally:
        store.close()
    export = _Export(known, ConfigArchive(where), PackageFiles(evidence or str(where / "evidence")))
    groups = export.groups(events)
    pictures: list[tuple[dict[str, Any], bytes]] = []
    if groups:
        ids = [event.id for group in groups for event in group.events]
        cameras = sorted({group.camera.id for group in groups})
        with recorded(where, "model.export", "events", reason=reason, events=ids, cameras=cameras):
            for group in groups:  # unblurred recordings are read from here on
                pictures += export.pictures(group)
            if pictures:
                try:
                    write_labels(folder, files_of(pictures))
                except OSError as error:
                    refuse(f"{folder}: cannot be written: {error}; name a folder that has room")
    for why, n in export.left_out.most_common():
        print(f"{n} left out: {why}", file=sys.stderr)
    if not pictures:
        print("hoaban events: no event is there whose picture you may have", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{folder / FILE}: {len(pictures)} pictures; correct it and give it to `hoaban models import-coco {folder}`")


def _events(store: EventStore, type: str | None, camera: str | None, since: datetime | None, limit: int) -> list[Event]:
    kind = None if type is None else EVENT_TYPE_PREFIX + type.removeprefix(EVENT_TYPE_PREFIX)
    since_s = None if since is None else since.replace(tzinfo=UTC).timestamp()
    return [one.event for one in store.page(type=kind, camera=camera, since_s=since_s, limit=limit).events]


@dataclass(frozen=True, slots=True)
class _Group:
    """Events of one recording, of a camera as it was configured then, by one model."""

    camera: Camera
    model: ModelRef
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class _Export:
    """left_out: why events gave no picture, in words."""

    fleet: Fleet
    configs: ConfigArchive
    files: PackageFiles
    left_out: Counter[str] = field(default_factory=Counter)
    _detectors: dict[ModelRef, Detector] = field(default_factory=dict)
    _blur: FaceBlur | None = None

    def groups(self, events: Iterable[Event]) -> list[_Group]:
        """Events by their recording, those that may leave and whose recording and model are here."""
        found: dict[tuple[str, str, ModelRef], _Group] = {}
        for event in events:
            try:
                self._may_leave(event)
                camera, model = self.configs.find(str(event.data.get("config"))), model_of(event)
                package_of(model)
                _seq(event)
                recording = recording_of(event, camera, self.files, None)
            except (NothingError, ConfigMissingError, ValueError) as error:
                self.left_out[str(error)] += 1
                continue
            source = recording.source.reveal() if recording.starts_s is None else event.id  # each clip is its event's
            found.setdefault((source, camera.digest(), model), _Group(camera, model)).events.append(event)
        return list(found.values())

    def _may_leave(self, event: Event) -> None:
        """Raises NothingError. Nobody asks in a role here, so what an owner shows to some is shown to none."""
        if of_a_list(event):
            raise NothingError("it is a hit of a watchlist, which is not for who labels")
        try:
            camera = self.fleet.camera(event.camera)
        except KeyError:
            raise NothingError(
                f"camera {event.camera} is not in the fleet file: its owner's terms are not known"
            ) from None
        terms = camera.terms or Terms()
        if not (terms.allows(MODEL_TRIALS) and terms.shows_to((), None, camera.owner)):
            raise NothingError(f"the owner of camera {camera.id} does not give its pictures to this (terms)")
        days = terms.retention_days
        if days is not None and time.time() - event.time.timestamp() > days * DAY_S:
            raise NothingError(f"it is over the term of the owner of camera {camera.id}")

    def pictures(self, group: _Group) -> list[tuple[dict[str, Any], bytes]]:
        """What is known of each picture (as hoaban/coco.py wants it), and its JPEG."""
        camera, events = group.camera, group.events
        privacy = PrivacyMask((*camera.privacy_zones, *self.fleet.camera(camera.id).privacy_zones))
        try:
            with tempfile.TemporaryDirectory(prefix="hoaban-labels-") as scratch:
                recording = recording_of(events[0], camera, self.files, Path(scratch))
                by_frame, detector = _by_frame(recording, events), self._detector(group.model)
                frames = enumerate(open_frames(recording.source, camera.id, privacy=privacy))
                wanted = ((picture, by_frame[number]) for number, picture in frames if number in by_frame)
                made = [self._picture(group, detector, picture, events) for picture, events in wanted]
        except (NothingError, ModelError, SourceError) as error:
            self.left_out[str(error)] += len(events)
            return []
        return [one for one in made if one is not None]

    def _detector(self, model: ModelRef) -> Detector:
        if model not in self._detectors:
            self._detectors[model] = load_detector(package_of(model), threads=1, device="cpu")
        return self._detectors[model]

    def _picture(
        self, group: _Group, detector: Detector, picture: Picture, events: list[Event]
    ) -> tuple[dict[str, Any], bytes] | None:
        seen, image = _look(detector, picture), picture.bgr(WIDTH)
        scale = np.float32(image.shape[1] / picture.meta.width)
        self._blur = self._blur or FaceBlur()
        hidden, how = anonymous(image, [replace(seen, boxes=seen.boxes * scale)], self._blur)
        if how != "faces":
            unknown = blind([detector.labels])
            why = f"its model has no class for {unknown}" if unknown else "no face detector is here (yunet)"
            self.left_out[f"faces and plates could not be hidden but by a mosaic of the whole: {why}"] += len(events)
            return None
        jpeg = cv2.imencode(".jpg", hidden, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        sure = seen.scores >= group.camera.min_score
        surely = replace(seen, boxes=seen.boxes[sure], scores=seen.scores[sure], classes=seen.classes[sure])
        return {
            "id": events[0].id,
            "camera": group.camera.id,
            "role": group.camera.role.value,
            "time": format_time(events[0].time),
            "primary": group.model.as_dict(),
            "events": [{"id": event.id, "type": event.type.removeprefix(EVENT_TYPE_PREFIX)} for event in events],
            "differences": [],
            "sights": {"primary": sights(surely, float(scale))},
            "labels": {"primary": list(detector.labels), "candidate": []},
            "width": hidden.shape[1],
            "height": hidden.shape[0],
            "simulated": picture.meta.simulated,
        }, jpeg


def _look(detector: Detector, picture: Picture) -> Detections:
    """What a model sees in a picture, in the frame's pixels. Raises ModelError."""
    pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
    try:
        (rows,) = detector.infer(pixels[None])
    except Exception as error:  # each back end raises its own kinds
        raise ModelError(f"model {detector.ref.name!r} fails on a picture: {in_short(error)}") from None
    return Detections.from_rows(rows, letterbox, tuple(detector.labels), picture.meta.width, picture.meta.height)


def _seq(event: Event) -> int:
    """The number of the frame that an event was found in. Raises ValueError."""
    frame = event.data.get("frame")
    if not isinstance(frame, dict) or not isinstance(frame.get("seq"), int):
        raise ValueError("it names no frame")
    return int(frame["seq"])


def _by_frame(recording: Recording, events: list[Event]) -> dict[int, list[Event]]:
    """Which frames of a recording events were found in. Raises SourceError."""
    times = np.array([picture.meta.captured_s for picture in open_frames(recording.source, events[0].camera)])
    found: dict[int, list[Event]] = {}
    for event in events:
        if recording.starts_s is None:  # the number counts on through the passes of a looped file
            number = _seq(event) % len(times)
        else:
            number = int(np.argmin(np.abs(times - times[0] - (event.time.timestamp() - recording.starts_s))))
        found.setdefault(number, []).append(event)
    return found
