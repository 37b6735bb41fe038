"""Sealing and erasing where nothing more can be written: nothing half done counts, it goes on later, and it is told.

The system refuses what makes a file longer than so many bytes, in the middle of a write, as a full disk does.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

import actors.purge
from actors.board import Board
from actors.duties import ERASING, Duty, DutyState, State, states
from actors.embedded_redis import EmbeddedRedis
from actors.proof.archive import folder
from actors.proof.files import UNDER_WAY, PackageFiles
from actors.proof.keys import Keys
from actors.proof.sealer import EvidenceActor, Sealer
from actors.purge import PurgeTimer
from actors.store import EventStore, EvidenceRecords
from hoaban.evidence import manifest as m
from hoaban.evidence.retention import DAY_S
from hoaban.evidence.review import State as Review
from hoaban.evidence.verify import verify
from tests.evidence import leave_candidate, red_light
from tests.unit.test_retention import SIGNER, TRUSTED, System


def room_for(most: int | None) -> None:
    """How long a file may become; None: as long as it likes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if most is None else most, hard))


def in_a_child(test: Callable[[Path], None], root: Path) -> None:
    """The limit is a process's own."""
    child = multiprocessing.get_context("fork").Process(target=test, args=(root,))
    child.start()
    child.join(60)
    assert child.exitcode == 0, "see what the child printed"


def sealing(root: Path, most: int, signed: bool) -> None:
    records = EvidenceRecords(EventStore.open(f"sqlite:///{root / 'a.db'}").engine)
    sealer = Sealer(PackageFiles(str(root / "evidence")), records, SIGNER)
    package = leave_candidate(root / "evidence", red_light())
    room_for(most)
    for _ in range(2):
        with pytest.raises((OSError, OperationalError)):
            sealer.step()
        assert (root / "evidence" / package / m.MANIFEST).exists() == signed
        assert records.known() == set()
    again = Sealer(PackageFiles(str(root / "evidence")), EvidenceRecords(records._engine), SIGNER)
    with pytest.raises((OSError, OperationalError)):
        again.step()  # another process finds no room either
    room_for(None)
    assert sealer.step() == 1
    assert records.known() == {package}
    assert verify(folder(root / "evidence" / package), TRUSTED).problems == []
    assert not list((root / "evidence" / package).glob(f"*{UNDER_WAY}"))
    assert sealer.step() == 0


@pytest.mark.parametrize(("most", "signed"), [(20, False), (300, False), (8000, True)])
def test_what_cannot_be_sealed_for_want_of_room_is_sealed_once_there_is_some(
    tmp_path: Path, most: int, signed: bool
) -> None:
    """No room for the signature, for the manifest, or for the row in the database."""
    in_a_child(lambda root: sealing(root, most, signed), tmp_path)


def erasing(root: Path) -> None:
    system = System(root, f"sqlite:///{root / 'a.db'}")
    case, event = system.case(20000, retention_days=1), system.event(100, days=1)
    room_for(8000)
    with pytest.raises(OperationalError):
        system.purger.step(20002 * DAY_S)
    assert system.retention.erasures() == []
    assert (root / "evidence" / case / m.MANIFEST).exists()
    assert system.left() == {case, event}
    assert system.records.get(case).state is Review.OPEN
    room_for(None)
    assert system.purge(20002) == 2
    assert system.left() == set()
    assert [one.number for one in system.retention.records()] == [1, 2]
    assert system.retention.unfinished() == []


def test_an_erasure_that_cannot_be_written_down_does_not_begin(tmp_path: Path) -> None:
    in_a_child(erasing, tmp_path)


def erasing_a_clip(root: Path) -> None:
    system = System(root, f"sqlite:///{root / 'a.db'}")
    case = system.case(20000)
    system.fleet["retention"] = {"clips_days": 1}
    write = system.files.write

    def without_room(*given: Any, **more: Any) -> None:
        room_for(100)
        try:
            write(*given, **more)
        finally:
            room_for(None)

    system.files.write = without_room  # type: ignore[method-assign]
    with pytest.raises(OSError, match="too large"):
        system.purger.step(20002 * DAY_S)
    assert (root / "evidence" / case / m.CLIP).exists()  # no hole that nobody vouches for
    assert not (root / "evidence" / case / m.ERASED).exists()
    (begun,) = system.retention.unfinished()
    system.files.write = write  # type: ignore[method-assign]
    assert system.purge(20002) == 1
    assert not (root / "evidence" / case / m.CLIP).exists()
    assert verify(folder(root / "evidence" / case), TRUSTED).problems == []
    assert [one.id for one in system.retention.records()] == [begun.id]


def test_a_clips_erasure_for_whose_record_there_is_no_room_goes_on_later(tmp_path: Path) -> None:
    in_a_child(erasing_a_clip, tmp_path)


def telling(root: Path, redis_url: str) -> None:
    system, board = System(root, f"sqlite:///{root / 'a.db'}"), Board(redis_url)
    system.event(100, days=1)
    actors.purge.AGAIN_S = 0.0
    timer = PurgeTimer(system.purger, Duty(board, ERASING))

    def erasing(in_s: float = 0.0) -> DutyState:
        return next(one for one in states(board, time.time() + in_s) if one.duty == ERASING)

    assert erasing().state == "unknown"
    room_for(8000)
    timer.tick()
    failing = erasing()
    assert failing.state == "failing"
    assert "disk" in str(failing.why)
    room_for(None)
    timer.tick()
    assert (erasing().state, erasing().why) == ("sound", None)
    assert erasing().since_s >= failing.since_s
    assert erasing(in_s=1000).state == "silent"


def telling_of_sealing(root: Path, redis_url: str) -> None:
    system, board, url = System(root, f"sqlite:///{root / 'a.db'}"), Board(redis_url), f"sqlite:///{root / 'a.db'}"
    Keys(root).signer()
    package = leave_candidate(root / "evidence", red_light())
    room_for(300)
    actor = EvidenceActor.__ray_metadata__.modified_class(url, str(root / "evidence"), str(root), redis_url)

    def wait_for(state: State) -> None:
        ends = time.monotonic() + 50
        while states(board, time.time())[0].state is not state:
            assert time.monotonic() < ends, states(board, time.time())
            time.sleep(0.05)

    wait_for(State.FAILING)
    assert system.records.known() == set()
    room_for(None)
    wait_for(State.SOUND)
    assert system.records.known() == {package}
    actor.stop()


@pytest.mark.parametrize("work", [telling, telling_of_sealing])
def test_what_fails_for_want_of_room_is_told_until_it_is_done(
    tmp_path: Path, work: Callable[[Path, str], None]
) -> None:
    server = EmbeddedRedis(tmp_path / "valkey")
    url = server.start()
    try:
        in_a_child(lambda root: work(root, url), tmp_path)
    finally:
        server.stop()
