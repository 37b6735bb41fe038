"""Ray on this machine alone, as `hoaban up` and the benchmarks start it."""

import os
import signal
import threading

import ray

from actors import NAMESPACE

OBJECT_STORE_BYTES = 256 * 2**20
"""pictures do not travel through the object store; what does is small"""

SETTINGS = {
    # Workers run at niceness 15 by default: right for batch work, wrong for cameras that share a machine with anything.
    "RAY_worker_niceness": "0",
    # Each worker wakes a hundred times a second to look for signals; without statistics of that it costs a sixth less.
    "RAY_event_stats": "0",
    # Nor are workers kept that nobody asked for: each is 60 MB and wakes as often.
    "RAY_num_workers_soft_limit": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DEDUP_LOGS": "0",
    # Serve ends a door that is not open within 5 s and starts another: on a busy machine none would ever open.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
"""read by Ray's processes when they start"""


def start_local(processors: int | None = None, *, log_to_driver: bool = False) -> None:
    """Start Ray for this process and its children; `ray.shutdown` ends it."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    asked_to_end = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=processors,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level="ERROR",
        log_to_driver=log_to_driver,
    )
    if threading.current_thread() is threading.main_thread():  # else Ray's handler stays: it exits at once
        signal.signal(signal.SIGTERM, asked_to_end)
