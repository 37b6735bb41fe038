"""Fleet files from disk, and the secrets that they name."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from actors.models.files import readable_models
from hoaban.fleet import Fleet
from hoaban.fleet_checks import Labels
from hoaban.fleet_text import FleetError, FleetErrors, env_names, parse_fleet
from hoaban.fleet_yaml import MOST_CHARACTERS

MOST_BYTES = 4 * MOST_CHARACTERS
"""of a file in UTF-8"""
Texts = Sequence[tuple[str, str]]
"""files as they are written: name, text"""


def load_fleet(paths: Sequence[Path], env: Mapping[str, str] | None = None) -> Fleet:
    """The fleet in these files. Raises FleetErrors, an unreadable file among them."""
    return fleet_of(read_texts(paths), env)


def fleet_of(texts: Texts, env: Mapping[str, str] | None = None) -> Fleet:
    """The fleet in files that were read. Raises FleetErrors."""
    return parse_fleet(texts, os.environ if env is None else env, _labels())


def secrets_of(texts: Texts) -> dict[str, SecretStr]:
    """The environment variables that these files name, as this process has them.

    Taken once, where a person started the system: a worker's environment is another one.
    """
    names = env_names(text for _, text in texts)
    return {name: SecretStr(os.environ[name]) for name in sorted(names) if name in os.environ}


def read_texts(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """These files as they are written. Raises FleetErrors with all that cannot be read."""
    texts: list[tuple[str, str]] = []
    errors: list[FleetError] = []
    for path in paths:
        try:
            texts.append((str(path), _text(path)))
        except UnicodeDecodeError as error:
            errors.append(FleetError(str(path), 1, "", f"not UTF-8 text ({error.reason}); save it as UTF-8"))
        except ValueError as error:
            errors.append(FleetError(str(path), 1, "", str(error)))
        except OSError as error:
            errors.append(
                FleetError(str(path), 1, "", f"cannot be read: {error.strerror}; check the name and the rights")
            )
    if errors:
        raise FleetErrors(errors)
    return texts


def _text(path: Path) -> str:
    if not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no regular file; name a fleet file")  # a pipe or a device may never end
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES // 2**20} MiB; split the fleet into several files")
    return data.decode("utf-8")


def _labels() -> Labels:
    """What each model finds, those with a card on the search path among them."""
    found: dict[str, tuple[str, ...]] = {}
    for package in readable_models():  # a broken card is told where its model is wanted
        found[package.card.name] = (*found.get(package.card.name, ()), *package.card.labels)
    return found
