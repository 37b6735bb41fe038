"""The inference pool under a planted load: a second actor starts, and ends when the load is over; real actors."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.board import POOL, Board
from actors.embedded_redis import EmbeddedRedis
from actors.link import ModelLink, Peer
from actors.supervisor import Supervisor, SystemSettings
from serve.metrics import pool_metrics
from tests.torch_models import Bright, Slow, ray_with_models, write_model

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

FLEET = """
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
models: {pool: {least: 1, most: 2, threads: 1, grow_after_s: 3, shrink_after_s: 6}}
cameras:
"""
CAMERA = (
    '  - {{id: cam-{0}, name: N, role: shared, district: d, owner: o, source: "sim://yard?size=160x90&fps=2&seed={0}",'
    " analysis_fps: 3, motion_gate: false, model: bright, rules: []}}\n"
)
NAMES = range(4)
"""two of these cameras turn to each of two actors"""
CAMERAS, PLANTED = len(NAMES), 6
ON_THEIR_WAY = 4
"""frames of a camera that two looks may find between a model and its count: at the look's end, and as it goes over"""


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Path]:
    write_model(tmp_path / "models", "slow", Slow())
    write_model(tmp_path / "models", "bright", Bright())
    with ray_with_models(tmp_path / "models"):
        yield tmp_path


class Planted:
    """Cameras that ask the first actor for more than it can do, as fast as they are heard."""

    def __init__(self, peer: Peer) -> None:
        self._stop = threading.Event()
        hellos = [{"camera": f"planted-{number}", "model": "slow", "rate": 20.0} for number in range(PLANTED)]
        self._links = [ModelLink(hello, [peer], peer.node, lambda *_: None) for hello in hellos]
        for link in self._links:
            link.start()
        self._thread = threading.Thread(target=self._offer)
        self._thread.start()

    def _offer(self) -> None:
        seq = 0
        while not self._stop.wait(0.05):
            seq += 1
            for link in self._links:
                link.offer(seq, lambda into, _: into.fill(200))

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        for link in self._links:
            link.stop()


def unaccounted(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> dict[str, int]:
    """camera -> frames that were decoded between two reports and neither analysed nor replaced by a newer one."""

    def told(status: dict[str, Any]) -> int:
        return status["frames_decoded"] - status["frames_analysed"] - status["frames_replaced"]

    return {name: told(after[name]) - told(before[name]) for name in before}


def test_a_second_actor_starts_under_load_and_ends_after_it_and_no_frame_is_lost_unseen(models: Path) -> None:
    file = models / "fleet.yaml"
    file.write_text(FLEET + "".join(CAMERA.format(number) for number in NAMES))
    valkey = EmbeddedRedis(models / "valkey")
    url = valkey.start()
    board = Board(url)
    settings = SystemSettings(secrets.token_hex(4), url, str(models), (str(file),))
    supervisor, planted = Supervisor(settings), None

    def until(what: Callable[[], Any], limit_s: float = 120) -> Any:
        ends_s = time.monotonic() + limit_s
        while not (found := what()):
            assert time.monotonic() < ends_s, (board.get_json(POOL), board.statuses())
            supervisor.tick()
            time.sleep(0.2)
        return found

    def running() -> list[str]:
        return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if "inference:" in one["name"]]

    def served_by(count: int) -> dict[str, dict[str, Any]] | None:
        """The statuses when all cameras are analysed, by so many actors."""
        found = board.statuses()
        fit = len(found) == CAMERAS and all(one["frames_analysed"] and one["inference"] for one in found.values())
        return found if fit and len({one["inference"] for one in found.values()}) == count else None

    try:
        one = until(lambda: served_by(1))
        assert len(running()) == 1
        (place,) = supervisor._pool.peers
        planted = Planted(Peer(place.name, place.node, settings.session))
        two = until(lambda: served_by(2))
        pool = until(lambda: (found := board.get_json(POOL)) and found["wanted"] == 2 and found)
        assert "periods" in pool["why"]
        threads = [place.threads for place in supervisor._pool.peers]
        assert threads == [1, 1]  # of two processors
        page = {metric.name: metric.samples[0].value for metric in pool_metrics(pool)}
        assert page["hoaban_pool_wanted"] == 2

        planted.end()
        planted = None
        until(lambda: (board.get_json(POOL) or {})["wanted"] == 1)
        last = until(lambda: served_by(1))
        until(lambda: len(running()) == 1)
        for before in (one, two):  # what is on its way comes, what is lost never does
            until(lambda before=before: max(unaccounted(before, board.statuses()).values()) <= ON_THEIR_WAY)
        assert [status["frames_failed"] for status in last.values()] == [0] * CAMERAS
    finally:
        if planted is not None:
            planted.end()
        supervisor.shutdown()
        valkey.stop()
