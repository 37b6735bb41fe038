"""Registries of a data folder: what was decided on models, one step a line, never rewritten.

DATA/models/promotions.jsonl has the promotions, DATA/models/shadows.jsonl whose frames candidates are shown.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from hoaban.models.promotion import Step
from hoaban.shadow import ShadowStep

FILE = Path("models") / "promotions.jsonl"
SHADOWS = FILE.with_name("shadows.jsonl")
AnyStep = TypeVar("AnyStep", bound=BaseModel)


class RegistryError(Exception):
    """The registry's file cannot be read or written; the message says why and what to do."""


class Registry(Generic[AnyStep]):
    """Steps in a file. Raises RegistryError where it cannot be read or written."""

    def __init__(self, path: Path, kind: type[AnyStep]) -> None:
        self.path, self._kind = path, kind

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes with the file."""
        try:
            stat = self.path.stat()
        except OSError:
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_size)

    def steps(self) -> list[AnyStep]:
        """All so far, oldest first."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"{self.path}: cannot be read: {error}; put a backup in its place") from None
        steps = []
        for number, line in enumerate(lines, 1):
            try:
                steps.append(self._kind.model_validate_json(line))
            except ValidationError as error:
                what = error.errors()[0]["msg"]
                raise RegistryError(
                    f"{self.path}:{number}: no step of the registry ({what}); put a backup in its place"
                ) from None
        return steps

    def add(self, make: Callable[[Sequence[AnyStep]], AnyStep]) -> AnyStep:
        """Append the step that `make` gives for those so far; nobody else adds one meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                step = make(self.steps())
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(step.model_dump(mode="json"), ensure_ascii=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise RegistryError(
                f"{self.path}: cannot be written: {error.strerror}; give this user the right to, or name another --data"
            ) from None
        return step

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class PromotionRegistry(Registry[Step]):
    """Promotions and rollbacks."""

    def __init__(self, data: Path) -> None:
        super().__init__(data / FILE, Step)


class ShadowRegistry(Registry[ShadowStep]):
    """Shadows that were begun and ended."""

    def __init__(self, data: Path) -> None:
        super().__init__(data / SHADOWS, ShadowStep)
