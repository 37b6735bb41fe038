"""A camera's link when peers die, hang, come back or never welcome it. Real sockets, real inference services."""

import itertools
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from actors import wire
from actors.channel import LocalChannel
from actors.inference import InferenceService
from actors.link import LinkedModel, ModelLink, Peer
from hoaban.fleet import SIM_MODEL

pytestmark = pytest.mark.integration
SERVICE = """
import sys, time
from actors.inference import InferenceService
service = InferenceService(sys.argv[1], sys.argv[2], [sys.argv[3]], threads=1, device="cpu")
print("ready", flush=True)
time.sleep(3600)
"""


def until(what: Callable[[], object], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Camera:
    """A link that is offered a frame every few milliseconds, and what came back."""

    def __init__(self, peers: list[Peer], node: str = "here", model: str = SIM_MODEL) -> None:
        self.answered: list[int] = []
        self.answered_by: list[str | None] = []
        self.link = ModelLink({"camera": "cam", "model": model, "rate": 5.0}, peers, node, self._take)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._offer)

    def __enter__(self) -> "Camera":
        self.link.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.link.stop()

    def _offer(self) -> None:
        for seq in itertools.count(1):
            self.link.offer(seq, lambda into, _: into.fill(0))
            if self._over.wait(0.005):
                return

    def _take(self, result: wire.Result, _: LinkedModel) -> None:
        self.answered.append(result.seq)
        self.answered_by.append(self.link.peer)  # called on the link's thread, while that peer serves

    def wait_for_answer_of(self, peer: str) -> None:
        """On a busy machine any peer may be too late once, and another answers meanwhile."""
        before = len(self.answered_by)
        until(lambda: peer in self.answered_by[before:])


def service(name: str, session: str) -> InferenceService:
    return InferenceService(name, session, [SIM_MODEL], threads=1, device="cpu")


@pytest.fixture
def session() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are hundredths here."""
    for name, value in {
        "actors.link.LOOK_HOME_EVERY_S": 0.03,
        "actors.channel.ANSWER_LIMIT_S": 0.4,
        "actors.channel.LOOK_EVERY_S": 0.05,
        "hoaban.failover.BACK_FOR_S": 0.2,
        "hoaban.failover.MOST_BACK_FOR_S": 0.4,
    }.items():
        monkeypatch.setattr(name, value)


@pytest.fixture
def process(session: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts an inference service in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SERVICE, name, session, SIM_MODEL]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "ready\n":
            pass
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_killed_nearer_peer_is_left_and_gone_back_to_when_it_lives_again(
    quick: None, session: str, process: Callable[[str], subprocess.Popen[str]]
) -> None:
    far = service("far", session)
    near = process("near")
    with Camera([Peer("near", "here", session), Peer("far", "here", session)]) as camera:
        camera.wait_for_answer_of("near")
        near.kill()
        camera.wait_for_answer_of("far")
        process("near")
        camera.wait_for_answer_of("near")
        until(lambda: camera.link._home is None)  # nobody is looked for any more
        # One frame may be answered twice: an offer may be heard after its frame was taken for the one before.
        assert camera.answered == sorted(camera.answered)
        assert camera.link.error is None
    assert far.stats()["served"]["cam"] > 0


def test_a_frozen_nearer_peer_is_left_and_no_way_home_until_it_thaws(
    quick: None, session: str, process: Callable[[str], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.channel.WELCOME_LIMIT_S", 0.3)
    far = service("far", session)
    near = process("near")
    with Camera([Peer("near", "here", session), Peer("far", "here", session)]) as camera:
        camera.wait_for_answer_of("near")
        near.send_signal(signal.SIGSTOP)  # the kernel still takes connections for it
        camera.wait_for_answer_of("far")
        before, served = len(camera.answered_by), far.stats()["served"]["cam"]
        until(lambda: far.stats()["served"]["cam"] > served + 50)
        assert set(camera.answered_by[before:]) == {"far"}
        near.send_signal(signal.SIGCONT)
        camera.wait_for_answer_of("near")


def test_a_model_that_takes_frames_and_never_answers_is_left_for_the_next_in_order(quick: None, session: str) -> None:
    hung, fine = service("hung", session), service("fine", session)
    free = threading.Event()
    infer = hung.shelf[SIM_MODEL].detector.infer

    def hang(batch: np.ndarray) -> list[np.ndarray]:
        free.wait(60)
        return infer(batch)

    hung.shelf[SIM_MODEL].detector.infer = hang  # type: ignore[method-assign]
    peers = [Peer(name, "here", session) for name in ("down", "hung", "fine")]
    links: list[str | None] = []
    with Camera(peers) as camera:
        until(lambda: camera.link.peer == "hung")
        camera.wait_for_answer_of("fine")
        served = fine.stats()["served"]["cam"]
        while fine.stats()["served"]["cam"] < served + 100:
            links.append(camera.link.peer)
            time.sleep(0.01)
        assert set(links) == {"fine"}  # it welcomes the camera all the while, and is not fallen for
        free.set()
        camera.wait_for_answer_of("hung")


def test_a_link_stopped_in_its_welcome_ends_and_leaves_nothing_open(session: str) -> None:
    listener = wire.listen(wire.address(session, "mute"))
    before = len(os.listdir("/proc/self/fd"))
    link = ModelLink({"camera": "cam", "model": "m", "rate": 1.0}, [Peer("mute", "here", session)], "here", print)
    link.start()
    connection, _ = listener.accept()
    assert connection.recv(1000).startswith(b"{")  # its hello: it waits for the welcome now
    link.stop()
    assert not link._thread.is_alive()
    assert connection.recv(1000) == b""
    connection.close()
    assert len(os.listdir("/proc/self/fd")) == before
    listener.close()


def test_a_link_stopped_while_it_tries_a_nearer_peer_ends(quick: None, session: str) -> None:
    service("far", session)
    listener = wire.listen(wire.address(session, "mute"))
    camera = Camera([Peer("far", "here", session)])
    with camera:
        camera.wait_for_answer_of("far")
        camera.link.set_peers([Peer("mute", "here", session), Peer("far", "here", session)])
        connection, _ = listener.accept()
        connection.recv(1000)
        home = camera.link._home
        assert home is not None
    assert not home.is_alive()
    assert not camera.link._thread.is_alive()
    listener.close()


def test_an_answer_between_two_looks_at_how_long_it_takes_does_no_harm(session: str) -> None:
    class Answers(LocalChannel):
        """Its model answers after each look."""

        looks = itertools.cycle([1.0, None])

        @property
        def _waiting_since_s(self) -> float | None:
            return next(self.looks)

        @_waiting_since_s.setter
        def _waiting_since_s(self, value: float | None) -> None: ...

    channel = Answers(Peer("any", "here", session), {})
    assert [waits is not None for waits in (channel.waiting_s, channel.waiting_s, channel.waiting_s)] == [
        True,
        False,
        True,
    ]
