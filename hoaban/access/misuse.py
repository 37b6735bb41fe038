"""Looks at pictures that an auditor should ask about: many, at odd hours, at one camera, at one's own neighbourhood.

Plain counting with stated thresholds, over audit records alone. What it finds is a question, not a verdict.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median
from zoneinfo import ZoneInfo

from pydantic import Field

from hoaban.audit import AuditRecord
from hoaban.shapes import Strict

LOOK, UNMASK = "picture.look", "picture.unmask"


class MisuseSettings(Strict):
    """What counts as unusual. A day is one of the province's clock."""

    times_usual: float = Field(3.0, gt=1, description="so many times a person's own median day is much")
    least_looks: int = Field(60, ge=1, description="a day with fewer looks is never much")
    known_days: int = Field(5, ge=1, description="of so many other days a person's usual is known")
    one_camera_looks: int = Field(
        20, ge=1, description="a day's looks at one camera that are much, where others get few"
    )
    hours_apart: float = Field(
        3.0, ge=0, le=12, description="a look so far from all hours they worked is at an odd hour"
    )
    home_looks: int = Field(5, ge=1, description="a day's looks at one's own neighbourhood that are much")
    home_times: float = Field(2.0, gt=1, description="times the share of their looks that others give to it")
    day_unmasks: int = Field(10, ge=1, description="a day's unblurred looks that are much")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A day of a person that an auditor should look at. records: seq of the records it rests on."""

    who_id: str
    who_name: str
    day: date
    kind: str
    count: int
    why: str
    records: tuple[int, ...]


def suspicions(
    records: Iterable[AuditRecord],
    homes: Mapping[str, str],
    districts: Mapping[str, str],
    tz: ZoneInfo,
    settings: MisuseSettings | None = None,
) -> list[Suspicion]:
    """What is unusual, by day and person. homes: who_id -> district they live in. districts: camera -> its district."""
    rules = settings or MisuseSettings()
    looks: dict[str, dict[date, list[AuditRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.action in (LOOK, UNMASK) and record.outcome == "done":
            looks[record.who_id][datetime.fromtimestamp(record.at_s, tz).date()].append(record)
    found: list[Suspicion] = []
    for who, days in looks.items():
        for day, seen in days.items():
            others = [records for other, records in days.items() if other != day]
            found += _many(day, seen, others, rules)
            found += _one_camera(day, seen, rules)
            found += _odd_hours(day, seen, others, tz, rules)
            found += _unmasks(day, seen, rules)
            if home := homes.get(who):
                colleagues = [r for other, of in looks.items() if other != who for rs in of.values() for r in rs]
                found += _home(day, seen, home, districts, colleagues, rules)
    return sorted(found, key=lambda s: (s.day, s.who_name, s.kind))


def _many(
    day: date, seen: Sequence[AuditRecord], others: Sequence[Sequence[AuditRecord]], rules: MisuseSettings
) -> list[Suspicion]:
    if len(seen) < rules.least_looks or len(others) < rules.known_days:
        return []
    usual = median(len(records) for records in others)
    if len(seen) <= rules.times_usual * usual:
        return []
    return [_told(day, "many_looks", seen, f"{len(seen)} looks in a day; their usual day has {usual:g}")]


def _one_camera(day: date, seen: Sequence[AuditRecord], rules: MisuseSettings) -> list[Suspicion]:
    counts = Counter(record.camera for record in seen if record.camera)
    found = []
    for camera, count in counts.items():
        usual = median([n for other, n in counts.items() if other != camera] or [0])
        if count >= rules.one_camera_looks and count > rules.times_usual * usual:
            at = [record for record in seen if record.camera == camera]
            why = f"{count} looks at camera {camera} in a day; at the others they looked {usual:g} times"
            found.append(_told(day, "one_camera", at, why))
    return found


def _odd_hours(
    day: date,
    seen: Sequence[AuditRecord],
    others: Sequence[Sequence[AuditRecord]],
    tz: ZoneInfo,
    rules: MisuseSettings,
) -> list[Suspicion]:
    if len(others) < rules.known_days:
        return []
    worked = {round(_hour(record, tz), 1) for records in others for record in records}
    odd = [r for r in seen if all(_apart(_hour(r, tz), hour) > rules.hours_apart for hour in worked)]
    if not odd:
        return []
    why = f"{len(odd)} looks more than {rules.hours_apart:g} h from all hours at which they looked on other days"
    return [_told(day, "odd_hours", odd, why)]


def _unmasks(day: date, seen: Sequence[AuditRecord], rules: MisuseSettings) -> list[Suspicion]:
    unmasked = [record for record in seen if record.action == UNMASK]
    if len(unmasked) < rules.day_unmasks:
        return []
    return [_told(day, "many_unmasked", unmasked, f"{len(unmasked)} unblurred looks in a day")]


def _home(
    day: date,
    seen: Sequence[AuditRecord],
    home: str,
    districts: Mapping[str, str],
    colleagues: Sequence[AuditRecord],
    rules: MisuseSettings,
) -> list[Suspicion]:
    there = [record for record in seen if districts.get(record.camera or "") == home]
    unmasked = [record for record in there if record.action == UNMASK]
    if unmasked:
        return [_told(day, "own_neighbourhood", unmasked, f"unblurred looks at {home}, where they live")]
    # Without colleagues to compare with, each district is as usual as any other.
    theirs = sum(districts.get(r.camera or "") == home for r in colleagues) / len(colleagues) if colleagues else None
    usual = 1 / max(1, len(set(districts.values()))) if theirs is None else theirs
    if len(there) < rules.home_looks or len(there) / len(seen) <= rules.home_times * usual:
        return []
    why = f"{len(there)} of {len(seen)} looks at {home}, where they live; of others' looks {usual:.0%} are"
    return [_told(day, "own_neighbourhood", there, why)]


def _told(day: date, kind: str, seen: Sequence[AuditRecord], why: str) -> Suspicion:
    first = seen[0]
    return Suspicion(first.who_id, first.who_name, day, kind, len(seen), why, tuple(r.seq for r in seen))


def _hour(record: AuditRecord, tz: ZoneInfo) -> float:
    local = datetime.fromtimestamp(record.at_s, tz)
    return local.hour + local.minute / 60


def _apart(a: float, b: float) -> float:
    """Hours between two times of the day, around the clock."""
    return min((a - b) % 24, (b - a) % 24)
