"""The API over https, under Ray Serve, with a certificate of our own making."""

import secrets
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
import ray
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import start_local
from actors.store import EventStore, PeopleStore
from cli.main import app
from dashboards.client import ApiClient, ApiError
from hoaban.access import Role
from serve.deployment import Tls, deploy, shutdown
from serve.settings import ApiSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def certificate(folder: Path, name: str) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    tls = Tls(folder / f"{name}.pem", folder / f"{name}.key")
    tls.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    tls.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return tls


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Tls]]:
    """Address, a viewer's token, and the certificate."""
    folder = tmp_path_factory.mktemp("tls")
    valkey, tls = EmbeddedRedis(folder / "valkey"), certificate(folder, "api")
    store_url = f"sqlite:///{folder / 'a.db'}"
    token = PeopleStore(EventStore.open(store_url).engine).create_token("v", Role.VIEWER)[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start_local(log_to_driver=False)
    try:
        deploy(ApiSettings(store_url, valkey.start(), secrets.token_hex(8), data_dir=str(folder)), port=port, tls=tls)
        yield f"127.0.0.1:{port}/api/v1", token, tls
    finally:
        shutdown()
        ray.shutdown()
        valkey.stop()


def test_the_api_speaks_https_and_nothing_else(
    served: tuple[str, str, Tls], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, token, tls = served
    trusted = ssl.create_default_context(cafile=str(tls.certificate))
    trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with httpx.Client(verify=trusted, trust_env=False, timeout=20) as client:
        assert client.get(f"https://{address}/healthz").json()["status"] == "ok"
        assert client.get(f"https://{address}/cameras", headers={"Authorization": f"Bearer {token}"}).json() == []
        assert client.get(f"https://{address}/cameras").status_code == 401
        with pytest.raises(httpx.HTTPError):
            client.get(f"http://{address}/healthz")
    with httpx.Client(trust_env=False, timeout=20) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
        client.get(f"https://{address}/healthz")

    monkeypatch.setenv("HOABAN_API_CERTIFICATE", str(tls.certificate))
    assert ApiClient(f"https://{address}", token).cameras() == []
    monkeypatch.setenv("HOABAN_API_CERTIFICATE", str(certificate(tmp_path, "another").certificate))
    with pytest.raises(ApiError, match=r"(?i)certificate"):
        ApiClient(f"https://{address}", token).cameras()


@pytest.mark.parametrize("wrong", ["no key", "another key", "no file", "no certificate"])
def test_up_refuses_what_is_no_certificate_and_its_key(tmp_path: Path, wrong: str) -> None:
    own, other = certificate(tmp_path, "own"), certificate(tmp_path, "other")
    (tmp_path / "text.pem").write_text("hello")
    options = {
        "no key": ["--tls-certificate", str(own.certificate)],
        "another key": ["--tls-certificate", str(own.certificate), "--tls-key", str(other.key)],
        "no file": ["--tls-certificate", str(tmp_path / "none"), "--tls-key", str(own.key)],
        "no certificate": ["--tls-certificate", str(tmp_path / "text.pem"), "--tls-key", str(own.key)],
    }[wrong]
    done = CliRunner().invoke(app, ["up", "--data", str(tmp_path / "data"), "--no-dashboard", "--for", "0", *options])
    assert done.exit_code == 2, done.output
    assert "tls" in done.output or "not a certificate" in done.output
    assert not (tmp_path / "data").exists()
