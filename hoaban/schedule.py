"""When a rule is awake: hours of the week on the province's clocks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from hoaban.shapes import Strict

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


def _clock(value: object) -> object:
    """YAML 1.1 reads an unquoted 22:00 as the number 1320, which is its minutes: what was meant is not in doubt."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
        return f"{value // 60:02d}:{value % 60:02d}"
    return value


Clock = Annotated[
    str,
    BeforeValidator(_clock),
    Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", description="hour and minute, 00:00 to 24:00"),
]


class Hours(Strict):
    """Hours of some days. A `to` that is not after `from` lies on the next day; `days` are those on which it begins."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = WEEK
    from_: Clock = Field("00:00", alias="from")
    to: Clock = "24:00"

    @model_validator(mode="after")
    def _has_length(self) -> "Hours":
        begin, end = _minutes(self.from_), _minutes(self.to)
        if begin % DAY_MINUTES == end % DAY_MINUTES and (begin, end) != (0, DAY_MINUTES):
            raise ValueError("from and to are the same time; leave both out for whole days, or make one differ")
        return self


class Schedule:
    """Hours compiled for one time zone. The wall clock counts: where clocks are put forward or back, so are the hours.

    >>> night = Schedule([Hours.model_validate({"from": "22:00", "to": "05:00"})], ZoneInfo("Asia/Ho_Chi_Minh"))
    >>> night.awake(datetime(2026, 1, 31, 23, 30, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh")).timestamp())
    True
    """

    def __init__(self, hours: Sequence[Hours], timezone: ZoneInfo) -> None:
        self._timezone = timezone
        self._spans = [(frozenset(WEEK.index(d) for d in h.days), _minutes(h.from_), _minutes(h.to)) for h in hours]

    def awake(self, captured_s: float) -> bool:
        """Whether a capture time (seconds since 1970 UTC) lies within; always when there are no hours at all."""
        if not self._spans:
            return True
        local = datetime.fromtimestamp(captured_s, self._timezone)
        today, minute = local.weekday(), local.hour * 60 + local.minute
        for days, begin, end in self._spans:
            if begin < end:
                if today in days and begin <= minute < end:
                    return True
            elif (today in days and minute >= begin) or ((today - 1) % 7 in days and minute < end):
                return True
        return False


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
