"""A preview of other zones, lines and rules, by replay of what a camera recorded, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from actors.processes import dying_with_us

log = structlog.get_logger(__name__)

LIMIT_S = 25.0
"""of wall time, to look at pictures; loading the model counts"""
MOST_MEDIA_S = 120.0
GRACE_S = 15.0
"""to start, and to answer, before the process is ended by force"""
MOST_CLIP_BYTES = 64 * 2**20
PROJECT = Path(__file__).resolve().parents[1]


class PreviewError(Exception):
    """Nothing could be tried; the message says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Recent:
    """What a camera has of its last seconds: an MP4 with nothing in it hidden, captured from from_s on, and what is to
    be (zones as in the fleet file)."""

    clip: bytes
    from_s: float
    hidden: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """present, tried: a camera as in the fleet file's JSON. model: NAME@VERSION. source: the path of a recording.

    from_s: capture time of its first frame. hidden: privacy zones. most_s: of it. limit_s: of wall time.
    """

    present: dict[str, Any]
    tried: dict[str, Any]
    model: str
    source: str = ""
    from_s: float = 0.0
    hidden: tuple[dict[str, Any], ...] = ()
    most_s: float = MOST_MEDIA_S
    limit_s: float = LIMIT_S


def preview(job: Job, clip: bytes | None = None) -> dict[str, Any]:
    """What hoaban.preview.Preview tells of the job, and of what. clip: instead of the job's source.

    Waits up to limit_s + GRACE_S: call it from a thread. The clip is never on disk. Raises PreviewError.
    """
    if clip is None:
        return _answer(asdict(job), ())
    if len(clip) > MOST_CLIP_BYTES:
        raise PreviewError(f"what the camera keeps is larger than {MOST_CLIP_BYTES // 2**20} MiB; lower its bit rate")
    held = os.memfd_create("preview")
    try:
        with os.fdopen(os.dup(held), "wb") as file:
            file.write(clip)
        return _answer(asdict(job) | {"source": f"/proc/self/fd/{held}"}, (held,))
    finally:
        os.close(held)


def _answer(job: dict[str, Any], handed: tuple[int, ...]) -> dict[str, Any]:
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "actors.preview_worker"],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=job["limit_s"] + GRACE_S,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            pass_fds=handed,
            preexec_fn=dying_with_us(),
        )
    except subprocess.TimeoutExpired:
        raise PreviewError("the machine is too busy to try it now; try again") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        log.error("preview failed", rc=done.returncode, said=done.stderr[-2000:].decode(errors="replace"))
        raise PreviewError("the preview broke off; the API's log says how") from None
    if why := answer.get("error"):
        raise PreviewError(why)
    return answer
