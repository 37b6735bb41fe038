"""The API under Ray Serve."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from actors.cluster import ON_HEAD
from serve.app import build_app
from serve.settings import ApiSettings

APP_NAME = "hoaban"
LONG_LIVED = 2000
"""streams a replica holds at once: they wait far more than they work"""
BESIDE: dict[str, Any] = {
    "autoscaling_config": {
        "min_replicas": 1,
        "max_replicas": 2,
        "initial_replicas": 2,
        "target_ongoing_requests": LONG_LIVED,
        "downscale_delay_s": 120.0,
    }
}
"""two replicas for a while, then one: of one alone, Serve ends the old before it starts the new"""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate with those that lead to its authority, and its key."""

    certificate: Path
    key: Path


def deploy(
    settings: ApiSettings,
    host: str = "127.0.0.1",
    port: int = 8000,
    tls: Tls | None = None,
    *,
    again: bool = False,
) -> DeploymentHandle:
    """Run the API at http://host:port/api/v1, or https:// with tls; returns when it answers.

    again: it runs, and its process is replaced by a new one, until whose first answer the old one answers.
    """

    def build() -> FastAPI:  # Serve runs it in the replica; it takes a plain function for a builder, nothing else
        return build_app(settings)

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # this process tells its own progress
    options: dict[str, object] = {"host": host, "port": port}
    if tls is not None:
        options |= {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    serve.start(proxy_location="HeadOnly", http_options=options)

    # On the head, where the data folder is, and which in a cluster has no processors to offer.
    api = serve.deployment(
        name="api",
        **(BESIDE if again else {"num_replicas": 1}),
        max_ongoing_requests=LONG_LIVED,
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
    )(serve.ingress(build)())
    return serve.run(api.bind(), name=APP_NAME, route_prefix="/")


def shutdown() -> None:
    serve.shutdown()
