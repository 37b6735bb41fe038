"""What changed between two runs over the same recording."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hoaban.events import Event

TOLERANCE_S = 1.0
COMPARED = ("class", "direction", "score", "bbox", "phase", "count")


@dataclass(frozen=True, slots=True)
class Change:
    """The same happening told differently. fields: name -> (before, after)."""

    before: Event
    after: Event
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class EventDiff:
    """From one list of events to another."""

    gained: list[Event]
    lost: list[Event]
    changed: list[Change]
    same: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "gained": [event.to_cloudevent() for event in self.gained],
            "lost": [event.to_cloudevent() for event in self.lost],
            "changed": [
                {"before": c.before.to_cloudevent(), "after": c.after.to_cloudevent(), "fields": dict(c.fields)}
                for c in self.changed
            ],
            "same": self.same,
        }


def diff_events(before: Sequence[Event], after: Sequence[Event]) -> EventDiff:
    """Match events of two runs and say which were gained, lost or changed.

    Track numbers differ between models, so they do not count: two events are the same happening when camera, type, rule
    and place agree and their capture times lie within TOLERANCE_S; the nearest in time are paired first, those that
    agree in class and direction before those that do not.
    """
    groups: dict[tuple[Any, ...], tuple[list[Event], list[Event]]] = defaultdict(lambda: ([], []))
    for side, events in enumerate((before, after)):
        for event in events:
            groups[_place(event)][side].append(event)
    gained, lost, changed, same = [], [], [], 0
    for olds, news in groups.values():
        pairs = sorted(
            (_kind(old) != _kind(new), abs((old.time - new.time).total_seconds()), i, j)
            for i, old in enumerate(olds)
            for j, new in enumerate(news)
            if abs((old.time - new.time).total_seconds()) <= TOLERANCE_S
        )
        taken_old: set[int] = set()
        taken_new: set[int] = set()
        for _, _, i, j in pairs:
            if i in taken_old or j in taken_new:
                continue
            taken_old.add(i)
            taken_new.add(j)
            fields = _changes(olds[i], news[j])
            if fields:
                changed.append(Change(olds[i], news[j], fields))
            else:
                same += 1
        lost += [old for i, old in enumerate(olds) if i not in taken_old]
        gained += [new for j, new in enumerate(news) if j not in taken_new]
    changed.sort(key=lambda change: _when(change.before))
    return EventDiff(sorted(gained, key=_when), sorted(lost, key=_when), changed, same)


def _when(event: Event) -> tuple[datetime, str]:
    return event.time, event.id


def _place(event: Event) -> tuple[Any, ...]:
    data = event.data
    return event.camera, event.type, data.get("rule"), data.get("zone"), data.get("line")


def _kind(event: Event) -> tuple[Any, ...]:
    return event.data.get("class"), event.data.get("direction")


def _changes(old: Event, new: Event) -> dict[str, tuple[Any, Any]]:
    fields: dict[str, tuple[Any, Any]] = {
        key: (old.data.get(key), new.data.get(key)) for key in COMPARED if old.data.get(key) != new.data.get(key)
    }
    if old.time != new.time:
        fields["time"] = (old.time.isoformat(), new.time.isoformat())
    return fields
