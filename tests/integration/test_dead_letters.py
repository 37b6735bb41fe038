"""Events that could not be stored wait, all of them, for a person who tries again or drops one with a reason."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.bus import EventBus
from actors.embedded_redis import EmbeddedRedis
from actors.store import AuditStore, EventStore
from actors.writer import StoreWriter
from cli.main import main
from tests.events import some_events

pytestmark = pytest.mark.integration


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("HOABAN_REDIS_URL", raising=False)
    monkeypatch.delenv("HOABAN_STORE_URL", raising=False)
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    EventStore.open(f"sqlite:///{tmp_path / 'hoaban.db'}").close()
    yield tmp_path
    server.kill()


def bus(data: Path) -> EventBus:
    settings = dict(line.split(" ", 1) for line in (data / "valkey/valkey.conf").read_text().splitlines())
    return EventBus(f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["events", "dead", *arguments])
    return int(ended.value.code or 0)


def listed(data: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    code = run("list", "--data", str(data), "--json")
    letters: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    assert code == (1 if letters else 0)
    return letters


def store_all(data: Path) -> list[str]:
    """What is in the store after the writer had all that waits."""
    store = EventStore.open(f"sqlite:///{data / 'hoaban.db'}")
    writer = StoreWriter(bus(data), store)
    while writer.run_once(block_ms=50):
        pass
    ids = [found.event.id for found in store.tail(0, 100)]
    store.close()
    return ids


def test_more_than_a_batch_are_kept(data: Path) -> None:
    bus(data).send([b"no event"] * 1_050)
    store_all(data)
    assert len(bus(data).dead()) == 1_050


def test_one_is_tried_again_and_another_dropped_on_the_record(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (event,) = some_events(1)
    bus(data).send([b"no event", event.to_json().encode()[:-9]])
    assert store_all(data) == []
    first, second = listed(data, capsys)
    assert "not an event" in first["why"] or "Expecting" in first["why"]
    assert run("retry", first["entry"], "--data", str(data)) == 0
    assert len(listed(data, capsys)) == 1
    assert store_all(data) == []  # it failed again, and is aside again
    assert len(listed(data, capsys)) == 2
    assert run("drop", second["entry"], "--data", str(data)) == 2  # without a reason
    assert run("drop", second["entry"], "--reason", " ", "--data", str(data)) == 2
    assert run("drop", second["entry"], "--reason", "cut off by a test", "--data", str(data)) == 0
    assert run("drop", second["entry"], "--reason", "twice", "--data", str(data)) == 2
    (left,) = listed(data, capsys)
    assert left["body"] == "no event"
    store = EventStore.open(f"sqlite:///{data / 'hoaban.db'}")
    done = [(record.action, record.reason) for record in AuditStore(store.engine).records()]
    ((action, reason),) = [one for one in done if one[0] not in ("events.dead.list", "events.retry")]
    store.close()
    assert (action, reason) == ("events.drop", "cut off by a test")


def test_what_was_mended_is_stored_by_a_retry_of_all(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = some_events(3)
    for event in events:  # as they lie there when the database refused them
        bus(data)._redis.xadd("hoaban:events:dead", {"body": event.to_json(), "why": "the database refused it"})
    assert run("retry", "--data", str(data)) == 0
    assert store_all(data) == [event.id for event in events]
    assert listed(data, capsys) == []


def test_who_looked_at_them_is_on_record_and_without_a_record_nobody_looks(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (event,) = some_events(1)
    bus(data).send([event.to_json().encode()[:-9]])
    store_all(data)
    (letter,) = listed(data, capsys)
    run("retry", letter["entry"], "--data", str(data))
    store = EventStore.open(f"sqlite:///{data / 'hoaban.db'}")
    assert [one.action for one in AuditStore(store.engine).records()] == ["events.dead.list", "events.retry"]
    store.close()
    store_all(data)
    (data / "hoaban.db").write_bytes(b"this is no database")
    capsys.readouterr()
    assert run("list", "--data", str(data)) == 2
    assert event.id not in capsys.readouterr().out
