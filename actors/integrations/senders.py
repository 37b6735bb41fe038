"""How one event gets to a target: a signed HTTP POST, an MQTT message, a record of a Kafka topic."""

import contextlib
import json
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from standardwebhooks import Webhook

from hoaban.integrations import KafkaTarget, MqttTarget, Target, WebhookTarget
from hoaban.integrations.guard import refusal

CONNECT_LIMIT_S = 5.0


class AwayError(Exception):
    """The target took nothing: it is away, busy or broken. All that waits for it waits."""


class RefusedError(Exception):
    """The target refused this one event; the next may be taken."""


class SetupError(ValueError):
    """A target cannot be used as it is configured; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it leaves. key: the same for every attempt, by which a receiver knows repeats."""

    key: str
    camera: str
    type: str
    document: dict[str, Any]

    @property
    def body(self) -> str:
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":"))


class Sender(Protocol):
    def send(self, message: Message) -> None:
        """Return when the target has taken it. Raises AwayError or RefusedError."""
        ...

    def close(self) -> None: ...


def open_sender(target: Target, environment: Mapping[str, str] = os.environ) -> Sender:
    """Raises SetupError."""
    match target:
        case WebhookTarget():
            return WebhookSender(target, environment)
        case MqttTarget():
            return MqttSender(target, environment)
        case KafkaTarget():
            return KafkaSender(target, environment)
    raise SetupError(f"{target.id}: a target of an unknown kind")


def secret(target: Target, name: str | None, environment: Mapping[str, str]) -> str | None:
    """The value of an environment variable that a target names. Raises SetupError when it is not set."""
    if name is None:
        return None
    if not (value := environment.get(name)):
        raise SetupError(f"{target.id}: the environment variable {name} is not set; set it for `hoaban up`")
    return value


def checked_address(target: Target, host: str, port: int) -> str:
    """An address of a host that may be connected to. Raises AwayError for an unknown one, or one that may not."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise AwayError(f"{host}: no such host ({error})") from None
    addresses = [str(entry[4][0]) for entry in found]
    if why := refusal(addresses, target.networks):
        raise AwayError(f"{host}: {why}")
    return addresses[0]


class WebhookSender:
    """Signed as https://www.standardwebhooks.com says; follows no redirect and uses no proxy.

    The name is looked up once an attempt, and that very address is connected to: a name server that answers otherwise
    a moment later leads nowhere else. The certificate is still checked against the name.
    """

    def __init__(self, target: WebhookTarget, environment: Mapping[str, str]) -> None:
        self._target = target
        try:
            self._hook = Webhook(secret(target, target.secret_env, environment) or "")
        except SetupError:
            raise
        except Exception:
            raise SetupError(f"{target.id}: {target.secret_env} is no secret of the form whsec_BASE64") from None
        limit = httpx.Timeout(target.timeout_s, connect=min(CONNECT_LIMIT_S, target.timeout_s))
        self._client = httpx.Client(timeout=limit, follow_redirects=False, trust_env=False)

    def send(self, message: Message) -> None:
        parts, body, now = urlsplit(self._target.url), message.body, datetime.now(UTC)
        host = parts.hostname or ""
        address = checked_address(self._target, host, parts.port or (443 if parts.scheme == "https" else 80))
        shown = f"[{address}]" if ":" in address else address
        url = parts._replace(netloc=shown if parts.port is None else f"{shown}:{parts.port}").geturl()
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/cloudevents+json" if "specversion" in message.document else "application/json",
            "webhook-id": message.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._hook.sign(message.key, now, body),
        }
        try:
            with self._client.stream(
                "POST", url, content=body.encode(), headers=headers, extensions={"sni_hostname": host}
            ) as answer:
                status = answer.status_code
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise AwayError(f"{host}: {error or type(error).__name__}") from None
        if status >= 500 or status in (408, 425, 429) or 300 <= status < 400:
            raise AwayError(f"{host} answered {status}")
        if status >= 400:
            raise RefusedError(f"{host} answered {status}")

    def close(self) -> None:
        self._client.close()


class MqttSender:
    """One connection, made when it is needed and kept; a message counts when the broker has acknowledged it (QoS 1)."""

    def __init__(self, target: MqttTarget, environment: Mapping[str, str]) -> None:
        self._target, self._password = target, secret(target, target.password_env, environment)
        self._client: mqtt.Client | None = None
        self._refused: str | None = None

    def send(self, message: Message) -> None:
        target = self._target
        try:
            client = self._client or self._connect()
            sent = client.publish(self._topic(message), message.body, qos=1)
            sent.wait_for_publish(target.timeout_s)
            if not sent.is_published():
                raise OSError(self._refused or f"the broker acknowledged nothing within {target.timeout_s:g} s")
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise AwayError(f"{target.host}:{target.port}: {error}") from None

    def _topic(self, message: Message) -> str:
        if self._target.format == "onvif":
            topic = message.document["Topic"].removeprefix("tns1:")
            return f"{self._target.prefix}/{message.camera}/onvif-ej/{topic}"
        return f"{self._target.prefix}/{message.camera}/{message.type.removeprefix('hoaban.')}"

    def _connect(self) -> mqtt.Client:
        """With TLS the certificate tells whether a name leads where it should; without, the checked address does."""
        target = self._target
        address = checked_address(target, target.host, target.port)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if target.username is not None:
            client.username_pw_set(target.username, self._password)
        if target.tls:
            client.tls_set_context(ssl.create_default_context())
        client.connect_timeout = CONNECT_LIMIT_S
        client.on_connect = self._connected
        self._refused = None
        client.connect(target.host if target.tls else address, target.port)
        client.loop_start()
        self._client = client
        return client

    def _connected(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._refused = str(code) if code.is_failure else None

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.disconnect()
                client.loop_stop()


class KafkaSender:
    """Records keyed by the camera, acknowledged by all replicas. The id stands in the header `ce_id`.

    Its brokers name further addresses, which are connected to as they say; only the first ones are checked.
    """

    def __init__(self, target: KafkaTarget, environment: Mapping[str, str]) -> None:
        self._target = target
        try:
            from confluent_kafka import Producer
        except ImportError:
            raise SetupError(f"{target.id}: Kafka needs another package; pip install 'hoaban[kafka]'") from None
        limit_ms = int(target.timeout_s * 1000)
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(target.servers),
            "enable.idempotence": True,
            "message.timeout.ms": limit_ms,
            "security.protocol": ("SASL_" if target.username else "") + ("SSL" if target.tls else "PLAINTEXT"),
        }
        if target.username:
            password = secret(target, target.password_env, environment)
            settings |= {"sasl.mechanism": "PLAIN", "sasl.username": target.username, "sasl.password": password}
        self._producer = Producer(settings, logger=logging.getLogger("kafka"))

    def send(self, message: Message) -> None:
        target = self._target
        for server in target.servers:
            host, _, port = server.rpartition(":")
            checked_address(target, host.strip("[]"), int(port))
        told: list[Any] = []
        try:
            self._producer.produce(
                target.topic,
                message.body.encode(),
                message.camera.encode(),
                headers={"ce_id": message.key.encode(), "content-type": b"application/cloudevents+json"},
                on_delivery=lambda error, _: told.append(error),
            )
            self._producer.flush(target.timeout_s + 1)
        except BufferError as error:
            raise AwayError(f"{target.servers[0]}: {error}") from None
        if not told:
            raise AwayError(f"{target.servers[0]}: no answer within {target.timeout_s:g} s")
        if told[0] is not None:
            raise AwayError(f"{target.servers[0]}: {told[0].str()}")

    def close(self) -> None:
        self._producer.flush(1)
