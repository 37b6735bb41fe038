"""A camera's link to a model, on its own node and to another: the same answers, and a refusal in words."""

import os
import secrets
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import ray

from actors import wire
from actors.inference import InferenceActor
from actors.link import LinkedModel, ModelLink, Peer
from actors.local_ray import start_local
from actors.workers import MODEL_NICENESS

pytestmark = pytest.mark.integration
SESSION = secrets.token_hex(4)


@pytest.fixture(scope="module")
def node(yolox: str) -> Iterator[str]:
    start_local(2)
    actor = InferenceActor.options(name="inference:test", num_cpus=0, max_concurrency=16).remote(
        "inference:test", SESSION, [yolox], 1, "cpu"
    )
    yield ray.get(actor.where.remote())["node"]
    ray.shutdown()


def answer(node_of_camera: str, node: str, camera: str) -> wire.Result:
    """The model's answer to one picture of noise, over the link that a camera on a node uses."""
    got: list[wire.Result] = []
    done = threading.Event()

    def take(result: wire.Result, _: LinkedModel) -> None:
        got.append(result)
        done.set()

    hello = {"camera": camera, "model": "yolox-nano", "rate": 5.0}
    link = ModelLink(hello, [Peer("inference:test", node, SESSION)], node_of_camera, take)
    link.start()
    noise = np.random.default_rng(1).integers(0, 255, (416, 416, 3), np.uint8)

    def fill(into, model: LinkedModel) -> None:
        assert model.labels[0] == "person"
        into[:] = noise

    deadline = time.monotonic() + 60
    while not link.offer(42, fill):
        assert time.monotonic() < deadline, link.error
        time.sleep(0.05)
    assert done.wait(60), link.error
    link.stop()
    return got[0]


def test_another_node_gives_the_same_answer_as_the_own(node: str) -> None:
    here, there = answer(node, node, "near"), answer("another-node", node, "far")
    assert here.seq == there.seq == 42
    assert not here.failed
    assert not there.failed
    assert np.array_equal(here.rows, there.rows)


def test_a_model_that_is_not_there_is_said_so_and_others_go_on(node: str) -> None:
    hello = {"camera": "wrong", "model": "nothing", "rate": 5.0}
    link = ModelLink(hello, [Peer("inference:test", node, SESSION)], node, lambda *_: None)
    link.start()
    deadline = time.monotonic() + 30
    while not (link.error and "not known" in link.error) and time.monotonic() < deadline:
        time.sleep(0.05)
    link.stop()
    assert link.error is not None
    assert "'nothing' is not known" in link.error
    assert answer(node, node, "right").seq == 42


def test_a_link_to_another_node_stopped_in_its_welcome_ends(node: str) -> None:
    @ray.remote
    class Slow:
        def welcome(self, hello: dict[str, object]) -> None:
            time.sleep(100)

    actor = Slow.options(name=f"slow-{SESSION}", num_cpus=0).remote()
    peers = [Peer(f"slow-{SESSION}", "another-node", SESSION)]
    link = ModelLink({"camera": "cam", "model": "m", "rate": 1.0}, peers, node, lambda *_: None)
    link.start()
    deadline = time.monotonic() + 30
    while not any(getattr(channel, "waiting_s", None) for channel in link._opening):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    link.stop(timeout_s=30)
    assert not link._thread.is_alive()
    ray.kill(actor)


def test_models_on_the_processor_wait_for_cameras(node: str) -> None:
    (process,) = (p for p in psutil.Process().children(recursive=True) if "InferenceActor" in "".join(p.cmdline()))
    nice = [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()]
    assert sorted(nice)[-2:] == [0, MODEL_NICENESS]  # the one thread that runs models, no other
