"""The misuse report: planted misuse is found, ordinary shifts raise nothing, thresholds are settings."""

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hoaban.access.misuse import LOOK, UNMASK, MisuseSettings, Suspicion, suspicions
from hoaban.audit import AuditRecord

HERE = ZoneInfo("Asia/Ho_Chi_Minh")
FIRST = datetime(2026, 3, 1, tzinfo=HERE)
CAMERAS = (
    {f"n{i}": "north" for i in range(6)} | {f"s{i}": "south" for i in range(6)} | {f"w{i}": "west" for i in range(6)}
)
HOMES = {"an": "north", "binh": "south"}


class Book:
    def __init__(self, seed: int) -> None:
        self.records: list[AuditRecord] = []
        self.rng = random.Random(seed)

    def look(self, who: str, day: int, hour: float, camera: str, action: str = LOOK) -> None:
        at_s = (FIRST + timedelta(days=day, hours=hour)).timestamp()
        self.records.append(AuditRecord(len(self.records) + 1, at_s, who, who, action, camera, camera, None, "done"))

    def shift(self, who: str, day: int, begins: int) -> None:
        """Eight hours: the wall at the start and each hour, and some cameras now and then."""
        for hour in range(8):
            for camera in CAMERAS:
                self.look(who, day, begins + hour + 0.01, camera)
            for _ in range(self.rng.randrange(6)):
                self.look(who, day, begins + hour + self.rng.random() * 0.9, self.rng.choice(list(CAMERAS)))

    def month(self) -> "Book":
        """Three rotate through early, late and night shifts by the week; one always works by day."""
        for day in range(28):
            for who, offset in (("an", 0), ("binh", 1), ("chi", 2)):
                if day % 7 < 5:
                    self.shift(who, day, (6, 14, 22)[(day // 7 + offset) % 3])
            if day % 7 < 5:
                self.shift("dung", day, 8)
        return self

    def told(self, **settings: float) -> list[Suspicion]:
        return suspicions(self.records, HOMES, CAMERAS, HERE, MisuseSettings.model_validate(settings))


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_shifts_raise_nothing(seed: int) -> None:
    assert Book(seed).month().told() == []


def kinds(book: Book, who: str, day: int, **settings: float) -> set[str]:
    told = book.told(**settings)
    wanted = (FIRST + timedelta(days=day)).date()
    assert {(s.who_id, s.day) for s in told} <= {(who, wanted)}
    return {s.kind for s in told}


def test_many_looks_in_a_day_are_found() -> None:
    book = Book(1).month()
    usual = sum(r.who_id == "dung" for r in book.records) // 20
    for n in range(usual * 3):
        book.look("dung", 16, 9 + n / usual, list(CAMERAS)[n % len(CAMERAS)])
    assert kinds(book, "dung", 16) == {"many_looks"}
    assert kinds(book, "dung", 16, times_usual=6) == set()


def test_one_camera_watched_again_and_again_is_found() -> None:
    book = Book(2).month()
    for n in range(40):
        book.look("dung", 16, 9 + n / 10, "w3")
    (told,) = book.told()
    assert (told.kind, told.who_id) == ("one_camera", "dung")
    assert "w3" in told.why
    assert len(told.records) == told.count >= 40
    assert kinds(book, "dung", 16, one_camera_looks=100) == set()


def test_a_look_at_an_hour_they_never_work_is_found() -> None:
    book = Book(3).month()
    book.look("dung", 16, 2.5, "s1")
    assert kinds(book, "dung", 16) == {"odd_hours"}
    assert kinds(book, "dung", 16, hours_apart=8) == set()


def test_looks_at_ones_own_neighbourhood_are_found_unblurred_ones_each() -> None:
    book = Book(4).month()
    for camera in ("n0", "n1", "n2") * 3:
        book.look("an", 26, 10, camera)  # on a free day
    assert "own_neighbourhood" in kinds(book, "an", 26)
    book = Book(4).month()
    book.look("an", 2, 10, "n4", UNMASK)
    assert kinds(book, "an", 2) == {"own_neighbourhood"}
    book = Book(4).month()
    book.look("an", 2, 10, "s4", UNMASK)
    assert book.told() == []


def test_many_unblurred_looks_are_found_and_refused_ones_do_not_count() -> None:
    book = Book(5).month()
    for n in range(12):
        book.look("dung", 16, 9, f"w{n % 6}", UNMASK)
    assert kinds(book, "dung", 16) == {"many_unmasked"}
    refused = [AuditRecord(1, 0.0, "x", "x", UNMASK, "", "w1", None, "refused")] * 50
    assert suspicions(refused, {}, {}, HERE) == []
