"""A Ray cluster that somebody else started: reaching it within bounded time, and who must live on its head."""

import socket
import subprocess
import sys

import structlog

from actors import NAMESPACE

log = structlog.get_logger(__name__)

HEAD_NODE = "node:__internal_head__"
"""a resource that Ray gives the head node alone"""
ON_HEAD = {HEAD_NODE: 0.001}
"""resources of an actor that governs"""
ANSWER_LIMIT_S = 30.0
CONNECT_LIMIT_S = 5.0
_PROBE = "import ray, sys; ray.init(address=sys.argv[1], logging_level='CRITICAL', log_to_driver=False)"
_CURE = "give --ray-address the HOST:PORT that `ray start --head` printed, on a machine of that cluster"


class ClusterAwayError(RuntimeError):
    """No cluster can be used at an address; the message says why and what to do."""


def join_cluster(address: str, *, log_to_driver: bool = False, limit_s: float = ANSWER_LIMIT_S) -> None:
    """Connect this process to a cluster; `ray.shutdown` lets go of it. Raises ClusterAwayError."""
    import ray  # a second or more, which a look at an address does not need

    reach(address, limit_s)
    ray.init(address=address, namespace=NAMESPACE, logging_level="ERROR", log_to_driver=log_to_driver)


def reach(address: str, limit_s: float = ANSWER_LIMIT_S) -> None:
    """Return when a cluster answers. Raises ClusterAwayError, within limit_s.

    Asked by a process of its own: `ray.init` goes on trying for a quarter of an hour and cannot be interrupted.
    """
    if address != "auto":
        _connect(address)
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ClusterAwayError(f"{address}: no Ray cluster answered within {limit_s:g} s; {_CURE}") from None
    if "InvalidAuthToken" in done.stderr:
        raise ClusterAwayError(
            f"{address}: it asks for a token, and was shown none or another; set RAY_AUTH_MODE=token here, with the "
            "cluster's token in ~/.ray/auth_token (mode 600)"
        )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ClusterAwayError(f"{address}: {lines[-1] if lines else 'Ray could not be reached'}; {_CURE}")


def end_node(node: str) -> None:
    """Let Ray end a node that carries nothing: it takes no more work and its processes end. Never waits for that.

    Ray's own request, by which its autoscaler gives nodes back; `ray drain-node` makes the same one.
    """
    from ray._private.worker import global_worker
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # the other one a node with any process refuses
    accepted, why = global_worker.gcs_client.drain_node(node, reason, "drained by hoaban", 0)
    if not accepted:
        log.error("Ray does not end the node", node=node, why=why)


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterAwayError(f"{address}: is no HOST:PORT; {_CURE}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_LIMIT_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise ClusterAwayError(f"{address}: nothing can be reached there ({reason}); {_CURE}") from None
