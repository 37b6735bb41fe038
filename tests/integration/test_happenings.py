"""Rules against the exact truth of simulated scenes: what happened is told, and nothing else."""

import pytest

from benchmarks import happenings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("scene", "round_s"), [("yard", 150), ("plaza", 90), ("overview", 100)])
def test_each_happening_of_a_scene_is_told_once(scene: str, round_s: int) -> None:
    """One round of each scene: each rule's happenings are found and none is told that was not."""
    watched = [one for one in happenings.WATCHED if one.scene == scene]
    address = f"sim://{scene}?seed=1&duration={round_s}&fps=5"  # as many as are analysed
    events = happenings.replayed(address, [one.rule for one in watched])
    for one in watched:
        truth = list(happenings.happened(address, one))
        late, false = happenings.match(happenings.starts(events, one.rule["type"]), truth, one)
        assert truth, one.rule["type"]
        assert (len(late), false) == (len(truth), 0), one.rule["type"]
