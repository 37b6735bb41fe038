"""One actor that cannot be started, changed or stopped is its own trouble: the others of its crew are looked after."""

from typing import Any

import pytest
from ray.exceptions import ActorAlreadyExistsError

from actors.camera_crew import CameraCrew
from actors.crew import Crew
from hoaban.reconcile import Phase


class _Started:
    """Takes the place of an actor's handle: asked, it never answers."""

    class ping:  # noqa: N801 - a handle's method is called so
        @staticmethod
        def remote() -> object:
            return object()


class _Crew(Crew):
    def __init__(self, **raises: Exception) -> None:
        self.raises, self.told = raises, dict[str, str]()
        super().__init__("probe", 8)

    def _adopt(self) -> None:
        """There is no Ray in this test."""

    def start(self, name: str) -> Any:
        if name in self.raises:
            raise self.raises[name]
        return _Started()

    def stop(self, name: str) -> Any:
        raise RuntimeError("no way to ask it")

    def not_started(self, name: str, times: int, why: str) -> None:
        self.told[name] = f"{times} {why}"


@pytest.mark.parametrize(
    "error", [KeyError("b"), RuntimeError("no such node"), ValueError("resources"), OSError("disk")]
)
def test_the_start_of_one_that_fails_costs_the_others_nothing(error: Exception) -> None:
    crew = _Crew(b=error)
    crew.tick({"a": "1", "b": "1", "c": "1"})
    assert sorted(crew.actors) == ["a", "c"]
    assert crew._observed["b"].phase is Phase.DEAD
    assert crew.told == {"b": f"1 {type(error).__name__}: {error}"}
    assert len(crew._asked) == 2  # the others are asked in the same tick
    crew.tick({"a": "1", "b": "1", "c": "1"})
    assert crew._observed["b"].deaths == 1  # it rests before it is tried again


def test_a_name_that_ray_still_holds_is_no_failure() -> None:
    crew = _Crew(a=ActorAlreadyExistsError("The name probe:a is already taken"))
    crew.tick({"a": "1"})
    assert crew.told == {}
    assert "a" not in crew._observed


def test_one_that_cannot_be_asked_to_stop_keeps_nobody_from_being_started() -> None:
    crew = _Crew()
    crew.tick({"a": "1"})
    crew.tick({"b": "1"})
    assert "b" in crew.actors


class _Shown:
    def __init__(self) -> None:
        self.statuses: dict[str, dict[str, Any]] = {}

    def put_status(self, camera: str, status: dict[str, Any], lives_s: float) -> None:
        self.statuses[camera] = status


def test_a_camera_that_cannot_be_started_is_shown_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CameraCrew, "_adopt", lambda self: None)
    board = _Shown()
    crew = CameraCrew(board, "redis://127.0.0.1:1", "/nowhere", "", left=lambda: None)  # type: ignore[arg-type]
    crew.tick({"cam": "1"})  # no configuration of that name: its start raises
    assert "could not be started, 1 time(s)" in board.statuses["cam"]["error"]
    assert "KeyError" in board.statuses["cam"]["error"]
