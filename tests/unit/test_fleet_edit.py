"""One camera's zones and lines changed in a fleet file's text, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from hoaban.fleet_edit import CannotEditError, with_shapes

TEXT = """\
# The head.
version: 1
cameras:
  - id: gate   # by the bridge
    name: "Cầu: 1"
    zones:
      - {id: door, polygon: [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}
      # the yard is gone
    rules: [{type: intrusion, zone: door}]
  - {id: school, name: Trường}
  - id: market
    zones: &shared [{id: a, polygon: [[0, 0], [1, 0], [1, 1]]}]
  - id: square
    zones: *shared
    # at the end
"""
DOOR = {"id": "door", "polygon": [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8]]}
LINE = {"id": "in", "from": [0.1, 0.5], "to": [0.9, 0.5]}


def camera(text: str, id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in yaml.safe_load(text)["cameras"] if one["id"] == id)
    return found


def others(text: str, id: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load(text)["cameras"] if one["id"] != id]


@pytest.mark.parametrize("id", ["gate", "school", "square"])
def test_only_that_camera_changes_and_every_comment_stays(id: str) -> None:
    edited = with_shapes(TEXT, id, [DOOR], [LINE])
    assert camera(edited, id)["zones"] == [DOOR]
    assert camera(edited, id)["lines"] == [LINE]
    assert others(edited, id) == others(TEXT, id)
    for comment in ("# The head.", "# by the bridge", "# the yard is gone", "# at the end"):
        assert comment in edited
    assert [line for line in edited.splitlines() if "Cầu" in line] == ['    name: "Cầu: 1"']


def test_what_other_cameras_share_is_not_changed_under_them() -> None:
    with pytest.raises(CannotEditError, match=r"other cameras take their zones from this one \(&shared\)"):
        with_shapes(TEXT, "market", [DOOR], [])


def test_names_that_yaml_would_take_for_something_else_stay_names() -> None:
    edited = with_shapes(TEXT, "gate", [DOOR | {"id": "on"}, DOOR | {"id": "12"}], [])
    assert [zone["id"] for zone in camera(edited, "gate")["zones"]] == ["on", "12"]


def test_a_camera_that_is_not_listed() -> None:
    with pytest.raises(KeyError):
        with_shapes(TEXT, "nowhere", [], [])


fractions = some.floats(0, 1).map(lambda value: round(value, 4))
points = some.lists(fractions, min_size=2, max_size=2)
zones = some.builds(
    lambda id, polygon: {"id": id, "polygon": polygon},
    some.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True),
    some.lists(points, min_size=3, max_size=6),
)


@given(drawn=some.lists(zones, max_size=4), id=some.sampled_from(["gate", "school", "square"]))
def test_whatever_is_drawn_is_read_back_and_an_edit_of_an_edit_is_one_edit(
    drawn: Sequence[dict[str, Any]], id: str
) -> None:
    once = with_shapes(TEXT, id, drawn, [LINE])
    assert camera(once, id).get("zones", []) == list(drawn)
    assert with_shapes(once, id, drawn, [LINE]) == once
    assert others(once, id) == others(TEXT, id)


def test_every_camera_of_the_examples_can_be_edited_or_says_why() -> None:
    text = (Path(__file__).parents[2] / "examples" / "dien-bien" / "traffic-counting.yaml").read_text()
    refused = []
    for one in yaml.safe_load(text)["cameras"]:
        try:
            assert camera(with_shapes(text, one["id"], [DOOR], [LINE]), one["id"])["zones"] == [DOOR]
        except CannotEditError:
            refused.append(one["id"])
    assert refused == ["gate-canh-quang-1"]  # the one that the others take theirs from
