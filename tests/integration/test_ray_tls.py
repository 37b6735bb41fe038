"""A Ray of one node that speaks TLS: who shows a certificate of its authority runs code on it, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from tests.integration.test_ray_token import CLIENT, HEAD
from tests.integration.test_redis_tls import Authority

pytestmark = [pytest.mark.integration, pytest.mark.timeout(170)]


def environment(authority: Authority | None, certificate: tuple[Path, Path] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_AUTH", "RAY_TLS"))}
    kept |= {"RAY_USE_TLS": "0"}
    if authority is not None and certificate is not None:
        pem, key = (str(file) for file in certificate)
        kept |= {"RAY_USE_TLS": "1", "RAY_TLS_SERVER_CERT": pem, "RAY_TLS_SERVER_KEY": key}
        kept |= {"RAY_TLS_CA_CERT": str(authority.file)}
    return kept


def test_without_a_certificate_of_the_authority_nobody_runs_code(tmp_path: Path) -> None:
    # Ray goes by the node's own address, also where it is told of 127.0.0.1.
    addresses = tuple({"127.0.0.1", ray.util.get_node_ip_address()})
    authority, other = Authority(tmp_path, "authority", addresses), Authority(tmp_path, "other", addresses)
    node = authority.certificate("node")
    command = [sys.executable, "-c", HEAD]
    head = subprocess.Popen(
        command, env=environment(authority, node), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert head.stdout is not None
        where = head.stdout.readline().strip()
        assert where, "Ray did not start with TLS"

        def ran(shown: dict[str, str]) -> str:
            command = [sys.executable, "-c", CLIENT, where]
            try:
                done = subprocess.run(command, env=shown, capture_output=True, text=True, check=False, timeout=30)
            except subprocess.TimeoutExpired:
                return "never"
            return done.stdout

        assert "ran: 42" in ran(environment(authority, authority.certificate("client")))
        assert "ran:" not in ran(environment(None, None))
        assert "ran:" not in ran(environment(other, other.certificate("stranger")))
        # The server asks for a certificate: it is not enough to know whom to trust.
        assert "ran:" not in ran(environment(authority, other.certificate("impostor")))
    finally:
        head.communicate("\n", timeout=60)
