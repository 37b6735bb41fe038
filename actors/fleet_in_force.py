"""Which fleet runs: that of the fleet files as they are now, or the last good one while they are refused."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from actors.fleet_file import Texts, fleet_of, read_texts
from actors.last_good import LastGoodError, LastGoodFile
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors

log = structlog.get_logger(__name__)


class FleetInForce:
    """fleet: None before one was taken. errors: why the files as they are now were refused; empty when they were taken.
    taken_s: when the files of `fleet` were taken, seconds since 1970, by whichever supervisor."""

    def __init__(self, files: Sequence[str], env: Mapping[str, str], data: Path) -> None:
        self.fleet: Fleet | None = None
        self.errors: list[str] = []
        self.taken_s: float | None = None
        self._files, self._env = files, env
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._last_good = LastGoodFile(data)
        self._to_keep: Texts | None = None
        self._not_kept = ""

    def look(self) -> bool:
        """Read the files where they changed; whether any of the three above is another now."""
        before = self.fleet, self.errors, self.taken_s
        self._read()
        self._keep()
        return before != (self.fleet, self.errors, self.taken_s)

    def view(self) -> dict[str, Any]:
        """As others read it from the board: all that its files say, without the secrets."""
        if self.fleet is None:
            return {"errors": self.errors, "cameras": []}
        at = None if self.taken_s is None else datetime.fromtimestamp(self.taken_s, UTC).isoformat(timespec="seconds")
        view = {"errors": self.errors, "taken_at": at, "digest": self.fleet.digest()}
        return view | self.fleet.model_dump(mode="json", by_alias=True)

    def _read(self) -> None:
        paths = [Path(name) for name in self._files]
        try:
            stamp = tuple(_stamp(path.stat()) for path in paths)
        except OSError:
            stamp = ()  # read, and told of, at each look, so that the same file that comes back is taken
        if stamp and stamp == self._stamp and (self.fleet is not None or not self.errors):
            return
        self._stamp = stamp
        try:
            texts = read_texts(paths)
            self.fleet, self.errors, self.taken_s = fleet_of(texts, self._env), [], time.time()
            self._to_keep = texts
        except FleetErrors as errors:
            self._refuse([str(error) for error in errors.errors])

    def _refuse(self, errors: list[str]) -> None:
        """Stay with the last good fleet, or take up the one that an earlier supervisor kept."""
        if self.fleet is None:
            try:
                kept = self._last_good.find(self._files)
                self.fleet, self.taken_s = kept.fleet(self._env), kept.taken_s
            except LastGoodError as error:
                errors = [*errors, f"{self._files[0]}:1: no other fleet is known: {error}; mend this file"]
        if errors != self.errors:
            self.errors = errors
            log.error("fleet file refused; the last good one stays", errors=errors, taken_s=self.taken_s)

    def _keep(self) -> None:
        """Keep files that were taken for the next supervisor; tried until it is done, for a disk may be full."""
        if self._to_keep is None:
            return
        try:
            self.taken_s = self._last_good.keep(self._to_keep, time.time()).taken_s
        except (OSError, ValueError) as error:  # a full disk, a name that is no text: the fleet runs all the same
            if str(error) != self._not_kept:
                log.error("the last good fleet is not kept; it is tried again", error=str(error))
            self._not_kept = str(error)
        else:
            self._to_keep, self._not_kept = None, ""


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    """Another one for another file, or another content."""
    return status.st_ino, status.st_mtime_ns, status.st_size
