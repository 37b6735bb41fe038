"""`hoaban replay`: the pipeline over a recorded file, every analysed frame in order, the same result every time."""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from actors.evidence import EvidenceKeeper, ring_seconds
from actors.models import ModelError, find_model, load_detector
from actors.plate_watch import PlateWatcher
from actors.preroll import PacketRing
from actors.source import SourceError, open_frames
from cli.common import fleet_or_refuse, print_json, refuse
from cli.replay_faces import ReplayFaces
from cli.replay_plates import plate_watcher
from hoaban import __version__
from hoaban.fleet import Camera, Fleet
from hoaban.models.backend import Detector
from hoaban.pipeline import CameraPipeline
from hoaban.sampling import FrameSampler
from hoaban.tiling import Part, Sweeps

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
    """Run a camera's pipeline over a recording. Media time is the clock: two runs give identical files."""
    cv2.setNumThreads(1)
    known = fleet_or_refuse(fleet)
    try:
        spec = known.camera(camera)
    except KeyError:
        refuse(f"{fleet[0]}:1: cameras: no camera {camera!r}; it has: {', '.join(c.id for c in known.cameras)}")
    try:
        # One thread for one frame: the order of floating-point sums must not depend on the machine's load.
        name = model or _model_for(known, spec, source)
        detector = load_detector(find_model(name), threads=1, device="cpu")
        detector.warm_up()
        faces, plates = ReplayFaces.of(spec, watchlist), plate_watcher(spec, watchlist)
        summary = run(spec, source or spec.source, detector, out, faces, evidence, plates)
    except (ModelError, SourceError) as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{out}: cannot be written: {error.strerror}; name a folder that is there and may be written")
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


def _model_for(fleet: Fleet, camera: Camera, source: str | None) -> str:
    """The camera's model; where that was only the default of its own source, the default of the one replayed."""
    own = camera.model or fleet.default_model(camera.source)
    if source is not None and own == fleet.default_model(camera.source):
        return fleet.default_model(source)
    return own


def run(
    camera: Camera,
    source: str,
    detector: Detector,
    out: Path,
    faces: ReplayFaces | None = None,
    evidence: Path | None = None,
    plates: PlateWatcher | None = None,
) -> dict[str, object]:
    """Replay a recording into `out`; what `--json` prints. Raises SourceError, OSError."""
    pipeline = CameraPipeline(camera, detector.ref, __version__)
    sampler, sweeps = FrameSampler(camera.sweeps_per_s), Sweeps(camera.tiles)
    batch = np.empty((1, detector.input_height, detector.input_width, 3), np.uint8)
    read = analysed = 0
    media_s = 0.0
    kinds: Counter[str] = Counter()
    started = time.perf_counter()
    ring = None if evidence is None else PacketRing(ring_seconds(camera), RING_BYTES)
    keeper = None if evidence is None or ring is None else EvidenceKeeper(camera, str(evidence), ring.cut, live=False)
    # Written beside and moved into place: a run that breaks leaves no half file behind.
    with tempfile.NamedTemporaryFile("w", dir=out.parent, delete=False, encoding="utf-8") as file:
        part = Path(file.name)
        try:
            for picture in open_frames(source, camera.id, ring):
                read += 1
                media_s = picture.meta.captured_s
                events = [] if faces is None else faces.step(picture)
                if sampler.due(media_s):
                    analysed += 1
                    sweep = sweeps.begin(picture.meta.width, picture.meta.height)
                    for crop in sweep.pieces:
                        _, letterbox = picture.model_input(detector.input_width, detector.input_height, batch[0], crop)
                        (rows,) = detector.infer(batch)
                        sweep.parts.append(Part(rows, letterbox))
                    views = picture.views(pipeline.views(picture.meta))
                    step = pipeline.step_parts(picture.meta, sweep.parts, detector.labels, views)
                    found, pins = step.events, pipeline.pins()
                    if plates is not None:
                        found += plates.see(picture, step.tracks, detector.ref)
                        pins |= plates.pins()
                    if keeper is not None:
                        found = keeper.take(picture, found, pins)
                    events += found
                for event in events:
                    kinds[event.type] += 1
                    file.write(event.to_json() + "\n")
            if keeper is not None:
                keeper.stop()
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    os.chmod(part, 0o644)
    part.replace(out)
    return {
        "camera": camera.id,
        "frames_read": read,
        "frames_analysed": analysed,
        "events": dict(kinds),
        "counts": pipeline.counts,
        "turns": pipeline.turns,
        "wall_s": round(time.perf_counter() - started, 3),
        "media_s": round(media_s, 3),
        "model": detector.ref.as_dict(),
        **({} if faces is None else {"faces": faces.summary()}),
        **({} if plates is None else {"plates": plates.status()}),
    }
