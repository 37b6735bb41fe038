"""Events reach what lies outside: signed, at least once, whatever is killed or away; what cannot be sent is seen."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from standardwebhooks import Webhook

from actors.board import Board
from actors.courier import Courier
from actors.embedded_redis import EmbeddedRedis
from actors.integrations.senders import open_sender
from actors.processes import free_port
from actors.store import EventStore
from actors.store.outbox import Outbox
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.integrations import IntegrationSettings, Target

pytestmark = pytest.mark.integration
SECRET = "whsec_" + "QUJD" * 8
ENVIRONMENT = {"HOOK": SECRET, "MQTT_PASSWORD": "p"}
PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")
HERE = ["127.0.0.0/8"]
COURIER = """
import json, os, sys, time
from actors.board import Board
from actors.courier import Courier
from actors.integrations.senders import open_sender
from actors.store import EventStore
from actors.store.outbox import Outbox
from hoaban.integrations import IntegrationSettings

settings = IntegrationSettings.model_validate(json.loads(sys.argv[3]))
outbox = Outbox(EventStore.open(sys.argv[2]).engine)
courier = Courier(settings.targets[0], Board(sys.argv[1]), outbox, open_sender)
while True:
    courier.tick(time.time())
    print("tick", flush=True)
    time.sleep(0.02)
"""


def event(number: int, kind: str = "intrusion", **more: Any) -> Event:
    finding = Finding(kind, "r", track=number, label="person", zone="yard", **more)
    return bind(finding, FrameMeta("gate", number, 1000.0 + number, 10, 10), "shared", PROVENANCE)


class Receiver:
    """A webhook's other end: keeps what came with a good signature. answers: status of the next requests, else 204."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[int] = []
        self.forged = 0
        self.pause_s = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    document = Webhook(SECRET).verify(body, dict(self.headers))
                except Exception:
                    receiver.forged += 1
                    self.send_response(401)
                    self.end_headers()
                    return
                status = receiver.answers.pop(0) if receiver.answers else 204
                if status < 300:
                    receiver.taken.append((self.headers["webhook-id"], document))
                    time.sleep(receiver.pause_s)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Place:
    """A store, a board with one camera, and couriers on demand."""

    def __init__(self, folder: Path, redis_url: str, store_url: str) -> None:
        self.redis_url, self.store_url = redis_url, store_url
        self.store, self.board = EventStore.open(store_url), Board(redis_url)
        self.outbox = Outbox(self.store.engine)
        self.fleet({"id": "gate", "district": "north", "owner": "ward"})

    def fleet(self, camera: dict[str, Any]) -> None:
        self.board.put_json("fleet", {"cameras": [camera]})

    def courier(self, kind: str, environment: dict[str, str] = ENVIRONMENT, **target: Any) -> Courier:
        settings = IntegrationSettings.model_validate({kind: [{"id": "t", "networks": HERE} | target]})
        made = Courier(settings.targets[0], self.board, self.outbox, lambda t: open_sender(t, environment))
        made.tick(0.0)
        return made

    def state(self) -> Any:
        return self.outbox.states()[0]


@pytest.fixture
def place(tmp_path: Path, store_url: str) -> Iterator[Place]:
    redis = EmbeddedRedis(tmp_path / "valkey")
    made = Place(tmp_path, redis.start(), store_url)
    yield made
    made.store.close()
    redis.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_a_killed_courier_loses_nothing_and_repeats_carry_the_same_id(place: Place, receiver: Receiver) -> None:
    receiver.pause_s = 0.02  # so that a kill falls between taken and noted
    target = {"id": "t", "url": receiver.url, "secret_env": "HOOK", "networks": HERE}
    command = [sys.executable, "-c", COURIER, place.redis_url, place.store_url, json.dumps({"webhooks": [target]})]
    wanted: set[str] = set()
    for turn in range(3):
        process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "tick\n" or turn  # the first one makes the target known
        batch = [event(turn * 20 + n) for n in range(20)]
        place.store.write(batch)
        wanted |= {one.id for one in batch}
        enough = turn * 20 + 7
        until(lambda enough=enough: len(receiver.taken) >= enough)
        process.kill()
        process.wait(10)
    last = place.courier("webhooks", url=receiver.url, secret_env="HOOK")
    until(lambda: last.tick(time.time()) == 0 and place.state().waiting == 0)
    ids = Counter(name for name, _ in receiver.taken)
    assert set(ids) == wanted
    assert {document["id"] for _, document in receiver.taken} == wanted
    assert receiver.forged == 0
    assert sum(ids.values()) <= len(wanted) + 3  # a kill repeats one at most
    assert place.state().dead == 0


def test_a_target_that_is_away_is_waited_for_and_what_it_refuses_is_given_up_and_seen(
    place: Place, receiver: Receiver
) -> None:
    courier = place.courier("webhooks", url=receiver.url, secret_env="HOOK", most_attempts=3)
    place.store.write([event(1), event(2)])
    receiver.answers = [503]
    assert courier.tick(100.0) == 0
    assert "answered 503" in place.state().error
    assert courier.tick(100.1) == 0  # it rests
    assert courier.tick(200.0) == 2
    assert place.state().error is None
    place.store.write([event(3), event(4)])
    receiver.answers = [400]
    assert courier.tick(300.0) == 1  # the other one is taken
    receiver.answers = [400, 302]
    courier.tick(10_000.0)
    courier.tick(20_000.0)
    assert (place.state().dead, place.state().waiting) == (1, 0)
    assert courier.tick(90_000.0) == 0
    assert place.outbox.revive("t") == 1
    assert courier.tick(90_001.0) == 1
    assert Counter(document["data"]["track"] for _, document in receiver.taken) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert place.state().delivered == 4


def test_an_owner_who_changes_the_terms_stops_what_waits(place: Place, receiver: Receiver) -> None:
    courier = place.courier("webhooks", url=receiver.url, secret_env="HOOK")
    place.store.write([event(1)])
    receiver.answers = [503]
    courier.tick(100.0)
    place.fleet({"id": "gate", "district": "north", "owner": "ward", "terms": {"viewers": ["police"]}})
    courier.tick(1000.0)
    assert receiver.taken == []
    assert place.state().waiting == 0


def test_an_address_of_ours_is_never_connected_to(place: Place, receiver: Receiver) -> None:
    courier = place.courier("webhooks", url=receiver.url, secret_env="HOOK", networks=["192.0.2.0/24"])
    place.store.write([event(1)])
    assert courier.tick(100.0) == 0
    assert "127.0.0.1 is not a public address" in place.state().error
    assert receiver.taken == []


def test_a_new_target_does_not_get_the_past(place: Place, receiver: Receiver) -> None:
    place.store.write([event(1)])
    courier = place.courier("webhooks", url=receiver.url, secret_env="HOOK")
    place.store.write([event(2)])
    courier.tick(100.0)
    assert [document["data"]["track"] for _, document in receiver.taken] == [2]


def until(what: Callable[[], object], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.02)


# --- MQTT


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Starts a real Mosquitto, again and again on the same port; returns the port."""
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        assert not os.environ.get("HOABAN_REQUIRE_MOSQUITTO"), "Mosquitto is not installed"
        pytest.skip("Mosquitto is not installed: apt-get install mosquitto")
    port, running = free_port(), []
    (tmp_path / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")

    def start() -> int:
        stop()
        running.append(subprocess.Popen([program, "-c", str(tmp_path / "m.conf")], stderr=subprocess.DEVNULL))
        return port

    def stop() -> None:
        while running:
            running[-1].kill()
            running.pop().wait(10)

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    stop()


def listener(port: int, got: list[tuple[str, dict[str, Any]]]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, message: got.append((message.topic, json.loads(message.payload)))
    heard = threading.Event()
    client.on_subscribe = lambda *_: heard.set()
    for _ in range(100):
        with contextlib.suppress(OSError):
            client.connect("127.0.0.1", port)
            break
        time.sleep(0.05)
    client.loop_start()
    client.subscribe("#", qos=1)
    assert heard.wait(10)
    return client


def test_mqtt_gets_events_also_after_its_broker_was_away(place: Place, broker: Any) -> None:
    port, got = broker(), []
    first = listener(port, got)
    courier = place.courier("mqtt", host="127.0.0.1", port=port, tls=False, timeout_s=3)
    place.store.write([event(1)])
    assert courier.tick(100.0) == 1
    until(lambda: len(got) == 1)
    assert got[0][0] == "hoaban/gate/intrusion"
    assert got[0][1]["id"] == event(1).id
    first.loop_stop()
    broker.stop()
    place.store.write([event(2)])
    assert courier.tick(200.0) == 0
    assert place.state().waiting == 1
    broker()
    second = listener(port, got)
    until(lambda: courier.tick(time.time()) == 1)
    until(lambda: event(2).id in {document["id"] for _, document in got})
    second.loop_stop()
    courier.close()


def test_mqtt_in_onvifs_terms(place: Place, broker: Any) -> None:
    port, got = broker(), []
    client = listener(port, got)
    courier = place.courier("mqtt", host="127.0.0.1", port=port, tls=False, format="onvif", prefix="dbp")
    place.store.write([event(1)])
    assert courier.tick(100.0) == 1
    until(lambda: got)
    assert got[0][0] == "dbp/gate/onvif-ej/RuleEngine/FieldDetector/ObjectsInside"
    assert got[0][1]["Data"]["IsInside"] is True
    client.loop_stop()
    courier.close()


# --- Kafka's protocol


def test_kafka_gets_events_keyed_by_camera(place: Place) -> None:
    """Against librdkafka's own broker, which speaks the protocol over TCP and keeps nothing."""
    kafka = pytest.importorskip("confluent_kafka")
    mock = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
    server = next(iter(mock.list_topics(timeout=10).brokers.values()))
    servers = f"{server.host}:{server.port}"
    courier = place.courier("kafka", servers=[servers], tls=False, topic="events")
    consumer = kafka.Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    try:
        place.store.write([event(1), event(2)])
        assert courier.tick(100.0) == 2
        consumer.subscribe(["events"])
        got: list[Any] = []

        def read() -> bool:
            if (message := consumer.poll(0.5)) is not None and message.error() is None:
                got.append(message)
            return len(got) == 2

        until(read)
        assert [json.loads(message.value())["id"] for message in got] == [event(1).id, event(2).id]
        assert {message.key() for message in got} == {b"gate"}
        assert dict(got[0].headers())["ce_id"] == event(1).id.encode()
    finally:
        consumer.close()
        courier.close()


def test_every_target_kind_has_a_sender() -> None:
    assert {kind.__name__ for kind in Target.__subclasses__()} == {"WebhookTarget", "MqttTarget", "KafkaTarget"}
