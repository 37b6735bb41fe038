"""Events on their way to Redis while it hangs, dies and comes back: nothing waits for it, none lost, none twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import publisher as publishing
from actors.board import Board
from actors.bus import STREAM, EventBus, connect
from actors.embedded_redis import EmbeddedRedis
from actors.journal import Journal
from actors.local_ray import start_local
from actors.publisher import SpoolingPublisher, Swept, sweep
from actors.store import EventStore
from actors.sweeper import SpoolSweeper
from actors.writer import StoreWriter
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.lasting import MOST_ONCE, ONCE_S
from tests.events import some_events
from tests.whereabouts import whereabouts

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events settle, and publishers try again, sooner than in earnest."""
    monkeypatch.setattr(publishing, "KEEP_S", 2.5)  # an append-only file is written at most 2 s after its time
    monkeypatch.setattr(publishing, "LONGEST_PAUSE_S", 0.3)


RUNS = int(os.environ.get("HOABAN_PUBLISHING_FAULT_RUNS", "1"))
FIRST_SEED = int(os.environ.get("HOABAN_FAULT_SEED", "0"))
GENEROUS_S = 120.0
"""how long what must come is waited for"""
LOOKS_S = 0.02


def until(what: Callable[[], object], told: Callable[[], str] = lambda: "it never came") -> None:
    """Counted in looks: a process that is made to stand still for minutes makes no event late."""
    for _ in range(round(GENEROUS_S / LOOKS_S)):
        if what():
            return
        time.sleep(LOOKS_S)
    pytest.fail(told())


def in_stream(url: str) -> list[str]:
    """The ids in the stream, each where it comes first."""
    bodies = [Event.from_json(fields["body"]).id for _, fields in connect(url).xrange(STREAM)]
    return list(dict.fromkeys(bodies))


def test_a_redis_that_hangs_holds_nobody_up(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    publisher = SpoolingPublisher(EventBus(valkey.url, timeout_s=600), tmp_path / "spool")  # who waited would wait long
    events = some_events(1500)
    publisher.publish(events[:10])
    assert publisher.flush(GENEROUS_S)
    os.kill(valkey.pid, signal.SIGSTOP)
    done = threading.Thread(target=lambda: [publisher.publish([event]) for event in events[10:]], daemon=True)
    done.start()
    done.join(GENEROUS_S)
    assert not done.is_alive()
    assert publisher.spooled == 1490
    os.kill(valkey.pid, signal.SIGCONT)
    assert publisher.flush(GENEROUS_S)
    assert in_stream(valkey.url) == [event.id for event in events]
    publisher.close()


def test_what_redis_forgets_with_its_death_is_sent_again(valkey: EmbeddedRedis, tmp_path: Path, quick: None) -> None:
    """Valkey answers before its append-only file is written when that is being synced: here it has none at all."""
    connect(valkey.url).config_set("appendonly", "no")
    connect(valkey.url).config_set("save", "")
    publisher = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    events = some_events(30)
    publisher.publish(events[:20])
    assert publisher.flush(GENEROUS_S)
    valkey.kill()
    for path in (tmp_path / "valkey").rglob("*"):
        if path.is_file() and ("aof" in path.name or path.suffix == ".rdb"):
            path.unlink()
    valkey.start(valkey.port)
    publisher.publish(events[20:])
    until(lambda: publisher.spooled == 0 and connect(valkey.url).xlen(STREAM) >= 30)
    assert in_stream(valkey.url) == [event.id for event in events]
    until(lambda: not list((tmp_path / "spool").rglob("*.jsonl")))  # it lived long enough: the journal is empty
    publisher.close()


def die_and_forget(server: EmbeddedRedis, folder: Path) -> None:
    """As a server that is killed before its append-only file was written, and is back at once."""
    server.kill()
    for path in folder.rglob("*"):
        if path.is_file() and ("aof" in path.name or path.suffix == ".rdb"):
            path.unlink()
    server.start(server.port)


@pytest.mark.parametrize("moment", ["after it was asked", "while the events go"])
def test_a_redis_that_restarts_between_question_and_answer_breaks_no_order(
    valkey: EmbeddedRedis, tmp_path: Path, quick: None, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgot what it had; what comes next must not be there before that is there again."""
    armed = threading.Event()

    def restart() -> None:
        if armed.is_set():
            armed.clear()
            die_and_forget(valkey, tmp_path / "valkey")

    class Asked(EventBus):
        def run_id(self) -> str:
            told = super().run_id()
            if moment == "after it was asked":
                restart()
            return told

    if moment == "while the events go":
        multi = redis.client.Pipeline.multi

        def multi_after_restart(pipeline: redis.client.Pipeline) -> None:
            restart()
            multi(pipeline)

        monkeypatch.setattr(redis.client.Pipeline, "multi", multi_after_restart)
    publisher = SpoolingPublisher(Asked(valkey.url), tmp_path / "spool")
    events = some_events(30)
    publisher.publish(events[:20])
    assert publisher.flush(GENEROUS_S)
    armed.set()
    publisher.publish(events[20:])
    until(lambda: not armed.is_set() and publisher.spooled == 0 and connect(valkey.url).xlen(STREAM) >= 30)
    assert in_stream(valkey.url) == [event.id for event in events]
    publisher.close()


def test_what_a_full_redis_refuses_waits_until_there_is_room(
    valkey: EmbeddedRedis, tmp_path: Path, quick: None
) -> None:
    client = connect(valkey.url)
    client.config_set("maxmemory", "1kb")
    publisher = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    publisher.publish(some_events(20))
    until(lambda: publisher._away)
    assert publisher.spooled == 20
    client.config_set("maxmemory", "64mb")
    assert publisher.flush(GENEROUS_S)
    assert in_stream(valkey.url) == [event.id for event in some_events(20)]
    publisher.close()


DOOMED = """
import sys
from pathlib import Path
from actors.bus import EventBus
from actors.publisher import SpoolingPublisher
from tests.events import some_events
publisher = SpoolingPublisher(EventBus(sys.argv[1]), Path(sys.argv[2]))
for number, event in enumerate(some_events(100_000)):
    publisher.publish([event])
    print(number, flush=True)
"""


def publish_until_killed(url: str, spool: Path, events: int) -> int:
    """A process that publishes and is killed; how many events it was told are safe."""
    process = subprocess.Popen([sys.executable, "-c", DOOMED, url, str(spool)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= events:
            process.kill()
            break
    last = [int(line) for line in process.stdout.read().splitlines() if line.isdecimal()]
    process.wait()
    return max(last, default=events) + 1


def test_a_killed_process_loses_nothing_it_had_published(valkey: EmbeddedRedis, tmp_path: Path, quick: None) -> None:
    os.kill(valkey.pid, signal.SIGSTOP)
    told = publish_until_killed(valkey.url, tmp_path / "spool", 400)
    os.kill(valkey.pid, signal.SIGCONT)
    successor = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    assert successor.flush(GENEROUS_S)
    assert in_stream(valkey.url)[:told] == [event.id for event in some_events(told)]
    successor.close()


def test_what_seemed_to_live_is_sent_once_it_is_dead(valkey: EmbeddedRedis, tmp_path: Path, quick: None) -> None:
    """A process that was killed just now may hold its lock for a moment yet; nothing else happens at this camera."""
    dying = Journal.create(tmp_path / "spool")
    dying.append([event.to_json().encode() for event in some_events(3)])
    successor = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    assert successor.spooled == 0
    time.sleep(0.5)  # it has looked, and waits for something to do
    dying.close()
    until(lambda: in_stream(valkey.url) == [event.id for event in some_events(3)])
    successor.close()


def test_the_spools_of_cameras_that_are_gone_are_sent_and_those_of_others_left(
    valkey: EmbeddedRedis, tmp_path: Path, quick: None
) -> None:
    spools, url = tmp_path / "spool", valkey.url
    os.kill(valkey.pid, signal.SIGSTOP)
    told = publish_until_killed(url, spools / "removed", 50)
    living = SpoolingPublisher(EventBus("redis://127.0.0.1:1/0"), spools / "living")
    living.publish(some_events(5, "living"))
    assert sweep(spools, EventBus(url, timeout_s=0.2), idle_s=0).events >= told  # Redis hangs: all of it is left
    os.kill(valkey.pid, signal.SIGCONT)
    assert sweep(spools, EventBus(url), idle_s=3600) == Swept(0, 2)  # it may come back: not touched yet
    assert list((spools / "removed").rglob("*.jsonl"))
    assert sweep(spools, EventBus(url), idle_s=0) == Swept(0, 1)
    assert in_stream(url)[:told] == [event.id for event in some_events(told)]
    assert list((spools / "removed").iterdir()) == []
    assert living.spooled == 5
    living.close(0)


def test_the_supervisor_has_them_sent_on_every_node_and_again_while_redis_is_away(
    valkey: EmbeddedRedis, tmp_path: Path
) -> None:
    spools = tmp_path / "spool"
    valkey.kill()
    gone = SpoolingPublisher(EventBus(valkey.url), spools / "renamed")
    gone.publish(some_events(7))
    gone.close(0)
    start_local(1)
    try:
        sweeper = SpoolSweeper(spools, valkey.url, idle_s=0, soon_s=0.5)
        nodes = [node["NodeID"] for node in ray.nodes()]
        until(lambda: sweeper.tick(nodes) or sweeper._running)  # the first of them finds no Redis
        until(lambda: sweeper.tick(nodes) or not sweeper._running)
        valkey.start(valkey.port)
        until(lambda: sweeper.tick(nodes) or not list((spools / "renamed").iterdir()))
    finally:
        ray.shutdown()
    assert in_stream(valkey.url) == [event.id for event in some_events(7)]


@given(st.lists(st.text(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_any_text_arrives_as_it_was(lines_server: tuple[str, Path, EventStore], texts: list[str]) -> None:
    url, folder, store = lines_server
    before = store.last_seq()
    publisher = SpoolingPublisher(EventBus(url), folder)
    events = [
        Event(f"{before}-{number}", "hoaban.test", "cam", event.time, {"rule": text, "note": [text]})
        for number, (text, event) in enumerate(zip(texts, some_events(8), strict=False))
    ]
    publisher.publish(events)
    assert publisher.flush(GENEROUS_S)
    publisher.close()
    writer = StoreWriter(EventBus(url), store)
    while writer.run_once(20):
        pass
    stored = [found.event.data["note"][0] for found in store.tail(before)]
    assert stored == [text.encode("utf-8", "replace").decode() for text in texts]


@pytest.fixture(scope="module")
def lines_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, EventStore]]:
    folder = tmp_path_factory.mktemp("lines")
    server = EmbeddedRedis(folder / "valkey")
    server.start()
    store = EventStore.open(f"sqlite:///{folder / 'a.db'}")
    yield server.url, folder / "spool", store
    store.close()
    server.kill()


def one_fault(server: EmbeddedRedis, rng: random.Random) -> None:
    """Freeze or kill the server and bring it back. To be called by the main thread: a child dies with the thread."""
    fault = rng.choice(["hang", "kill", "kill while it hangs"])
    if "hang" in fault:
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.1, 0.8))
        os.kill(server.pid, signal.SIGCONT if fault == "hang" else signal.SIGKILL)
    if "kill" in fault:
        server.kill()
        time.sleep(rng.uniform(0.0, 0.3))
        server.start(server.port)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(FIRST_SEED + 1, FIRST_SEED + 1 + RUNS))
def test_random_faults_under_load_lose_nothing_double_nothing_and_keep_each_cameras_order(
    valkey: EmbeddedRedis, tmp_path: Path, store_url: str, quick: None, seed: int
) -> None:
    bear(one_fault, valkey, tmp_path / "spool", store_url, seed)


@pytest.mark.faults
def test_a_server_whose_clock_jumps_loses_nothing_doubles_nothing_and_keeps_the_order(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour, ahead and back, while it is used and while it is down; it numbers the stream by its clock."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        assert not os.environ.get("HOABAN_REQUIRE_FAKETIME"), "libfaketime is not installed"
        pytest.skip("a clock that jumps needs libfaketime: apt-get install libfaketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    server = EmbeddedRedis(tmp_path / "valkey")

    def jump(server: EmbeddedRedis, rng: random.Random) -> None:
        off_s = rng.choice((-3600, 0, 3600))
        clock.write_text(f"{off_s:+d}")
        if rng.random() < 0.4:
            one_fault(server, rng)
        client = connect(server.url, timeout_s=30)
        until(lambda: abs(client.time()[0] - time.time() - off_s) < 60)  # it does

    faked = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_RESET": 1}
    for name, value in (faked | {"FAKETIME_DONT_FAKE_MONOTONIC": 1}).items():
        monkeypatch.setenv(name, str(value))
    server.start()
    try:
        bear(jump, server, tmp_path / "spool", f"sqlite:///{tmp_path / 'store.db'}", FIRST_SEED + 1)
    finally:
        server.kill()


def bear(
    fault: Callable[[EmbeddedRedis, random.Random], None], server: EmbeddedRedis, spool: Path, store_url: str, seed: int
) -> None:
    """Have three cameras tell events under faults, drawn by seed: each is stored once, and in its camera's order."""
    url, cameras = server.url, ("a", "b", "c")
    events = {camera: some_events(600, camera) for camera in cameras}
    store, stop, failures = EventStore.open(store_url), threading.Event(), []
    publishers = {camera: SpoolingPublisher(EventBus(url, 0.4), spool / camera) for camera in cameras}

    def publish(camera: str) -> None:
        rng = random.Random(f"{seed}{camera}")
        for event in events[camera]:
            publishers[camera].publish([event])
            time.sleep(rng.uniform(0, 0.02))
            if rng.random() < 0.005:  # the camera's process dies: another one takes its spool over
                publishers[camera].close(0)
                publishers[camera] = SpoolingPublisher(EventBus(url, 0.4), spool / camera)

    def write() -> None:
        writer = StoreWriter(EventBus(url, 0.4), store, "writer")
        while not stop.is_set():
            try:
                writer.run_once(50)
            except redis.RedisError:
                time.sleep(0.05)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=publish, args=(camera,), daemon=True) for camera in cameras]
    threads.append(threading.Thread(target=write, daemon=True))
    for thread in threads:
        thread.start()
    rng, faults = random.Random(seed), 0
    while any(thread.is_alive() for thread in threads[:-1]):
        time.sleep(rng.uniform(0.1, 0.6))
        fault(server, rng)
        faults += 1

    def told() -> str:
        spooled = {camera: (publisher.spooled, publisher.error) for camera, publisher in publishers.items()}
        everything = [event for ours in events.values() for event in ours]
        found = whereabouts(everything, url, store, spool)
        return f"{found}\npublishers: {spooled}\nthe writer failed {len(failures)} times: {failures[-3:]}"

    until(lambda: all(publisher.spooled == 0 for publisher in publishers.values()), told)
    until(lambda: store.total() >= 1800, told)
    until(lambda: not list((spool).rglob("*.jsonl")), told)
    stop.set()
    threads[-1].join()
    assert failures == []
    assert faults >= 3
    stored = [found.event for found in tail_all(store)]
    for camera in cameras:
        ours = [event.id for event in stored if event.camera == camera]
        assert ours == [event.id for event in events[camera]]
    for publisher in publishers.values():
        assert publisher.error is None
        publisher.close()
    store.close()


def tail_all(store: EventStore) -> list:
    found: list = []
    while page := store.tail(found[-1].seq if found else 0, 1000):
        found += page
    return found


def test_what_is_told_once_is_noted_with_the_event_and_bounded(valkey: EmbeddedRedis) -> None:
    bus, board = EventBus(valkey.url), Board(valkey.url)

    def told(number: int, kind: str = "loitering") -> Event:
        frame = FrameMeta("cam", number, 1_800_000_000.0 + number, 640, 360)
        finding = Finding(kind, f"{kind}:z", track=number, zone="z", bbox=(0.0, 0.0, 10.0, 20.0))
        return bind(finding, frame, "shared", Provenance(ModelRef("m", "1", "d"), "c", "v"))

    events = [told(number) for number in range(MOST_ONCE + 5)]
    bus.publish([*events, told(1, "line_count")])
    bus.publish(events[-1:])  # sent again
    assert board.told_once("cam") == events[-MOST_ONCE:]
    assert board.told_once("another") == []
    assert 0 < connect(valkey.url).ttl("hoaban:told:cam") <= ONCE_S


def test_each_that_is_told_once_goes_by_its_own_time_however_many_follow(
    valkey: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, board, start_s = EventBus(valkey.url), Board(valkey.url), time.time()
    events = [
        bind(
            Finding("loitering", "loitering:z", track=number, zone="z", bbox=(0.0, 0.0, 10.0, 20.0)),
            FrameMeta("cam", number, start_s + number, 640, 360),
            "shared",
            Provenance(ModelRef("m", "1", "d"), "c", "v"),
        )
        for number in range(3)
    ]
    for number, event in enumerate(events):
        monkeypatch.setattr(time, "time", lambda now_s=start_s + number * ONCE_S * 0.6: now_s)
        bus.publish([event])
    assert connect(valkey.url).zcard("hoaban:told:cam") == 2
    assert board.told_once("cam") == events[1:]
    monkeypatch.setattr(time, "time", lambda: start_s + ONCE_S * 1.7)
    assert board.told_once("cam") == events[2:]


def test_a_status_says_nothing_of_when_the_camera_was_watched_last(valkey: EmbeddedRedis) -> None:
    """A successor reports before it has read how long nobody watched; that must be there when it does."""
    board = Board(valkey.url)
    board.put_watched("cam", 1000.0)
    board.put_status("cam", {"camera": "cam", "last_analysed_s": 11800.0}, 60.0)
    assert board.open_happenings("cam") == ([], 1000.0)


def test_what_is_open_is_noted_with_the_event_and_outlives_whoever_told_it(
    valkey: EmbeddedRedis, tmp_path: Path, quick: None
) -> None:
    """A process that dies while Redis is away leaves a beginning in its journal; its successor still knows of it."""
    board, name = Board(valkey.url), "cam"

    def told(phase: str, rule: str, at_s: float) -> Event:
        frame = FrameMeta(name, 1, 1_800_000_000.0 + at_s, 640, 360)
        finding = Finding("crowd", rule, zone="z", extra={"phase": phase, "count": 12}, part=phase)
        return bind(finding, frame, "shared", Provenance(ModelRef("m", "1", "d"), "c", "v"))

    first = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    first.publish([told("start", "a", 0), told("start", "b", 1), told("end", "a", 2)])
    assert first.flush(20)
    assert [event.data["rule"] for event in board.open_happenings(name)[0]] == ["b"]
    first.close()
    valkey.kill()
    dead = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    dead.publish([told("grow", "b", 3), told("start", "c", 4)])
    dead._stopping.set()  # as a process that is killed: nothing of it goes on, its files stay
    dead._work.set()
    dead._thread.join(10)
    for journal in dead._journals:
        journal.close()
    valkey.start()
    successor = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    assert successor.flush(20)
    opened = {event.data["rule"]: event.data["phase"] for event in board.open_happenings(name)[0]}
    assert opened == {"b": "grow", "c": "start"}
    successor.publish([told("end", "b", 5), told("end", "c", 6)])
    assert successor.flush(20)
    assert board.open_happenings(name) == ([], 0.0)
    successor.close()
