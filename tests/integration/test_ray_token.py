"""A Ray of one node that asks for a token: who has none, or another, runs nothing on it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.integration, pytest.mark.timeout(170)]
PROJECT = Path(__file__).parents[2]
HEAD = """
import sys, ray
ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, logging_level="ERROR")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.readline()
"""
CLIENT = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
print("ran:", ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote(), timeout=60))
"""


def environment(token: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    kept |= {"HOME": "/nonexistent"} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return kept


def test_without_the_token_nobody_runs_code() -> None:
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        env=environment("a" * 64),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert head.stdout is not None
        where = head.stdout.readline().strip()
        assert where, "Ray did not start with a token"

        def ran(token: str | None) -> str:
            command = [sys.executable, "-c", CLIENT, where]
            try:
                done = subprocess.run(
                    command, env=environment(token), capture_output=True, text=True, check=False, timeout=40
                )
            except subprocess.TimeoutExpired:
                return "never"
            return done.stdout

        assert "ran: 42" in ran("a" * 64)
        with ThreadPoolExecutor() as both_at_once:  # either may be refused, or wait in vain
            for answer in both_at_once.map(ran, ("b" * 64, None)):
                assert "ran:" not in answer
        ask = "import sys; from actors.cluster import reach; reach(sys.argv[1])"
        told = subprocess.run(
            [sys.executable, "-c", ask, where], env=environment("b" * 64), capture_output=True, text=True, check=False
        )
        assert "ClusterAwayError" in told.stderr
        assert "RAY_AUTH_MODE=token" in told.stderr
    finally:
        head.communicate("\n", timeout=60)


def test_the_cluster_file_starts_no_ray_without_a_token() -> None:
    config = yaml.safe_load((PROJECT / "cluster.yaml").read_text())
    starts = [c for part in ("head", "worker") for c in config[f"{part}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)
