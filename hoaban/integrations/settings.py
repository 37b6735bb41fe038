"""The integrations file: where events go outside the system. Its secrets are names of environment variables."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, field_validator, model_validator

from hoaban.shapes import Id, Strict

EnvName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="name of an environment variable")]


class Target(Strict):
    """Who gets which events."""

    id: Id
    agency: Id | None = Field(None, description="who receives: cameras whose terms name viewers send to these alone")
    types: tuple[str, ...] | None = Field(None, description="types of events, e.g. hoaban.intrusion; all by default")
    cameras: tuple[Id, ...] | None = None
    districts: tuple[Id, ...] | None = None
    format: Literal["cloudevents", "onvif"] = "cloudevents"
    most_attempts: int = Field(20, ge=1, le=100, description="after so many an event is set aside as dead")
    networks: tuple[IPvAnyNetwork, ...] = Field(
        (), description="networks that are not public and may be connected to, e.g. 10.20.0.0/16"
    )


class WebhookTarget(Target):
    """Events by HTTP POST, signed as Standard Webhooks says."""

    url: str = Field(description="https://…; http:// to an address in `networks` alone")
    secret_env: EnvName
    timeout_s: float = Field(10.0, gt=0, le=60)

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is no https:// address")
        if parts.username or parts.password:
            raise ValueError("no user or password belongs into the address; the signature tells who sends")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> "WebhookTarget":
        if urlsplit(self.url).scheme == "http" and not self.networks:
            raise ValueError("url: http:// is for addresses in `networks` alone; use https://")
        return self


class MqttTarget(Target):
    """Events to an MQTT broker, delivered at least once (QoS 1)."""

    host: str = Field(min_length=1)
    port: int = Field(8883, ge=1, le=65535)
    tls: bool = True
    username: str | None = None
    password_env: EnvName | None = None
    prefix: str = Field("hoaban", pattern=r"^[^#+\x00/][^#+\x00]*$", description="topics begin with it")
    timeout_s: float = Field(10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _is_safe(self) -> "MqttTarget":
        if not self.tls and not self.networks:
            raise ValueError("tls: false is for addresses in `networks` alone")
        return self


class KafkaTarget(Target):
    """Events to a broker that speaks Kafka's protocol; needs the extra `kafka`."""

    servers: tuple[Annotated[str, Field(pattern=r"^.+:[0-9]{1,5}$")], ...] = Field(
        min_length=1, description="HOST:PORT"
    )
    topic: str = Field("hoaban.events", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    username: str | None = None
    password_env: EnvName | None = None
    tls: bool = True
    timeout_s: float = Field(10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _is_safe(self) -> "KafkaTarget":
        if not self.tls and not self.networks:
            raise ValueError("tls: false is for addresses in `networks` alone")
        return self


class IntegrationSettings(Strict):
    """All targets; their ids differ."""

    webhooks: tuple[WebhookTarget, ...] = ()
    mqtt: tuple[MqttTarget, ...] = ()
    kafka: tuple[KafkaTarget, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        return (*self.webhooks, *self.mqtt, *self.kafka)

    @model_validator(mode="after")
    def _ids_differ(self) -> "IntegrationSettings":
        ids = [target.id for target in self.targets]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"the id {twice[0]!r} is given to two targets; give each its own")
        return self
