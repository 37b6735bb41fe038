"""Cameras that a supervisor finds which an earlier one had asked to stop, and could not end: they run again."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from actors.board import Board
from actors.camera_crew import CameraCrew
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import start_local
from hoaban.fleet import Camera
from hoaban.reconcile import Action, Phase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path / "valkey")
    start_local(log_to_driver=bool(os.environ.get("HOABAN_ACTOR_LOGS")))
    yield server.start()
    ray.shutdown()
    server.stop()


def test_a_camera_that_was_stopped_for_a_move_by_a_supervisor_that_died_runs_again(
    redis_url: str, tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    camera = make_camera("sim://yard?size=160x90&fps=5")

    def crew() -> CameraCrew:
        made = CameraCrew(Board(redis_url), redis_url, str(tmp_path), "", left=lambda: None)
        made.configs = {camera.id: camera}
        return made

    def runs(crew: CameraCrew) -> list[Action]:
        steps, ends = [], time.monotonic() + 120
        while True:
            steps += [step.action for step in crew.tick({camera.id: camera.revision()})]
            time.sleep(0.2)
            crew.hear()
            seen = crew._observed.get(camera.id)
            if seen is not None and seen.phase is Phase.RUNNING and not seen.stuck:
                return steps
            assert time.monotonic() < ends, steps

    first = crew()
    runs(first)
    first.move(camera.id, "its node is drained")
    ray.get(list(first._ending))  # it has stopped, and whoever was to end it is no more
    second = crew()
    assert runs(second) == [Action.KILL, Action.START]
    assert runs(second) == []
    second.end_all(8)
