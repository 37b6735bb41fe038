"""A model swapped while a camera of another node sends frames: each is answered, by the model that it was made for."""

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from actors import NAMESPACE, wire
from actors.inference import InferenceActor
from actors.link import LinkedModel, ModelLink, Peer
from actors.local_ray import start_local
from tests.torch_models import Bright, write_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("remote")
    write_model(folder / "models", "bright", Bright())
    write_model(folder / "other", "brighter", Bright(), size=96, version="2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(folder / "models"))  # Ray's workers inherit it
        start_local(2)
        yield folder
        ray.shutdown()


def test_no_frame_is_lost(folder: Path) -> None:
    name, session = f"inference:{secrets.token_hex(4)}", secrets.token_hex(4)
    actor = InferenceActor.options(name=name, namespace=NAMESPACE, num_cpus=0).remote(
        name, session, ["bright"], 2, "cpu"
    )
    answers: list[tuple[int, int, int]] = []
    heard = threading.Semaphore(0)

    def take(result: wire.Result, model: LinkedModel) -> None:
        assert not result.failed
        assert result.generation == model.generation
        answers.append((result.seq, model.generation, round(float(result.rows[0, 0]))))
        heard.release()

    node = ray.get(actor.where.remote())["node"]
    link = ModelLink({"camera": "far", "model": "bright", "rate": 50.0}, [Peer(name, node, session)], "elsewhere", take)
    link.start()
    made_for: dict[int, int] = {}

    def fill(seq: int, into: np.ndarray, model: LinkedModel) -> None:
        assert into.shape[:2] == (model.shape.height, model.shape.width)
        made_for[seq] = model.generation
        into.fill(40 + seq % 8)

    def send(seq: int) -> None:
        """The next frame as soon as the one before was answered: no overload, so none may be lost."""
        while not link.offer(seq, lambda into, model: fill(seq, into, model)):
            assert seq == 1, f"the link was lost before frame {seq}: {link.error}"
            time.sleep(0.05)
        assert heard.acquire(timeout=60), f"frame {seq} was never answered"

    try:
        for seq in range(1, 41):
            send(seq)
        swapping = actor.swap.remote("bright", str(folder / "other" / "brighter"), 60.0)
        seq = 41
        while not ray.wait([swapping], timeout=0)[0]:
            send(seq)
            seq += 1
        for later in range(seq, seq + 40):
            send(later)
        second = ray.get(swapping)
    finally:
        link.stop()
        ray.kill(actor)
    assert [seq for seq, _, _ in answers] == list(made_for)
    assert all(made_for[seq] == generation for seq, generation, _ in answers)
    assert all(bright == 40 + seq % 8 for seq, _, bright in answers)
    assert {generation for _, generation, _ in answers} == {second - 1, second}
    assert answers[-1][1] == second
