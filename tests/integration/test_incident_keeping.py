"""The keeper: each stored event is in one incident exactly once, whatever is killed or runs twice."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.incidents import Keeper
from actors.store import EventStore, IncidentStore
from actors.store.incident_keeping import Ground, follow, keep_time
from actors.store.incident_tables import (
    camera_faults,
    incident_events,
    incident_log,
    incident_places,
    incidents,
    keeper_cursors,
    work_order_log,
    work_orders,
)
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.stream_health import health_finding

pytestmark = pytest.mark.integration

FLEET = {
    "cameras": [
        {"id": "gate", "district": "dbp", "location": {"lat": 21.386, "lon": 103.017}},
        {"id": "bridge", "district": "dbp", "location": {"lat": 21.3861, "lon": 103.017}},
        {"id": "far", "district": "db", "location": {"lat": 21.5, "lon": 103.1}},
    ]
}
TABLES = (
    incidents, incident_places, incident_events, incident_log, work_orders, work_order_log, camera_faults,
    keeper_cursors,
)  # fmt: skip
LATE_S = 100_000.0

KEEPER = f"""
import os, signal, sys
import sqlalchemy as sa
from actors.store import EventStore
from actors.store.incident_keeping import Ground, follow, keep_time
left = int(sys.argv[2])
store = EventStore.open(sys.argv[1])
@sa.event.listens_for(store.engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
ground = Ground.of_fleet({FLEET!r})
while follow(store.engine, ground, 5000.0, batch=20):
    pass
keep_time(store.engine, ground, {LATE_S})
"""


def stored(url: str, events: list[Event]) -> EventStore:
    store = EventStore.open(url)
    store.write(events)
    return store


def event(camera: str, time_s: float, finding: Finding | None = None) -> Event:
    finding = finding or Finding("intrusion", "r", int(time_s), "person", zone="door")
    provenance = Provenance(ModelRef("m", "1", "a" * 64), "c" * 64, "test")
    return bind(finding, FrameMeta(camera, int(time_s * 10), time_s, 100, 100), "shared", provenance)


def a_day() -> list[Event]:
    """Intrusions at two neighbours and one far away, crossings that make no incident, a fault of a camera."""
    found = []
    for number in range(40):
        at_s = 1000.0 + 60 * number + (700 if number >= 20 else 0)
        found.append(event("gate" if number % 2 else "bridge", at_s))
        found.append(event("far", at_s + 1))
        found.append(event("gate", at_s + 2, Finding("line_count", "c", number, "car", line="in")))
    found.append(event("far", 1500.0, health_finding("camera_health", "dark", "start", "dark")))
    found.append(event("far", 3000.0, health_finding("camera_health", "dark", "end", "light")))
    return found


def content(store: EventStore) -> dict[str, list[dict[str, object]]]:
    """All that was made, without the numbers that a database gives: PostgreSQL leaves out those of what was undone."""
    with store.engine.connect() as connection:
        numbers = connection.execute(sa.select(incidents.c.number).order_by(incidents.c.number)).scalars().all()
        ranks = {number: rank for rank, number in enumerate(numbers)}
        return {
            table.name: [
                {
                    name: ranks[value] if name == "incident" else value
                    for name, value in row.items()
                    if name not in ("number", "about") and not (name == "seq" and table.name.endswith("_log"))
                }
                for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in TABLES
        }


def test_a_keeper_killed_at_any_statement_loses_nothing_and_doubles_nothing(store_url: str, tmp_path: Path) -> None:
    whole = stored(f"sqlite:///{tmp_path / 'whole.db'}", a_day())
    while follow(whole.engine, Ground.of_fleet(FLEET), 5000.0, batch=20):
        pass
    keep_time(whole.engine, Ground.of_fleet(FLEET), LATE_S)
    expected = content(whole)
    assert len(expected["incident_events"]) == 80
    assert len(expected["incidents"]) == 4  # two places, a pause of more than five minutes in the middle
    assert [(row["camera"], row["fault"], row["district"]) for row in expected["work_orders"]] == [
        ("far", "dark", "db")
    ]

    killed_store, kills = stored(store_url, a_day()), 0
    for statements in (2, 23, 77, 160, 10_000):
        run = subprocess.run([sys.executable, "-c", KEEPER, store_url, str(statements)], check=False)
        kills += run.returncode == -signal.SIGKILL
    assert run.returncode == 0
    assert kills == 4
    assert content(killed_store) == expected


def test_two_keepers_at_once_do_what_one_does(store_url: str) -> None:
    store = stored(store_url, a_day())
    engines = [EventStore.open(store_url).engine for _ in range(2)]
    ground, took = Ground.of_fleet(FLEET), [0, 0]

    def keep(which: int) -> None:
        while step := follow(engines[which], ground, 5000.0, batch=5):
            took[which] += step

    threads = [threading.Thread(target=keep, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(took) == len(a_day())
    found = content(store)
    assert len(found["incident_events"]) == 80
    assert len(found["incidents"]) == 4
    assert sum(int(str(row["events"])) for row in found["incidents"]) == 80


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def test_events_wait_for_the_fleet_and_what_a_person_closed_stays_closed(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    store, board = stored(f"sqlite:///{tmp_path / 'a.db'}", a_day()[:3]), Board(valkey.url)
    keeper, kept = Keeper(board, store), IncidentStore(store.engine)
    assert keeper.tick(1000.0) == 0
    board.put_json("fleet", FLEET)
    assert keeper.tick(1000.0) == 3
    assert keeper.tick(1000.0) == 0
    with store.engine.begin() as connection:
        connection.execute(sa.update(incidents).values(state="resolved"))
    store.write([event("gate", 1010.0)])
    keeper.tick(1010.0)
    assert [(one.state, one.events) for one in kept.page()[0]] == [("new", 1), ("resolved", 1), ("resolved", 1)]


def test_an_upgrade_of_a_full_store_makes_no_incidents_of_what_is_past(store_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    from actors.store import store as module

    store = stored(store_url, a_day())
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005_incidents-1")
    store = EventStore.open(store_url)
    assert follow(store.engine, Ground.of_fleet(FLEET), 5000.0) == 0
    store.write([event("gate", 9000.0)])
    assert follow(store.engine, Ground.of_fleet(FLEET), 9000.0) == 1


def test_the_keepers_actor_keeps_and_stops(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    import ray

    from actors.incidents import KeeperActor
    from actors.local_ray import start_local

    Board(valkey.url).put_json("fleet", FLEET)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = stored(url, a_day())
    start_local()
    try:
        actor = KeeperActor.remote(valkey.url, url)
        limit = time.monotonic() + 60
        while len(content(store)["incident_events"]) < 80:
            assert time.monotonic() < limit, "the keeper did not keep"
            time.sleep(0.1)
        ray.get(actor.stop.remote(), timeout=20)
        store.write([event("gate", 99_000.0)])
        time.sleep(2.0)
        assert len(content(store)["incident_events"]) == 80
    finally:
        ray.shutdown()
