"""The API under Ray Serve."""

import logging

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from actors.cluster import ON_HEAD
from serve.app import build_app
from serve.settings import ApiSettings

APP_NAME = "hoaban"
LONG_LIVED = 2000
"""streams a replica holds at once: they wait far more than they work"""


def deploy(settings: ApiSettings, host: str = "127.0.0.1", port: int = 8000) -> DeploymentHandle:
    """Run the API at http://host:port/api/v1; returns when it answers."""

    def build() -> FastAPI:  # Serve runs it in the replica; it takes a plain function for a builder, nothing else
        return build_app(settings)

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # this process tells its own progress
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})

    # On the head, where the data folder is, and which in a cluster has no processors to offer.
    api = serve.deployment(
        name="api",
        num_replicas=1,
        max_ongoing_requests=LONG_LIVED,
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
    )(serve.ingress(build)())
    return serve.run(api.bind(), name=APP_NAME, route_prefix="/")


def shutdown() -> None:
    serve.shutdown()
