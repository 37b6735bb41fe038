"""The integrations file from disk, and the secrets that it names, or all that is wrong with it."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from actors.integrations.senders import SetupError, open_sender
from actors.settings_file import SettingsFileError, load_settings
from hoaban.integrations import IntegrationSettings


def load_integrations(
    environment: Mapping[str, str] = os.environ,
) -> tuple[IntegrationSettings, dict[str, SecretStr]]:
    """The file that HOABAN_INTEGRATIONS names, and its secrets by name; no target without one.

    Raises SettingsFileError, also for a secret that is not set.
    """
    if not (named := environment.get("HOABAN_INTEGRATIONS")):
        return IntegrationSettings(), {}
    path = Path(named)
    settings = load_settings(path, IntegrationSettings, "docs/integrations.md")
    secrets = {}
    for target in settings.targets:
        try:
            open_sender(target, environment).close()
        except SetupError as error:
            raise SettingsFileError(f"{path}:1: {error}") from None
        for field in ("secret_env", "password_env"):
            if name := getattr(target, field, None):
                secrets[name] = SecretStr(environment[name])
    return settings, secrets
