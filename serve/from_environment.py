"""The API for who runs Serve applications by a file, such as KubeRay's RayService: serve.from_environment:api.

What `hoaban up` knows of itself stands in the environment here: HOABAN_STORE_URL, HOABAN_REDIS_URL, HOABAN_DATA,
HOABAN_FLEET (its files, with : between) and HOABAN_TICKET_SECRET, which is the same for every replica; and, as
elsewhere, HOABAN_EVIDENCE_URL, HOABAN_ACCESS and HOABAN_VIEWER_SECRET. `hoaban up --no-api` runs the rest.
"""

import os
from collections.abc import Mapping

from ray.serve import Application

from actors.access_file import load_access
from serve.deployment import application
from serve.settings import ApiSettings

NEEDED = ("HOABAN_STORE_URL", "HOABAN_REDIS_URL", "HOABAN_TICKET_SECRET", "HOABAN_DATA", "HOABAN_FLEET")
LEAST_SECRET = 16


def settings_from(environment: Mapping[str, str]) -> ApiSettings:
    """Raises ValueError that names all that is missing, and AccessFileError."""
    if missing := [name for name in NEEDED if not environment.get(name)]:
        raise ValueError(f"{', '.join(missing)}: not set; docs/kubernetes.md tells what the API needs")
    secret = environment["HOABAN_TICKET_SECRET"]
    if len(secret) < LEAST_SECRET:
        raise ValueError(
            f"HOABAN_TICKET_SECRET: shorter than {LEAST_SECRET} characters; make one with openssl rand -hex 32"
        )
    return ApiSettings(
        environment["HOABAN_STORE_URL"],
        environment["HOABAN_REDIS_URL"],
        secret,
        data_dir=environment["HOABAN_DATA"],
        evidence_url=environment.get("HOABAN_EVIDENCE_URL"),
        fleet_files=tuple(environment["HOABAN_FLEET"].split(":")),
        access=load_access(),
        viewer_secret=environment.get("HOABAN_VIEWER_SECRET"),
    )


def api(_: Mapping[str, str]) -> Application:
    """What Serve calls for the application; its arguments are not used, since they would stand in a config."""
    return application(settings_from(os.environ))
