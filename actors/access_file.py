"""The access file from disk, or all that is wrong with it, each with its line."""

import os
from pathlib import Path

from actors.settings_file import SettingsFileError, load_settings
from hoaban.access.settings import AccessSettings

AccessFileError = SettingsFileError
SECRET = ("oidc", "sign_in", "client_secret")


def load_access(path: Path | None = None) -> AccessSettings:
    """The settings of a file, by default of the one that HOABAN_ACCESS names; the usual ones without any.

    Raises AccessFileError.
    """
    named = os.environ.get("HOABAN_ACCESS")
    path = path or (Path(named) if named else None)
    return AccessSettings() if path is None else load_settings(path, AccessSettings, "docs/accounts.md", SECRET)
