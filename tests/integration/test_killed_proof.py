"""kill -9 of who seals, erases and makes incidents, and of PostgreSQL, amid the work: nothing is lost or done twice."""

import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import actors.purge
import actors.retention
from actors.proof.archive import folder
from actors.proof.sealer import Sealer
from actors.store.erasures import LEASE_S
from actors.store.incident_keeping import Ground, follow
from actors.store.incident_tables import incident_events, incidents
from hoaban.events import Event, Finding, Provenance, bind
from hoaban.evidence.erasures import Record, broken
from hoaban.evidence.retention import DAY_S
from hoaban.evidence.review import State
from hoaban.evidence.verify import verify
from hoaban.frames import FrameMeta
from tests.evidence import MODEL, leave_candidate, red_light
from tests.postgres import Postgres
from tests.seeds import SEEDS
from tests.unit.test_retention import SIGNER, TRUSTED, System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
ROUNDS, EACH, COUNTED = 6, 12, 300
OVER_S, YOUNG_S, NOW_S = 20000 * DAY_S, 20001.9 * DAY_S, 20002 * DAY_S
GROUND = Ground.of_fleet({})


def intrusion(number: int) -> Event:
    finding = Finding("intrusion", "r", number, "person", zone="door")
    frame = FrameMeta(f"cam{number % 7}", number, YOUNG_S + number, 100, 100)
    return bind(finding, frame, "shared", Provenance(MODEL, "c", "0"))


def workers(system: System) -> list[Callable[[], int]]:
    """A piece of each kind of work; how much was done."""
    sealer = Sealer(system.files, system.records, SIGNER)
    return [
        sealer.step,
        lambda: system.purger.step(NOW_S),
        lambda: follow(system.store.engine, GROUND, NOW_S, batch=3),
    ]


def work_until_killed(root: Path, url: str, which: int, began: Any) -> None:
    actors.retention.BATCH = actors.purge.BATCH = 5
    work = workers(System(root, url))[which]
    began.release()
    while True:
        work()


@pytest.mark.parametrize("seed", SEEDS)
def test_all_is_sealed_erased_and_made_an_incident_once_whatever_is_killed(
    tmp_path: Path, store_url: str, postgres: Postgres, seed: int
) -> None:
    chance, processes = random.Random(seed), multiprocessing.get_context("fork")
    over = [red_light(at_s=OVER_S + i, track=i, retention_days=1) for i in range(ROUNDS * EACH)]
    young = [red_light(at_s=YOUNG_S + i, track=i) for i in range(ROUNDS * EACH)]
    system = System(tmp_path, store_url)
    seen = [intrusion(i) for i in range(60)]
    system.store.write([*over, *young, *seen])
    counted = [system.event(20000 + i / 1000, days=1) for i in range(COUNTED)]
    system.store.close()
    for number in range(ROUNDS):
        for events in (over, young):
            for event in events[number * EACH : (number + 1) * EACH]:
                leave_candidate(tmp_path / "evidence", event)
        began = processes.Semaphore(0)
        children = [
            processes.Process(target=work_until_killed, args=(tmp_path, store_url, which, began)) for which in range(3)
        ]
        try:
            for child in children:
                child.start()
            for _ in children:
                assert began.acquire(timeout=60)
            time.sleep(chance.uniform(0.0, 1.0))
            if "postgresql" in store_url and chance.random() < 0.7:
                postgres.kill()
                time.sleep(chance.uniform(0.0, 0.1))
        finally:  # whatever went wrong, none of them works on for ever
            for child in children:
                child.kill()
                child.join()
        postgres.start()

    system = System(tmp_path, store_url)
    work = workers(system)
    while sum(step() for step in work) or system.retention.unfinished():
        system.retention.lease(system.eraser._worker, time.time() + 2 * LEASE_S)  # what the dead held is free by then
    erasures = system.retention.records()
    chain = [Record(one.number or 0, one.id, one.manifest or b"", one.signature or b"") for one in erasures]
    assert broken(chain, TRUSTED) == []
    assert len(erasures) == len(system.retention.erasures(10_000))
    # Each event that was over is told of once, alone, in a batch, or with its case; and is gone.
    gone = [one for erasure in erasures for one in erasure.plan]
    with_case = [one["id"] for one in gone if one["what"] == "evidence"]
    assert len(with_case) == len(set(with_case))
    assert set(with_case) <= {event.id for event in over}
    assert len(with_case) + sum(one["count"] for one in gone if one["what"] == "events") == len(over) + len(counted)
    assert {case.id for case in system.records.erased()} == set(with_case)
    kept = {event.id for event in young}
    assert {case.id for case in system.records.kept()} == kept
    assert system.left() == kept | {event.id for event in seen}
    assert {path.name for path in (tmp_path / "evidence").iterdir() if not path.name.startswith(".")} == kept
    assert all(verify(folder(tmp_path / "evidence" / id), TRUSTED).problems == [] for id in kept)
    assert {system.records.get(id).state for id in kept} == {State.OPEN}
    with system.store.engine.connect() as connection:
        made = connection.execute(sa.select(incident_events.c.event)).scalars().all()
        counts = connection.execute(sa.select(sa.func.sum(incidents.c.events))).scalar()
    assert sorted(made) == sorted(event.id for event in seen)
    assert counts == len(seen)
    system.store.close()
