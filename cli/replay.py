"""`hoaban replay`: the pipeline over a recorded file, every analysed frame in order, the same result every time."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TextIO

import cv2
import structlog
import typer

from actors.evidence import EvidenceKeeper, ring_seconds
from actors.looking import Looker
from actors.models import ModelError, find_model, load_detector
from actors.picture import Picture
from actors.plate_watch import PlateWatcher
from actors.preroll import PacketRing
from actors.privacy import PrivacyMask
from actors.source import SourceError, open_frames
from cli.common import fleet_or_refuse, print_json, refuse, written
from cli.replay_faces import ReplayFaces
from cli.replay_plates import plate_watcher
from cli.trouble import TroubleError
from hoaban import __version__
from hoaban.admission import Admission
from hoaban.events import Event
from hoaban.fleet import Camera, Fleet
from hoaban.models.backend import Detector
from hoaban.pipeline import CameraPipeline
from hoaban.source_address import SourceAddress

log = structlog.get_logger(__name__)

RING_BYTES = 64 * 2**20


def replay(
    fleet: Annotated[list[Path], typer.Argument(metavar="FLEET")],
    camera: Annotated[str, typer.Option(help="camera id")],
    out: Annotated[Path, typer.Option(help="events are written here, one JSON object a line")],
    source: Annotated[
        str | None, typer.Option(help="recorded file, or sim:// with a duration; by default the camera's source")
    ] = None,
    model: Annotated[str | None, typer.Option(help="NAME[@VERSION]; by default the camera's model")] = None,
    watchlist: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA", help="data folder whose watchlists face and plate rules search; without it they are silent"
        ),
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="folder for evidence candidates: stills, clip, plate; by default none are kept")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="a summary as one JSON document")] = False,
) -> None:
    """Run a camera's pipeline over a recording. Media time is the clock: two runs give identical files.

    The frames that a live camera would analyse are analysed, every one of them: those due by analysis_fps and, with the
    motion gate, those in which something moves. Ends with 1 when the model, or a rule, failed on all of them.
    """
    cv2.setNumThreads(1)
    known = fleet_or_refuse(fleet)
    try:
        spec = known.camera(camera)
    except KeyError:
        refuse(f"{fleet[0]}:1: cameras: no camera {camera!r}; it has: {', '.join(c.id for c in known.cameras)}")
    try:
        # One thread for one frame: the order of floating-point sums must not depend on the machine's load.
        recording = spec.source if source is None else _recording(source)
        name = model or _model_for(known, spec, recording)
        detector = load_detector(find_model(name), threads=1, device="cpu")
        detector.warm_up()
        faces, plates = ReplayFaces.of(spec, watchlist), plate_watcher(spec, watchlist)
        if evidence is not None:
            evidence.mkdir(parents=True, exist_ok=True)
        inputs = [*fleet, *([Path(recording.reveal())] if recording.is_file else [])]
        with written(out, inputs) as file:
            summary = run(spec, recording, detector, file, faces, evidence, plates)
    except (ModelError, SourceError, TroubleError) as error:
        refuse(str(error))
    except OSError as error:
        refuse(
            f"{error.filename or evidence}: {error.strerror or error}; name a folder that is there and may be written"
        )
    for name, rule in faces.summary()["rules"].items() if faces else ():
        if rule["silent"]:
            print(f"{name} was silent: {rule['silent']}", file=sys.stderr)
    if as_json:
        print_json(summary)
    else:
        print(
            f"{summary['frames_analysed']} of {summary['frames_read']} frames, {summary['media_s']} s of video, "
            f"{sum(summary['events'].values())} events: {out}"
        )
    if summary["frames_failed"]:
        print(f"the model, or a rule, failed on {summary['frames_failed']} frames; see the log", file=sys.stderr)
        if not summary["frames_analysed"]:
            raise typer.Exit(1)


def _recording(source: str) -> SourceAddress:
    address = SourceAddress(source)
    try:
        address.check()
    except ValueError as error:
        refuse(f"--source: {error}")
    return address


def _model_for(fleet: Fleet, camera: Camera, recording: SourceAddress) -> str:
    """The camera's model; where that was only the default of its own source, the default of the one replayed."""
    default = fleet.default_model(camera.source)
    own = camera.model or default
    return fleet.default_model(recording) if own == default else own


def run(
    camera: Camera,
    source: SourceAddress | str,
    detector: Detector,
    out: TextIO,
    faces: ReplayFaces | None = None,
    evidence: Path | None = None,
    plates: PlateWatcher | None = None,
    moved: Callable[[Picture], Picture | None] = lambda picture: picture,
) -> dict[str, object]:
    """Replay a recording into `out`; what `--json` prints. Raises SourceError, OSError.

    moved: gives a picture another time, or None to leave it out.
    """
    scene, admission = ReplayScene(camera, detector, plates), Admission.of_scene(camera)
    read = 0
    media_s = 0.0
    kinds: Counter[str] = Counter()
    started = time.perf_counter()
    ring = None if evidence is None else PacketRing(ring_seconds(camera), RING_BYTES)
    privacy = PrivacyMask(camera.privacy_zones)
    keeper = None
    if evidence is not None and ring is not None:
        keeper = EvidenceKeeper(camera, str(evidence), lambda *span: privacy.clip(ring.cut(*span)), live=False)
    for picture in filter(None, map(moved, open_frames(source, camera.id, ring, privacy))):
        read += 1
        media_s = picture.meta.captured_s
        events = [] if faces is None else faces.step(picture)
        found = scene.step(picture) if admission.admit(media_s, picture.luma) else None
        if found is not None:
            events += found if keeper is None else keeper.take(picture, found, scene.pins())
        for event in events:
            kinds[event.type] += 1
            out.write(event.to_json() + "\n")
    if keeper is not None:
        keeper.stop()
    return {
        "camera": camera.id,
        "frames_read": read,
        "frames_analysed": scene.analysed,
        "frames_gated": admission.gated,
        "frames_failed": scene.failed + (faces.failed if faces else 0),
        "events": dict(kinds),
        "counts": scene.pipeline.counts,
        "turns": scene.pipeline.turns,
        "wall_s": round(time.perf_counter() - started, 3),
        "media_s": round(media_s, 3),
        "model": replace(detector.ref, card=None).as_dict(),  # what scripts were promised; events have the card too
        **({} if faces is None else {"faces": faces.summary()}),
        **({} if plates is None else {"plates": plates.status()}),
    }


class ReplayScene:
    """A camera's detector and the pipeline behind it, one frame after the other (live: actors/scene_watch.py).

    As live, a frame on which the model or a rule fails is left out and counted, and the next one is analysed.
    """

    def __init__(self, camera: Camera, detector: Detector, plates: PlateWatcher | None = None) -> None:
        self._detector, self._plates = detector, plates
        self.pipeline = CameraPipeline(camera, detector.ref, __version__)
        self._looker = Looker(detector, camera.tiles)
        self.analysed = self._failed = 0

    @property
    def failed(self) -> int:
        """Frames, and pieces of frames, on which the model or a rule failed."""
        return self._failed + self._looker.failed

    def step(self, picture: Picture) -> list[Event] | None:
        """What a frame gives; None when it was not analysed."""
        meta = picture.meta
        try:
            parts = self._looker.look(picture)
            views = picture.views(self.pipeline.views(meta))
            step = self.pipeline.step_parts(meta, parts, self._detector.labels, views)
            read = [] if self._plates is None else self._plates.see(picture, step.tracks, self._detector.ref)
        except Exception:
            self._failed += 1
            if self._failed == 1:
                log.exception("frame not analysed; further ones are only counted", camera=meta.camera, seq=meta.seq)
            return None
        self.analysed += 1
        return step.events + read

    def pins(self) -> set[int]:
        """Numbers of the frames that may yet be needed as stills."""
        return self.pipeline.pins() | (set() if self._plates is None else self._plates.pins())
