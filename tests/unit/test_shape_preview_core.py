"""Two configurations of a camera over the same detections: what each tells, and the difference."""

from collections.abc import Callable

import numpy as np
import pytest

from hoaban.events import ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.preview import MOST_TOLD, Preview, untried
from hoaban.tiling import Part

MODEL = ModelRef("m", "1", "d")
WIDTH, HEIGHT = 640, 480
LOW, HIGH = ({"id": "in", "from": [0.0, y], "to": [1.0, y]} for y in (0.8, 0.4))
FAR = {"id": "in", "from": [0.0, 0.95], "to": [1.0, 0.95]}
BASIS = {"law": "Luật", "authority": "CQĐT", "document": "QĐ 1", "valid_until": "2030-01-01T00:00:00+07:00"}


@pytest.fixture
def camera(make_camera: Callable[..., Camera]) -> Callable[..., Camera]:
    def made(line: dict[str, object], **more: object) -> Camera:
        rules = [{"type": "line_count", "line": "in", "classes": ["person"]}]
        return make_camera(**({"lines": [line], "rules": rules, "analysis_fps": 10} | more))

    return made


def walked(preview: Preview, people: int = 1, steps: int = 40) -> list[bool]:
    """People walk down the picture side by side, their feet from y = 100 to 400; which frames differed."""
    box = Letterbox.fit(WIDTH, HEIGHT, WIDTH, HEIGHT)
    differed = []
    for index in range(steps):
        feet = 100 + 300 * index / (steps - 1)
        rows = [[20 + 60 * n, feet - 60, 50 + 60 * n, feet, 0.9, 0] for n in range(people)]
        frame = FrameMeta("cam", index, 1_790_000_000 + index * 0.1, WIDTH, HEIGHT)
        pair = preview.step(frame, [Part(np.array(rows, np.float32), box)], ("person",))
        differed.append(pair.differ)
    return differed


def test_the_same_configuration_tells_the_same(camera: Callable[..., Camera]) -> None:
    preview = Preview(camera(LOW), camera(LOW), MODEL)
    assert not any(walked(preview))
    told = preview.told()
    assert told["present"] == told["tried"]
    assert (told["same"], told["changed"], told["gained"], told["lost"]) == (1, 0, [], [])
    assert told["present"]["counts"] == {"in": {"forward": {"person": 1}}}


def test_another_line_tells_earlier_or_not_at_all(camera: Callable[..., Camera]) -> None:
    preview = Preview(camera(LOW), camera(HIGH), MODEL)
    assert sum(walked(preview)) == 2  # at the one line, then at the other
    told = preview.told()
    (gained,), (lost,) = told["gained"], told["lost"]
    assert gained["time"] < lost["time"]
    gone = Preview(camera(LOW), camera(FAR), MODEL)
    walked(gone)
    told = gone.told()
    assert (len(told["lost"]), told["gained"], told["tried"]["events"], told["tried"]["counts"]) == (1, [], {}, {})


def test_no_more_events_are_told_than_a_page_takes(camera: Callable[..., Camera]) -> None:
    watched = [{"type": "line_crossing", "line": "in", "id": f"w{n}"} for n in range(MOST_TOLD)]
    preview = Preview(camera(LOW), camera(LOW, rules=watched), MODEL)
    walked(preview, people=2)
    told = preview.told()
    assert told["tried"]["events"] == {"hoaban.line_crossing": 2 * MOST_TOLD}
    assert len(told["gained"]) == MOST_TOLD


def test_rules_that_a_recording_says_nothing_about_are_named(camera: Callable[..., Camera]) -> None:
    zone = {"id": "gate", "polygon": [[0, 0], [1, 0], [1, 1]]}
    plates = {"type": "plate_watchlist", "zone": "gate", "watchlist": ["wanted"], "lawful_basis": BASIS}
    rules = [{"type": "line_count", "line": "in"}, plates]
    with_plates = camera(LOW, zones=[zone], rules=rules)
    assert untried(with_plates) == [with_plates.rules[1].name]
    assert untried(camera(LOW)) == []
