"""The inference service without Ray: batches across cameras, each answer to its own camera, faults kept apart."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from actors.inference import InferenceService
from actors.models.files import list_models
from hoaban.models.backend import ModelError
from hoaban.pool_health import Pulse
from tests.torch_models import SIZE, write_model


class Told(torch.nn.Module):
    """Rows that tell how many pictures came together and how bright each was; a black one is a fault."""

    def forward(self, x):
        work = torch.ones(600, 600)
        for _ in range(20):  # long enough for the other cameras' frames to gather
            work = torch.mm(work, torch.ones(600, 600)) / 600
        if float(x.mean(dim=(1, 2, 3)).min()) < 1:
            raise RuntimeError("a black picture")
        count = torch.full((x.shape[0],), float(x.shape[0]))
        bright = x.mean(dim=(1, 2, 3))
        one = torch.ones(x.shape[0])
        return torch.stack([count, bright, count + 20, bright + 20, one, 0 * one], dim=1)[:, None]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    write_model(tmp_path / "models", "told", Told())
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(tmp_path / "models"))
    assert any(package.card.name == "told" for package in list_models())
    return "told"


def picture(brightness: int) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), brightness, np.uint8)


def until(what: Callable[[], bool], limit_s: float = 20) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_frames_of_many_cameras_share_a_batch_and_each_gets_its_own_answer(told: str) -> None:
    service = InferenceService("batches", os.urandom(4).hex(), [told], threads=1, device="cpu", most=16)
    brightness = {f"cam-{i}": 20 + 10 * i for i in range(9)}
    waiting = {
        camera: service.submit({"camera": camera, "model": told, "rate": 5}, 7, picture(value))
        for camera, value in brightness.items()
    }
    together = []
    for camera, answer in waiting.items():
        result = answer.result(timeout=60)
        assert (result.seq, result.failed) == (7, False)
        assert round(float(result.rows[0, 1])) == brightness[camera]
        together.append(round(float(result.rows[0, 0])))
    assert max(together) > 1
    assert sum(service.stats()["served"].values()) == 9


def test_a_picture_that_the_model_fails_on_costs_no_other_camera_its_answer(told: str) -> None:
    service = InferenceService("black", os.urandom(4).hex(), [told], threads=1, device="cpu", most=16)
    values = {f"cam-{i}": 0 if i == 4 else 100 for i in range(9)}
    answers = {c: service.submit({"camera": c, "model": told, "rate": 5}, 1, picture(v)) for c, v in values.items()}
    failed = {camera: answer.result(timeout=60).failed for camera, answer in answers.items()}
    assert [camera for camera, bad in failed.items() if bad] == ["cam-4"]


def test_on_a_processor_a_batch_is_one_frame_and_the_newest_replaces_the_one_that_waits(told: str) -> None:
    service = InferenceService("single", os.urandom(4).hex(), [told], threads=1, device="cpu")
    hello = {"camera": "a", "model": told, "rate": 5}
    service.submit({"camera": "b", "model": told, "rate": 5}, 1, picture(50))
    answers = [service.submit(hello, seq, picture(30 + seq)) for seq in range(6)]
    last = answers[-1].result(timeout=60)
    assert (last.seq, round(float(last.rows[0, 0])), round(float(last.rows[0, 1]))) == (5, 1, 35)
    assert sum(answer.cancelled() for answer in answers) >= 3


def test_a_model_that_fails_on_a_frame_says_so_and_serves_the_next(told: str) -> None:
    service = InferenceService("fails", os.urandom(4).hex(), [told], threads=1, device="cpu")
    hello = {"camera": "a", "model": told, "rate": 5}
    assert service.submit(hello, 1, picture(0)).result(timeout=60).failed
    assert not service.submit(hello, 2, picture(90)).result(timeout=60).failed
    assert service.stats()["failures"] == 1
    with pytest.raises(ValueError, match="model input"):
        service.submit(hello, 3, np.zeros((3, 3, 3), np.uint8)).result(timeout=60)
    with pytest.raises(ModelError, match="not known"):
        service.load("nothing")


def test_a_model_that_cannot_be_loaded_costs_its_own_cameras_alone_and_is_tried_again_later(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, broken = tmp_path / "models" / "told", tmp_path / "models" / "broken"
    broken.mkdir()

    def write(data: bytes) -> None:
        (broken / "m.pt").write_bytes(data)
        card = yaml.safe_load((good / "card.yaml").read_text())
        card |= {"name": "broken", "sha256": hashlib.sha256(data).hexdigest()}
        (broken / "card.yaml").write_text(yaml.safe_dump(card))

    for patience_s, mended in ((600.0, False), (-1.0, True)):
        write(b"no model")
        monkeypatch.setattr("actors.shelf.REFUSED_FOR_S", patience_s)
        service = InferenceService("refuses", os.urandom(4).hex(), ["broken", told], threads=1, device="cpu")
        assert service.submit({"camera": "a", "model": told, "rate": 5}, 1, picture(50)).result(timeout=60).seq == 1
        with pytest.raises(ModelError, match="no TorchScript"):
            service.load("broken")
        write((good / "m.pt").read_bytes())
        if mended:
            assert service.load("broken")["model"]["name"] == "broken"
        else:  # its cameras ask every few seconds; that must not load it each time
            with pytest.raises(ModelError, match="no TorchScript"):
                service.load("broken")


def test_a_model_that_hung_is_refused_in_words_until_its_time_is_over(told: str) -> None:
    session = os.urandom(4).hex()
    barred = InferenceService("barred", session, [told], threads=1, device="cpu", barred={told: 600.0})
    with pytest.raises(ModelError, match="hung and was ended with its process"):
        barred.load(told)
    over = InferenceService("over", session, [told], threads=1, device="cpu", barred={told: 0.0})
    assert over.load(told)["model"]["name"] == told


def test_a_pulse_tells_what_is_run_for_how_long_and_a_model_at_a_loss_gets_no_further_thread(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = InferenceService("pulse", os.urandom(4).hex(), [told], threads=2, device="cpu")
    idle = Pulse(loaded=frozenset({told}))
    assert service.pulse() == idle
    monkeypatch.setattr("actors.workers.SUSPECT_AFTER_S", 0.0)
    detector, go = service.shelf[told].detector, threading.Event()
    detector.infer = lambda batch: go.wait(60) and [np.zeros((0, 6), np.float32)] * len(batch)
    first = service.submit({"camera": "a", "model": told, "rate": 5}, 1, picture(50))
    until(lambda: service.pulse().running is not None)
    second = service.submit({"camera": "b", "model": told, "rate": 5}, 1, picture(50))
    until(lambda: service.pulse().stalled_s > 0.05)
    pulse = service.pulse()
    assert pulse.running is not None
    assert (pulse.running[0], pulse.running[1] >= pulse.stalled_s, len(service.workers._jobs)) == (told, True, 1)
    go.set()
    assert not first.result(timeout=60).failed
    assert not second.result(timeout=60).failed
    until(lambda: service.pulse().busy > 0)
    until(lambda: replace(service.pulse(), lag=0.0, busy=0.0) == idle)  # these two tell of the last seconds


def test_a_pulse_tells_which_models_are_there_and_which_were_refused(told: str) -> None:
    service = InferenceService("lacks", os.urandom(4).hex(), [told, "none-such"], threads=1, device="cpu")
    assert service.pulse() == Pulse(lacking=frozenset({"none-such"}), loaded=frozenset({told}))
    service.shelf.keep([told, "never asked for"], None)
    assert service.pulse().lacking == frozenset()
