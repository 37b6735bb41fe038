"""`hoaban events`: what an event rests on, and the same event again from its recording."""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import sqlalchemy as sa
import typer

from actors.configs import ConfigArchive, ConfigMissingError
from actors.models import ModelError, load_detector
from actors.picture import Picture
from actors.proof.files import PackageFiles
from actors.reader import open_frames
from actors.source import SourceError
from actors.store import AuditStore, EventStore
from cli import dead_letters
from cli.common import data_folder, print_json, refuse, store_or_refuse
from cli.event_labels import export_coco
from cli.event_source import NothingError, Recording, package_of, recording_of
from cli.recording import record
from cli.replay import run
from cli.replay_plates import plate_watcher
from hoaban import __version__
from hoaban.again import Again, begins_s, find_again, model_of
from hoaban.events import EVENT_TYPE_PREFIX, Event, format_time
from hoaban.fleet_text import redact

app = typer.Typer(no_args_is_help=True, help="Events: what one rests on, and the same one again from its recording.")
app.add_typer(dead_letters.app, name="dead")
app.command("export-coco")(export_coco)

Id = Annotated[str, typer.Argument(metavar="ID", help="the event's id")]
Data = Annotated[Path | None, typer.Option(help="folder of `hoaban up`; HOABAN_STORE_URL names another store")]
EvidenceUrl = Annotated[
    str | None,
    typer.Option(envvar="HOABAN_EVIDENCE_URL", help="where evidence is; by default evidence in the data folder"),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]


@app.command()
def show(id: Id, data: Data = None, evidence: EvidenceUrl = None, as_json: AsJson = False) -> None:
    """What an event rests on: model, configuration, calibration, code, frame; and what of it is still here."""
    with _store(data) as (folder, store):
        event = _event(store, id)
        told = _provenance(event, folder, _files(folder, evidence))
    if as_json:
        print_json(told)
        return
    model, frame = told["model"], told["frame"]
    print(f"event        {id}  {event.type}  {told['time']}")
    print(f"camera       {event.camera}  rule {event.data.get('rule')}")
    print(f"model        {model['name']}@{model['version']}  {model['digest']}  {_here(told['model_here'])}")
    if told["model_missing"]:
        print(f"             {told['model_missing']}")
    print(f"config       {told['config']}  {_here(told['config_here'])}")
    print(f"calibration  {told['calibration'] or 'none'}")
    print(f"code         {told['code']}{'' if told['code_same'] else f' (this is {__version__})'}")
    print(f"frame        {frame['seq']}  {frame['width']}x{frame['height']}")
    print(f"recording    {told['recording']}")


@app.command("replay")
def replay_(id: Id, data: Data = None, evidence: EvidenceUrl = None, as_json: AsJson = False) -> None:
    """Give an event again: its recording, through the configuration and the model that made it.

    The recording is the clip of its evidence, or the file that the camera read. Exit code 0: the same event came out;
    1: it did not, or something that it rests on is not there any more, which is said.
    """
    cv2.setNumThreads(1)
    with _store(data) as (folder, store):
        event = _event(store, id)
        try:  # its recording is unblurred: that it was read is on record
            record(AuditStore(store.engine), "event.replay", id, camera=event.camera)
        except sa.exc.SQLAlchemyError as error:
            refuse(f"the store does not take it: {redact(str(error).splitlines()[0])}")
        try:
            again, recording = _again(event, folder, _files(folder, evidence))
        except (NothingError, ModelError, SourceError, ConfigMissingError) as error:
            print(f"hoaban events: {id}: cannot be given again: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
    notes = [] if event.data.get("code") == __version__ else [f"made by code {event.data.get('code')}, not this one"]
    if as_json:
        found = None if again.found is None else again.found.to_cloudevent()
        told = {"event": event.to_cloudevent(), "again": found, "same": again.same, "apart_s": again.apart_s}
        print_json(told | {"within_s": again.within_s, "recording": recording.what, "notes": notes})
    else:
        print(f"{id}: {event.type} at {format_time(event.time)}, from {recording.what}")
        if again.found is not None:
            print(f"the same event came out, {again.apart_s:+.3f} s apart (within {again.within_s:.3f} s)")
        elif again.apart_s is not None:
            print(f"it did not come out: the nearest like it is {again.apart_s:+.3f} s apart")
        else:
            print("it did not come out: none like it was found")
        for note in notes:
            print(note, file=sys.stderr)
    if not again.same:
        raise typer.Exit(1)


@contextmanager
def _store(data: Path | None) -> Iterator[tuple[Path, EventStore]]:
    folder = data_folder(data)
    store = store_or_refuse(folder)
    try:
        yield folder, store
    finally:
        store.close()


def _files(folder: Path, url: str | None) -> PackageFiles:
    return PackageFiles(url or str(folder / "evidence"))


def _event(store: EventStore, id: str) -> Event:
    if (event := store.find(id)) is None:
        refuse(f"there is no event {id!r} in the store; ids are in /events of the API, and in event files")
    return event


def _here(here: bool) -> str:
    return "here" if here else "NOT HERE"


def _provenance(event: Event, folder: Path, files: PackageFiles) -> dict[str, Any]:
    model, config = model_of(event), str(event.data.get("config"))
    archive, missing = ConfigArchive(folder), ""
    try:
        package_of(model)
    except NothingError as error:
        missing = str(error)
    try:
        recording = recording_of(event, archive.find(config), files, None).what
    except (NothingError, ConfigMissingError) as error:
        recording = f"none: {error}"
    return {
        "id": event.id,
        "type": event.type,
        "camera": event.camera,
        "time": format_time(event.time),
        "model": model.as_dict(),
        "model_here": not missing,
        "model_missing": missing,
        "config": config,
        "config_here": archive.has(config),
        "calibration": event.data.get("calibration"),
        "code": event.data.get("code"),
        "code_same": event.data.get("code") == __version__,
        "frame": event.data.get("frame"),
        "recording": recording,
    }


def _again(event: Event, folder: Path, files: PackageFiles) -> tuple[Again, Recording]:
    """Raises NothingError, ModelError, SourceError, ConfigMissingError."""
    if event.type == EVENT_TYPE_PREFIX + "face_watchlist":
        raise NothingError("it rests on the watchlist of its day, of which nothing is kept that is not on it any more")
    camera = ConfigArchive(folder).find(str(event.data.get("config")))
    detector = load_detector(package_of(model_of(event)), threads=1, device="cpu")
    detector.warm_up()
    period_s = 1 / camera.sweeps_per_s
    with tempfile.TemporaryDirectory(prefix="hoaban-again-") as scratch:
        recording = recording_of(event, camera, files, Path(scratch))
        times = [picture.meta.captured_s for picture in open_frames(recording.source, camera.id)]
        step_s = (times[-1] - times[0]) / max(1, len(times) - 1)
        event_s = event.time.timestamp()
        if recording.starts_s is None:
            seq = int(event.data["frame"]["seq"])
            # The number counts on through the passes of a looped file.
            media_s = times[seq % len(times)]
        else:
            media_s = times[0] + event_s - recording.starts_s
        shift_s = event_s - media_s
        from_s = times[0] if recording.starts_s is None else begins_s(media_s, times[0], period_s) - step_s / 2
        out = io.StringIO()
        run(
            camera,
            recording.source,
            detector,
            out,
            plates=plate_watcher(camera, folder if camera.plate_rules else None),
            moved=lambda picture: _moved(picture, from_s, shift_s),
        )
    given = [Event.from_json(line) for line in out.getvalue().splitlines()]
    return find_again(event, given, period_s + step_s), recording


def _moved(picture: Picture, from_s: float, shift_s: float) -> Picture | None:
    """A picture by the clock of the event; None for one before the replay begins."""
    if picture.meta.captured_s < from_s:
        return None
    return replace(picture, meta=replace(picture.meta, captured_s=picture.meta.captured_s + shift_s))
