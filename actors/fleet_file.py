"""Fleet files from disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetError, FleetErrors, parse_fleet


def load_fleet(paths: Sequence[Path], env: Mapping[str, str] | None = None) -> Fleet:
    """The fleet in these files. Raises FleetErrors, an unreadable file among them."""
    texts: list[tuple[str, str]] = []
    errors: list[FleetError] = []
    for path in paths:
        try:
            texts.append((str(path), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError as error:
            errors.append(FleetError(str(path), 1, "", f"not UTF-8 text ({error.reason}); save it as UTF-8"))
        except OSError as error:
            errors.append(
                FleetError(str(path), 1, "", f"cannot be read: {error.strerror}; check the name and the rights")
            )
    if errors:
        raise FleetErrors(errors)
    return parse_fleet(texts, os.environ if env is None else env)
