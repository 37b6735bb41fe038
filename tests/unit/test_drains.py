"""A node counts as drained when it carries nothing and its spool is seen empty since; what a command says of it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import moves
from actors.board import DRAINS, ERA, NODES
from actors.bus import EventBus
from actors.journal import Journal
from actors.moves import Moves
from actors.sweeper import MARK, SpoolSweeper, is_empty
from cli.nodes import _seen, drain_trouble, replacing_trouble
from hoaban.moves import MOVE_LIMIT_S
from hoaban.placement import Node

OLD, NEW = Node("o" * 20, 4, 0), Node("n" * 20, 4, 0)


class Told:
    """Takes the place of the board."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {DRAINS: {}, ERA: {"era": ""}}
        self.cameras: dict[str, dict[str, Any]] = {}

    def get_json(self, key: str) -> Any:
        return self.kept.get(key)

    def put_json(self, key: str, document: Any) -> None:
        self.kept[key] = document

    def statuses(self) -> dict[str, dict[str, Any]]:
        return self.cameras


class Cameras:
    """Takes the place of the crew: who is to move is noted, and moved by the test."""

    def __init__(self, *names: str) -> None:
        self.configs = dict.fromkeys(names)
        self.actors = self.configs
        self.moved: list[str] = []

    def move(self, name: str, why: str) -> None:
        self.moved.append(name)


class Sweeper(SpoolSweeper):
    """Answers as a task on the node would, begun at one look and read at a later one."""

    def emptied(self, node: str) -> bool:
        if node not in self._emptying:
            self._emptying[node] = "asked"
            return False
        return bool(self._emptying.pop(node) == "empty")

    def answer(self) -> None:
        self._emptying = dict.fromkeys(self._emptying, "empty")


class Stage:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.ended = 1000.0, list[str]()
        monkeypatch.setattr(moves, "time", SimpleNamespace(monotonic=lambda: self.now_s, time=time.time))
        monkeypatch.setattr(moves, "end_node", self.ended.append)
        self.board, self.cameras, self.sweeper = Told(), Cameras("cam"), Sweeper(folder, "")
        self.moves = Moves(self.board, self.cameras, self.sweeper)  # type: ignore[arg-type]
        self.nodes = [OLD, NEW]

    def at(self, node: Node, state: str = "live") -> None:
        self.board.cameras["cam"] = {"pid": 1, "node": node.id, "state": state, "era": self.moves.era}

    def ask(self, **how: Any) -> None:
        self.board.kept[DRAINS] = {OLD.id: how}

    def tick(self) -> dict[str, Any]:
        self.now_s += 1
        self.moves.look(self.nodes)
        self.moves.tick(dict.fromkeys(self.cameras.configs), self.nodes, {})
        return self.board.kept[NODES]["nodes"].get(OLD.id, {})  # type: ignore[no-any-return]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_a_node_is_drained_when_its_camera_has_come_elsewhere_and_its_spool_was_seen_empty_since(stage: Stage) -> None:
    stage.at(OLD)
    stage.ask(end=True)
    assert (stage.tick()["left"], stage.cameras.moved) == (["cam"], ["cam"])
    stage.at(NEW, "connecting")
    stage.tick()
    assert stage.sweeper._emptying == {}  # it is on its way, and may yet be lost
    stage.at(NEW)
    assert stage.tick()["state"] == "draining"
    stage.sweeper.answer()
    assert stage.tick()["state"] == "drained"
    assert stage.ended == stage.board.kept[NODES]["ended"] == [OLD.id]


@pytest.mark.parametrize("back", ["another camera", "undrained"])
def test_a_look_at_a_spool_before_a_camera_was_there_again_counts_for_nothing(stage: Stage, back: str) -> None:
    stage.at(NEW)
    stage.ask()
    stage.tick()
    stage.sweeper.answer()  # nobody reads it in time
    if back == "undrained":
        stage.board.kept[DRAINS] = {}
    stage.at(OLD)
    stage.tick()
    stage.ask()
    stage.at(NEW)
    assert stage.tick()["state"] == "draining"


def test_a_camera_without_pictures_after_its_move_is_told_of_until_it_has_some_or_is_removed(stage: Stage) -> None:
    stage.at(OLD)
    stage.ask()
    stage.tick()
    stage.at(NEW, "failed")
    stage.tick()
    stage.now_s += MOVE_LIMIT_S
    stage.tick()
    stage.sweeper.answer()
    shown = stage.tick()
    assert (shown["state"], shown["lost"]) == ("drained", ["cam"])
    assert drain_trouble(shown).startswith("cam gave pictures before the move")
    stage.at(NEW)
    shown = stage.tick()
    assert (shown["lost"], drain_trouble(shown)) == ([], "")


def test_an_upgrade_tells_of_a_camera_that_gives_no_pictures_since(stage: Stage) -> None:
    stage.at(OLD)
    stage.tick()
    stage.board.kept[ERA] = {"era": "1"}
    stage.tick()
    assert stage.cameras.moved == ["cam"]
    stage.at(OLD, "failed")
    stage.tick()
    assert replacing_trouble(stage.board.kept[NODES]["upgrade"]) == ""  # it has its time yet
    stage.now_s += MOVE_LIMIT_S
    stage.tick()
    told = stage.board.kept[NODES]["upgrade"]
    assert (told["done"], told["lost"]) == (True, ["cam"])
    assert "cam" in replacing_trouble(told)
    stage.cameras.configs.clear()
    stage.tick()
    assert stage.board.kept[NODES]["upgrade"]["lost"] == []


def test_no_upgrade_is_done_while_cameras_that_are_there_cannot_be_moved(stage: Stage) -> None:
    stage.at(OLD)
    stage.board.kept[ERA] = {"era": "1"}
    stage.moves.look(stage.nodes)
    stage.board.cameras["cam"]["era"] = "0"
    stage.moves.tick({}, stage.nodes, {})
    assert not stage.board.kept[NODES]["upgrade"]["done"]


def test_a_node_that_is_gone_was_drained_only_if_it_was_seen_so() -> None:
    there = {"nodes": {"n": {"state": "draining", "left": []}}, "ended": []}
    gone: dict[str, Any] = {"nodes": {}, "ended": []}
    assert _seen(there, "n", None)["state"] == "draining"
    assert _seen(gone, "n", "drained")["state"] == "drained"
    assert _seen(gone | {"ended": ["n"]}, "n", "draining")["state"] == "drained"
    assert _seen(gone, "n", "draining")["state"] == "gone"
    assert "before it was seen empty" in drain_trouble({"state": "gone", "moved": {}, "left": []})
    assert "not empty yet" in drain_trouble({"state": "draining"})
    assert drain_trouble({"state": "draining", "halted": "a, b, c came to no picture"}).startswith("a, b, c")
    assert drain_trouble({"state": "drained", "lost": []}) == ""


NO_REDIS = EventBus("redis://127.0.0.1:1/0", timeout_s=0.2)


def test_a_spool_is_not_empty_while_a_process_that_may_be_dying_holds_it(tmp_path: Path) -> None:
    assert is_empty(tmp_path / "none", NO_REDIS, "head")
    dying = Journal.create(tmp_path / "cam")
    dying.append([b"{}"])
    assert not is_empty(tmp_path, NO_REDIS, "head")
    (tmp_path / MARK).write_text("another head's")
    assert not is_empty(tmp_path, NO_REDIS, "head")
    (tmp_path / MARK).write_text("head")  # the folder is shared: who holds it may live, elsewhere
    assert is_empty(tmp_path, NO_REDIS, "head")
    dying.close()
    assert not is_empty(tmp_path, NO_REDIS, "head")  # it is dead, and Redis takes nothing


def test_a_spool_that_cannot_be_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "cam" / f"{1:020d}" / f"{1:020d}.jsonl").mkdir(parents=True)
    assert not is_empty(tmp_path, NO_REDIS, "head")


def test_the_heads_spools_bear_its_mark(tmp_path: Path) -> None:
    sweeper = SpoolSweeper(tmp_path / "spool", "")
    assert (tmp_path / "spool" / MARK).read_text() == sweeper._mark
    SpoolSweeper(Path("/dev/null/spool"), "")  # a full or broken disk stops no supervisor
