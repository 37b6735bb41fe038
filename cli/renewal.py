"""The part of `hoaban up` that `hoaban upgrade` asks for: what lives on the head is started anew, with the new code.

Nothing stands still meanwhile. What stores is replaced one by one, and takes up what the one before had not
acknowledged; of the API a second replica answers before the first one ends. Cameras and models follow: they are the
supervisor's, which is told the new era last of all (actors/moves.py, hoaban/succession.py).
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import structlog

from actors import NAMESPACE
from actors.board import ERA, NODES, Board

log = structlog.get_logger(__name__)

ASKED, HEAD = "upgrade", "upgrade-head"
"""keys of the board: {"era"} that is asked for; how far the head is: {"era", "step", "error"}"""
STORING = ("writer", "evidence", "keeper", "courier")
BACK_LIMIT_S = 120.0


class FleetRefusedError(Exception):
    """The installed version does not take the fleet file; the message says why."""


class Renewal:
    """redeploy: replaces the API's process; returns when that is done. None: somebody else runs it."""

    def __init__(
        self,
        board: Board,
        redeploy: Callable[[], object] | None,
        say: Callable[[str], None],
        fleet_files: Sequence[str],
    ) -> None:
        self._board, self._redeploy, self._say, self._fleet_files = board, redeploy, say, fleet_files
        # Who starts is new altogether, whatever was asked of the one before.
        self.era = str((board.get_json(ASKED) or {}).get("era", ""))
        board.put_json(ERA, {"era": self.era})
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin what was asked for since the last look, on a thread of its own. Raises redis.RedisError."""
        if self._thread is not None and self._thread.is_alive():
            return
        era = str((self._board.get_json(ASKED) or {}).get("era", ""))
        if era != self.era:
            self.era = era  # once: what fails is told, and asked for again by who reads that
            self._thread = threading.Thread(target=self._run, args=(era,), name="renewal", daemon=True)
            self._thread.start()

    def _run(self, era: str) -> None:
        self._say("upgrade: the head's parts are replaced")
        try:
            self._renew(era)
        except FleetRefusedError as refused:
            self._say(f"upgrade: {refused}")
            self._tell("", str(refused))
        except Exception as error:
            log.exception("upgrade failed")
            self._say(f"upgrade: could not go on: {error}")
            self._tell("", f"{type(error).__name__}: {error}".split("\n")[0])

    def _renew(self, era: str) -> None:
        self._tell("fleet file")
        check_fleet(self._fleet_files)
        there = {
            one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["namespace"] == NAMESPACE
        }
        for name in (*(name for name in STORING if name in there), "supervisor"):
            self._tell(name)
            restart(name)
        if self._redeploy is not None:
            self._tell("API")
            self._redeploy()
        self._tell("supervisor")
        began_s = time.time()
        # Only one that knows the inference actors of the old era lets them serve until the new ones do.
        _until(lambda: (self._board.get_json(NODES) or {}).get("at_s", 0.0) > began_s, "the supervisor's report")
        self._board.put_json(ERA, {"era": era})
        self._tell("done")
        self._say("upgrade: the head's parts are new; cameras and models follow one by one")

    def _tell(self, step: str, error: str = "") -> None:
        self._board.put_json(HEAD, {"era": self.era, "step": step, "error": error})


def check_fleet(files: Sequence[str]) -> None:
    """Have the code that is installed now read the fleet: a new supervisor that cannot may have no fleet at all.

    In a process of its own, since this one has the code from before. Raises FleetRefusedError, TimeoutExpired.
    """
    command = [sys.executable, "-P", "-c", "from cli.main import main; main()", "check", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BACK_LIMIT_S)  # noqa: S603
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
        raise FleetRefusedError(f"nothing is replaced: the installed version refuses the fleet file: {why}")


def restart(name: str) -> None:
    """A new process for an actor that Ray starts again. Returns when it answers; raises TimeoutError."""
    actor = ray.get_actor(name, NAMESPACE)
    before = _pid(actor)
    ray.kill(actor, no_restart=False)

    def is_new() -> bool:
        return _pid(actor) != before and bool(ray.get(actor.ready.remote(), timeout=BACK_LIMIT_S))

    _until(is_new, name)


def _pid(actor: Any) -> int:
    return int(ray.get(actor.__ray_call__.remote(lambda _: os.getpid()), timeout=BACK_LIMIT_S))


def _until(what: Callable[[], bool], name: str) -> None:
    ends_s = time.monotonic() + BACK_LIMIT_S
    while True:
        try:
            if what():
                return
        except ray.exceptions.RayActorError:  # between the old process and the new one
            pass
        if time.monotonic() > ends_s:
            raise TimeoutError(f"{name} did not come back within {BACK_LIMIT_S:.0f} s")
        time.sleep(0.2)
