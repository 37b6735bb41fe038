"""A look at a model in a process of its own: it may hang, crash or eat memory, and only that process suffers.

`try_out` is called by whoever takes a model in; the module itself is that process: `python -m actors.models.smoke`.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.models.base import in_short
from actors.processes import dying_with_us
from hoaban.models.backend import ModelError

LIMIT_S = 60.0
MEMORY_BYTES = 4 * 2**30
"""beyond what the back end's own libraries take"""
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "HOABAN_MODEL_PATH", "DEEPFACE_HOME", "TMPDIR")
"""of the environment; a model has no business with the tokens and addresses in the rest"""


@dataclass(frozen=True, slots=True)
class Tried:
    """What the model did on plain and on random pictures."""

    device: str
    picture_s: float
    notes: tuple[str, ...]


def try_out(folder: Path, limit_s: float = LIMIT_S, memory_bytes: int = MEMORY_BYTES) -> Tried:
    """Load the package in a folder and run it, in bounded time and memory. Raises ModelError."""
    cure = "it is not taken; ask whoever made it"
    with tempfile.TemporaryDirectory(prefix="hoaban-model-") as scratch, open(Path(scratch) / "log", "w+b") as log:
        answer = Path(scratch) / "answer.json"
        command = [sys.executable, "-m", "actors.models.smoke", str(folder.resolve()), str(answer), str(memory_bytes)]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=scratch,
            env=environment,
            preexec_fn=dying_with_us(),  # it may hang, with nobody left to end it
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ModelError(f"the model did not load and run within {limit_s:g} s; {cure}") from None
        finally:
            _end(process)
        if not answer.is_file():
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            raise ModelError(f"the process that ran the model {_ended(code, log.read())}; {cure}")
        told: dict[str, Any] = json.loads(answer.read_text())
    if "error" in told:
        raise ModelError(told["error"])
    return Tried(told["device"], told["picture_s"], tuple(told["notes"]))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The process, and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(code: int, log: bytes) -> str:
    how = f"was ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with {code} and no answer"
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    return f"{how} ({lines[-1].strip()[:200]})" if lines else how


# --- inside the process


def _main(folder: str, answer: str, memory_bytes: str) -> None:
    # Nothing that a model prints, or leaves running, may be taken for the answer: it goes to a file, whole or not.
    try:
        told = _run(Path(folder), int(memory_bytes))
    except ModelError as error:
        told = {"error": str(error)}
    except MemoryError:
        told = {"error": f"the model takes more than {int(memory_bytes) // 2**20} MiB of memory"}
    except Exception as error:  # a back end may raise anything
        told = {"error": f"the model cannot be run: {type(error).__name__}: {in_short(error)}"}
    part = Path(answer).with_suffix(".part")
    part.write_text(json.dumps(told))
    part.replace(answer)
    os._exit(0)


def _run(folder: Path, memory_bytes: int) -> dict[str, Any]:
    import time

    import cv2

    from actors.faces import FaceDetector
    from actors.models.files import open_package
    from actors.models.load import load_embedder, load_model

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    package = open_package(str(folder))
    card = package.card
    if card.backend == "torch":
        import torch  # noqa: F401  (before the limit: the library's memory is not the model's)
    else:
        import onnxruntime  # noqa: F401
    # Anonymous memory that may be written (man 2 getrlimit, Linux 4.7 on): address space alone costs nothing.
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory_bytes, used + memory_bytes))
    shape = (card.input.height, card.input.width, 3)
    rng = np.random.default_rng(1)
    pictures = [np.full(shape, value, np.uint8) for value in (0, 114, 255)]
    pictures += [rng.integers(0, 256, shape, np.uint8) for _ in range(2)]
    if card.task == "embed":
        embedder = load_embedder(package, threads=1, device="cpu")
        began = time.perf_counter()
        for picture in pictures:
            template = embedder.embed(picture[None])
            if template.shape != (1, embedder.dimension) or not np.isfinite(template).all():
                raise ModelError(f"model {card.name!r} gives no (1, {embedder.dimension}) template of finite numbers")
        return _told("cpu", (time.perf_counter() - began) / len(pictures), ())
    if card.task == "face":
        finder = FaceDetector(package)
        began = time.perf_counter()
        if not all(np.isfinite(finder.rows(picture)).all() for picture in pictures):
            raise ModelError(f"model {card.name!r} gives numbers that are not finite")
        return _told(finder.device, (time.perf_counter() - began) / len(pictures), ())
    detector = load_model(package, threads=1, device="cpu")
    detector.warm_up()
    began = time.perf_counter()
    for picture in pictures:
        (rows,) = detector.infer(picture[None])
        if not np.isfinite(rows).all():
            raise ModelError(f"model {card.name!r} gives numbers that are not finite")
        if len(rows) and not (rows[:, 5].min() >= 0 and rows[:, 5].max() < len(card.labels)):
            raise ModelError(f"model {card.name!r} gives class {rows[:, 5].max():g}, its card has {len(card.labels)}")
        if len(rows) and not (rows[:, 4].min() >= 0 and rows[:, 4].max() <= 1):
            raise ModelError(f"model {card.name!r} gives a score of {rows[:, 4].max():g}; scores are 0 to 1")
    return _told(detector.device, (time.perf_counter() - began) / len(pictures), detector.notes)


def _told(device: str, picture_s: float, notes: tuple[str, ...]) -> dict[str, Any]:
    return {"device": device, "picture_s": picture_s, "notes": list(notes)}


if __name__ == "__main__":
    _main(*sys.argv[1:])
