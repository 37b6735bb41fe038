"""The access file from disk, or all that is wrong with it, each with its line."""

import os
import re
from pathlib import Path
from typing import Any

from actors.settings_file import SettingsFileError, line_of, load_settings
from hoaban.access.settings import AccessSettings

AccessFileError = SettingsFileError


def load_access(path: Path | None = None) -> AccessSettings:
    """The settings of a file, by default of the one that HOABAN_ACCESS names; the usual ones without any.

    Raises AccessFileError.
    """
    named = os.environ.get("HOABAN_ACCESS")
    path = path or (Path(named) if named else None)
    return AccessSettings() if path is None else load_settings(path, AccessSettings, "docs/accounts.md", _take_secret)


def _take_secret(path: Path, node: Any, document: Any) -> None:
    """Put the client's secret in its place, from the environment: it stands in no file."""
    where = ("oidc", "sign_in", "client_secret")
    holds = document
    for step in where[:-1]:
        holds = holds.get(step) if isinstance(holds, dict) else None
    if not isinstance(holds, dict) or holds.get(where[-1]) is None:
        return
    at = f"{path}:{line_of(node, where)}: {'.'.join(where)}"
    named = re.fullmatch(r"\$\{(\w+)\}", str(holds[where[-1]]))
    if named is None:
        raise AccessFileError(f"{at}: a secret stands in no file; write ${{NAME}}, and set NAME for `hoaban up`")
    if not os.environ.get(named[1]):
        raise AccessFileError(f"{at}: {named[1]} is not set; set it in the environment")
    holds[where[-1]] = os.environ[named[1]]
