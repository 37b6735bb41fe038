"""Events for tests."""

from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta


def some_events(n: int, camera: str = "cam") -> list[Event]:
    """Line crossings of a camera, a second apart, all the same in every run."""
    provenance = Provenance(ModelRef("m", "1", "d"), "c", "0")
    return [
        bind(
            Finding("line_count", "line_count:in", track=i, label="car", line="in", direction="forward"),
            FrameMeta(camera, i, 1000.0 + i, 10, 10),
            "shared",
            provenance,
        )
        for i in range(n)
    ]
