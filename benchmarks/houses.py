"""Other libraries to compare with, each set in a virtual environment of its own: they want what Hoa Ban does not."""

import os
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

HOUSES = Path(__file__).with_name("out") / "houses"


@dataclass(frozen=True, slots=True)
class House:
    """A virtual environment. wants: what pip installs there, the first of which names it."""

    wants: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return HOUSES / self.wants[0]  # another version is another house

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def stands(self) -> bool:
        return self.python.exists()

    def build(self) -> None:
        """Install it, unless it stands. Raises subprocess.CalledProcessError."""
        if self.stands:
            return
        venv.create(self.folder, with_pip=True)
        try:
            subprocess.run([self.python, "-m", "pip", "install", "--quiet", *self.wants], check=True)
        except BaseException:
            shutil.rmtree(self.folder)  # half a house would count as one
            raise

    @staticmethod
    def environment() -> dict[str, str]:
        """For a worker in a house: without what would let this project in."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
