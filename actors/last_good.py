"""The last good fleet files as they were written: DATA/last-good-fleet.json.

What a supervisor that was started anew runs while the files of now are refused. Where they name a secret as ${NAME}, so
does this one.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.fleet_file import Texts, fleet_of
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors

FILE = "last-good-fleet.json"


class LastGoodError(Exception):
    """There is none, or it cannot be used; the message says why."""


class LastGood(BaseModel):
    """Fleet files that were taken. taken_s: when, seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    taken_s: float = Field(ge=0, le=4e9)
    files: tuple[tuple[str, str], ...]
    """name, text"""

    @property
    def when(self) -> str:
        """For people, in UTC."""
        return f"{datetime.fromtimestamp(self.taken_s, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def fleet(self, env: Mapping[str, str]) -> Fleet:
        """The fleet in them. Raises LastGoodError where this version or environment does not take it any more."""
        try:
            return fleet_of(self.files, env)
        except FleetErrors as errors:
            raise LastGoodError(f"the last good one, of {self.when}, is refused too: {errors.errors[0]}") from None


class LastGoodFile:
    """The one of a data folder."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE

    def keep(self, files: Texts, now_s: float) -> LastGood:
        """Put these files, which were taken now, in the place of those before; the same ones keep their time.

        Whole or not at all, on the disk itself, and only for this user's eyes. Raises OSError.
        """
        kept = self._read()
        if kept is not None and kept.files == tuple(files):
            return kept
        new = LastGood(taken_s=now_s, files=tuple(files))
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(new.model_dump(mode="json"), file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return new

    def find(self, names: Sequence[str]) -> LastGood:
        """What was kept of the files of these names. Raises LastGoodError."""
        kept = self._read()
        if kept is None:
            raise LastGoodError(f"no last good one can be read from {self.path}")
        if (kept_names := [name for name, _ in kept.files]) != list(names):
            raise LastGoodError(f"the last good one is of other files: {', '.join(kept_names)}")
        return kept

    def _read(self) -> LastGood | None:
        """None where there is none, or none that can be read: who asks goes on without."""
        try:
            return LastGood.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
