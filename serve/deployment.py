"""The API under Ray Serve."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from actors.cluster import ON_HEAD
from serve.app import build_app
from serve.settings import ApiSettings

APP_NAME = "hoaban"
LONG_LIVED = 2000
"""streams a replica holds at once: they wait far more than they work"""
LOOKED_AT_EVERY_S = 2.0
"""how soon Serve, which looks every 10 s by itself, hears that the replica died and starts another"""
ONE: Mapping[str, Any] = {"num_replicas": 1}
BESIDE: Mapping[str, Any] = {
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

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # this process tells its own progress
    options: dict[str, object] = {"host": host, "port": port}
    if tls is not None:
        options |= {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    serve.start(proxy_location="HeadOnly", http_options=options)

    return serve.run(application(settings, BESIDE if again else ONE), name=APP_NAME, route_prefix="/")


def application(settings: ApiSettings, replicas: Mapping[str, Any] = ONE) -> Application:
    """The API as an application of Serve. replicas: how many, as Serve takes it."""

    def build() -> FastAPI:  # Serve runs it in the replica; it takes a plain function for a builder, nothing else
        return build_app(settings)

    # On the head, where the data folder is, and which in a cluster has no processors to offer.
    api = serve.deployment(
        name="api",
        max_ongoing_requests=LONG_LIVED,
        health_check_period_s=LOOKED_AT_EVERY_S,
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
        **replicas,
    )(serve.ingress(build)())
    return api.bind()


def shutdown() -> None:
    serve.shutdown()
