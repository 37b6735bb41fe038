"""Model packages that tests write: TorchScript modules that do as the test wants."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
import yaml

from actors.local_ray import start_local

SIZE = 64


@contextlib.contextmanager
def ray_with_models(folder: Path) -> Iterator[None]:
    """Ray on two processors of this machine, whose workers find the models of a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(folder))  # Ray's workers inherit it
        start_local(2)
        yield
        ray.shutdown()


def write_model(folder: Path, name: str, module: Any, size: int = SIZE, version: str = "1") -> str:
    """Write a package `name` into a folder of HOABAN_MODEL_PATH; its name."""
    package = folder / name
    package.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module).save(str(package / "m.pt"))
    card = {
        "name": name,
        "version": version,
        "task": "detect",
        "backend": "torch",
        "file": "m.pt",
        "sha256": hashlib.sha256((package / "m.pt").read_bytes()).hexdigest(),
        "labels": ["thing"],
        "input": {"width": size, "height": size},
        "licence": "test",
        "origin": "test",
    }
    (package / "card.yaml").write_text(yaml.safe_dump(card))
    return name


class Bright(torch.nn.Module):
    """One row a picture: x1 tells how bright it is."""

    def forward(self, x):
        bright = x.mean(dim=(1, 2, 3))
        one = torch.ones(x.shape[0])
        return torch.stack([bright, 0 * one, bright + 20, 20 * one, one, 0 * one], dim=1)[:, None]


class Hangs(torch.nn.Module):
    """A white picture never comes back from it; the interpreter's lock is not held meanwhile."""

    def forward(self, x):
        while bool(x.max() >= 255):
            x = x * 1.0
        one = torch.ones(x.shape[0])
        return torch.stack([0 * one, 0 * one, 20 * one, 20 * one, one, 0 * one], dim=1)[:, None]


class Slow(torch.nn.Module):
    """Takes its time for any picture but the grey of a warm-up."""

    def forward(self, x):
        if float((x - 114).abs().max()) > 0:
            for _ in range(15000):
                x = x * 1.0
        one = torch.ones(x.shape[0])
        return torch.stack([0 * one, 0 * one, 20 * one, 20 * one, one, 0 * one], dim=1)[:, None]


class Fails(torch.nn.Module):
    """Right on the grey of a warm-up, at a loss on anything else."""

    def forward(self, x):
        if float((x - 114).abs().max()) > 0:
            raise RuntimeError("at a loss")
        one = torch.ones(x.shape[0])
        return torch.stack([0 * one, 0 * one, 20 * one, 20 * one, one, 0 * one], dim=1)[:, None]


class NotNumbers(torch.nn.Module):
    """Numbers on the grey of a warm-up, none on anything else."""

    def forward(self, x):
        one = torch.ones(x.shape[0])
        if float((x - 114).abs().max()) > 0:
            one = one / 0 - one / 0
        return torch.stack([0 * one, 0 * one, 20 * one, 20 * one, one, 0 * one], dim=1)[:, None]


class Lost(torch.nn.Module):
    """Never a number."""

    def forward(self, x):
        one = torch.ones(x.shape[0]) / 0
        return torch.stack([one, one, one, one, one - one, one], dim=1)[:, None]
