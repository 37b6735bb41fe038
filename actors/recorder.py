"""Evidence candidates on their way to storage: stills, the clip, the plate, and what binds them together.

A candidate is a folder named after its event: before.jpg, at.jpg, past.jpg, plate.jpg where one was found, clip.mp4 and
candidate.json with every file's sha256. It is written under another name and moved into place when it is whole, so a
folder that has the event's name is never half. Nothing in it is blurred; no route leads to it.
"""

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import cv2
import fsspec
import numpy as np
import structlog

from actors.preroll import Clip
from actors.stills import StillRing
from hoaban.events import Event
from hoaban.plates import Plate, combine
from hoaban.scene import Pixels

log = structlog.get_logger(__name__)

CANDIDATE_VERSION = 1
MOST_WAITING = 32
LATE_S = 15.0
"""a stream that stopped gives no more capture times: so long after the post-roll was due, what is there is written"""
LONGEST_CLIP_S = 40.0
"""a happening that took longer (parking) is shown around its end"""
PART = ".part"
MOMENTS = ("before", "at", "past")
CROP_MARGIN = 0.1


class Reader(Protocol):
    """Reads plates; see actors.plates.PlateReader."""

    def read(self, crop: Pixels) -> Any: ...


@dataclass(slots=True)
class _Job:
    event: Event
    stills: dict[str, bytes]
    from_s: float
    to_s: float
    pre_s: float = 0.0
    """of the pre-roll as it was set when the job began"""
    began: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class EvidenceFolder:
    """Where candidates lie: a folder, or a URL that fsspec knows (s3://…). Raises OSError when it cannot be written."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._root = fsspec.core.url_to_fs(url)
        protocol = self._fs.protocol
        self._renames = "file" in (protocol if isinstance(protocol, tuple | list) else (protocol,))

    def write_part(self, camera: str, event: str, files: dict[str, bytes]) -> None:
        """Write files of a candidate that is not whole yet."""
        folder = self._part(camera, event)
        self._fs.makedirs(folder, exist_ok=True)
        for name, data in files.items():
            self._fs.pipe_file(f"{folder}/{name}", data)

    def complete(self, camera: str, event: str, files: dict[str, bytes], candidate: dict[str, Any]) -> None:
        """Make the candidate whole, under its event's name. One that is there already stays as it is."""
        part, whole = self._part(camera, event), f"{self._root}/{event}"
        text = json.dumps(candidate, ensure_ascii=False, indent=1).encode()
        if self.whole(event):
            self._drop(part)
            return
        if self._renames:
            self.write_part(camera, event, files | {"candidate.json": text})
            self._fs.mv(part, whole, recursive=True)
            return
        # An object store cannot rename: candidate.json comes last there, and without it there is no candidate.
        for name, data in files.items():
            self._fs.pipe_file(f"{whole}/{name}", data)
        self._fs.pipe_file(f"{whole}/candidate.json", text)
        self._drop(part)

    def whole(self, event: str) -> bool:
        """Whether the event's candidate is there."""
        return bool(self._fs.exists(f"{self._root}/{event}/candidate.json"))

    def parts(self, camera: str) -> list[str]:
        """Events of the camera whose candidates were begun and never made whole."""
        folder = f"{self._root}/{PART}/{camera}"
        if not self._fs.exists(folder):
            return []
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(folder, detail=False))

    def read_part(self, camera: str, event: str) -> dict[str, bytes]:
        """The files of a candidate that is not whole."""
        folder = self._part(camera, event)
        paths = self._fs.ls(folder, detail=False)
        return {path.rsplit("/", 1)[-1]: self._fs.cat_file(path) for path in paths}

    def drop_part(self, camera: str, event: str) -> None:
        self._drop(self._part(camera, event))

    def _part(self, camera: str, event: str) -> str:
        return f"{self._root}/{PART}/{camera}/{event}"

    def _drop(self, folder: str) -> None:
        if self._fs.exists(folder):
            self._fs.rm(folder, recursive=True)


class Recorder:
    """Candidates of one camera. `claim` is quick and called beside the frames; `advance` does the work, elsewhere.

    clip: cuts the encoded stream between two capture times. reader: reads plates, or says in words why nobody does.
    clock: what is known of the clock that the capture times are by.
    """

    def __init__(
        self,
        camera: str,
        folder: EvidenceFolder,
        clip: Callable[[float, float], Clip],
        *,
        pre_roll_s: float,
        post_roll_s: float,
        reader: Callable[[], Reader | str],
        clock: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._camera, self._folder, self._clip = camera, folder, clip
        self._pre_s, self._post_s = pre_roll_s, post_roll_s
        self._make_reader, self._reader = reader, None
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self.written = self.refused = 0

    def configure(self, pre_roll_s: float, post_roll_s: float) -> None:
        """For what is claimed from now on."""
        self._pre_s, self._post_s = pre_roll_s, post_roll_s

    @property
    def waiting(self) -> int:
        """Candidates that wait for their post-roll or for storage."""
        return len(self._jobs)

    def claim(self, event: Event, stills: StillRing) -> Event:
        """The event with its candidate's name, whose stills are taken now; as it was when it carries no moments."""
        moments = event.data.get("frames")
        if not isinstance(moments, dict) or not all(name in moments for name in MOMENTS):
            return event
        with self._lock:
            if len(self._jobs) >= MOST_WAITING:
                self.refused += 1
                log.error("no evidence is kept: too many candidates wait", candidate=event.id, waiting=len(self._jobs))
                return event
            found = {name: stills.jpeg(int(moments[name]["seq"])) for name in MOMENTS}
            at_s, past_s = (float(moments[name]["captured_s"]) for name in ("at", "past"))
            first_s = at_s if past_s - at_s <= LONGEST_CLIP_S - self._pre_s - self._post_s else past_s
            named = replace(event, data={**event.data, "evidence": event.id})
            pictures = {name: data for name, data in found.items() if data is not None}
            job = _Job(named, pictures, first_s - self._pre_s, past_s + self._post_s, self._pre_s)
            job.missing = {f"{n}.jpg": "the picture was gone" for n, data in found.items() if data is None}
            self._jobs.append(job)
        return named

    def advance(self, now_s: float) -> None:
        """Write what can be written, the newest capture time being now_s. Raises OSError when storage is away."""
        for job in list(self._jobs):
            try:
                if not job.began:
                    self._begin(job)
                if now_s >= job.to_s:
                    self._finish(job)
            except OSError:
                raise
            except Exception as error:  # one that cannot be made whole must not hold the others up
                self._jobs.remove(job)
                self.refused += 1
                log.exception("evidence not kept", candidate=job.event.id, why=str(error))

    def finish(self) -> None:
        """Write all that waits, with as much post-roll as there is."""
        for job in list(self._jobs):
            self._finish(job)

    def recover(self) -> int:
        """Make whole what an earlier process of this camera had begun; how many."""
        events = self._folder.parts(self._camera)
        for event in events:
            files = self._folder.read_part(self._camera, event)
            try:
                job = _Job(Event.from_json(files.pop("event.json").decode()), {}, 0.0, 0.0, began=True)
            except (KeyError, ValueError):  # it ended while writing the very first file
                log.warning("evidence that had only begun is dropped", camera=self._camera, candidate=event)
                self._folder.drop_part(self._camera, event)
                continue
            job.files = {name: data for name, data in files.items() if name.removesuffix(".jpg") in MOMENTS}
            job.missing = {f"{n}.jpg": "never written" for n in MOMENTS if f"{n}.jpg" not in job.files}
            job.missing["clip.mp4"] = "the camera's process ended before the post-roll was over"
            self._complete(job, None)
        return len(events)

    def _begin(self, job: _Job) -> None:
        """Put the stills to storage at once: a process that ends in the post-roll loses the clip alone."""
        job.files = {f"{name}.jpg": data for name, data in job.stills.items()}
        first = {"event.json": job.event.to_json().encode()}
        self._folder.write_part(self._camera, job.event.id, first | job.files)
        job.began = True

    def _finish(self, job: _Job) -> None:
        if not job.began:
            self._begin(job)
        clip, why = Clip(b""), "the stream's packets were gone"
        try:
            clip = self._clip(job.from_s, job.to_s)
        except Exception as error:  # a stream that cannot be written as MP4: the stills are kept all the same
            log.exception("clip not made", candidate=job.event.id)
            why = f"the clip could not be made: {error}"
        if clip.data:
            job.files["clip.mp4"] = clip.data
        else:
            job.missing["clip.mp4"] = why
        self._complete(job, clip)
        self._jobs.remove(job)

    def _complete(self, job: _Job, clip: Clip | None) -> None:
        try:
            plate, crop = self._read_plate(job)
        except Exception as error:  # a reader may raise anything; the officer has the stills
            log.exception("plate not read", candidate=job.event.id)
            plate, crop = {"text": None, "why": f"the reader failed: {error}"}, None
        if crop is not None:
            job.files["plate.jpg"] = crop
        moments = job.event.data["frames"]
        candidate = {
            "version": CANDIDATE_VERSION,
            "event": job.event.to_cloudevent(),
            "frames": {name: moments[name] for name in MOMENTS},
            "clip": None
            if clip is None or not clip.data
            else {
                "from_s": clip.from_s,
                "to_s": clip.to_s,
                "wanted_from_s": job.from_s,
                "wanted_to_s": job.to_s,
                "before_s": round(max(0.0, job.from_s + job.pre_s - clip.from_s), 3),
                "wanted_before_s": job.pre_s,
            },
            "plate": plate,
            "clock": None if self._clock is None else self._clock(),
            "files": {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                for name, data in sorted(job.files.items())
            },
            "missing": job.missing,
        }
        self._folder.complete(self._camera, job.event.id, job.files, candidate)
        self.written += 1
        log.info("evidence candidate written", camera=self._camera, candidate=job.event.id, missing=list(job.missing))

    def _read_plate(self, job: _Job) -> tuple[dict[str, Any], bytes | None]:
        """What the three stills together say of the plate, and the crop in which it was read best."""
        if self._reader is None:
            self._reader = self._make_reader()
        if isinstance(self._reader, str):
            return {"text": None, "why": self._reader}, None
        read: list[tuple[str, Plate, Pixels]] = []
        said: dict[str, list[str]] = {}
        for name in MOMENTS:
            data = job.files.get(f"{name}.jpg")
            if data is None:
                continue
            crop = _crop(
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), job.event.data["frames"][name]["bbox"]
            )
            if crop is None:
                continue
            reading = self._reader.read(crop)
            said[name] = list(reading.lines)
            if reading.plate is not None:
                read.append((name, reading.plate, crop))
        plate = combine(plate for _, plate, _ in read)
        if plate is None:
            return {"text": None, "why": "no text on the vehicle fits a plate's format", "lines": said}, None
        name, best, crop = max(read, key=lambda item: item[1].confidence)
        x1, y1, x2, y2 = best.box
        around = _crop(crop, (x1, y1, x2, y2), 0.15)
        shown = {**plate.as_dict(), "from": name, "read_on": [n for n, _, _ in read], "lines": said}
        return shown, None if around is None else cv2.imencode(".jpg", around, [cv2.IMWRITE_JPEG_QUALITY, 95])[
            1
        ].tobytes()


class RecorderThread:
    """Runs a camera's recorder beside it. `now_s` is told by whoever sees the frames."""

    def __init__(self, recorder: Recorder, wall_clock: Callable[[], float]) -> None:
        self.recorder, self._clock = recorder, wall_clock
        self._newest_s, self._heard_s = float("-inf"), wall_clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def saw(self, captured_s: float) -> None:
        """A frame with this capture time came."""
        self._newest_s, self._heard_s = captured_s, self._clock()

    def stop(self) -> None:
        """End; what waits is written with the post-roll there is."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        try:
            self.recorder.finish()
        except Exception:
            log.exception("evidence not written; what was begun is made whole at the next start")

    def _run(self) -> None:
        recovered = False
        while not self._stopping.wait(0.5):
            try:
                if not recovered:
                    self.recorder.recover()
                    recovered = True
                silent_s = self._clock() - self._heard_s
                self.recorder.advance(self._newest_s + (silent_s if silent_s > LATE_S else 0.0))
            except Exception:  # storage that is away must not end the recording: the job waits and is tried again
                log.exception("evidence not written; it is tried again")
                self._stopping.wait(5.0)


def _crop(picture: Pixels, bbox: Iterable[float], margin: float = CROP_MARGIN) -> Pixels | None:
    """A box of a picture with a margin of its own size, None where nothing is left of it."""
    x1, y1, x2, y2 = bbox
    wide, high = (x2 - x1) * margin, (y2 - y1) * margin
    height, width = picture.shape[:2]
    left, top = max(0, int(x1 - wide)), max(0, int(y1 - high))
    right, bottom = min(width, int(x2 + wide) + 1), min(height, int(y2 + high) + 1)
    return picture[top:bottom, left:right] if right - left >= 8 and bottom - top >= 8 else None
