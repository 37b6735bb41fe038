"""Plates against a list: the rule's decision, the list at rest and on its way, and the real reader on drawn plates."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from actors.picture import Picture
from actors.plate_watch import PlateWatcher
from actors.store import EventStore
from actors.store.tables import watchlist_plates
from actors.watchlist.feed import PlateFeed, publish_plates
from actors.watchlist.key import WatchlistKey
from actors.watchlist.store import NewPlate, PlateStore, WatchlistError
from hoaban.access import Person
from hoaban.detections import Tracks
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.frames import FrameMeta
from hoaban.plate_watch import ListedPlate, PlateWatch
from hoaban.plates import UNKNOWN, Character, Plate, parse_plate, unknown_beside
from tests.unit.drawn import standing
from tests.unit.test_plates import drawn

AN, BINH = Person("t1", "An"), Person("t2", "Bình")
MODEL = ModelRef("m", "1", "d")
WIDTH, HEIGHT = 640, 360
BASIS = {"law": "l", "authority": "a", "document": "12/QĐ", "valid_until": "2030-01-01T00:00:00+07:00"}
NOW_S = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
ZONE = {"id": "gate", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def camera(**rule: object) -> Camera:
    wanted = {"type": "plate_watchlist", "zone": "gate", "watchlist": ["stolen"], "lawful_basis": BASIS} | rule
    base = {"id": "c", "name": "C", "role": "overview", "district": "d", "owner": "o", "source": "rtsp://x/y"}
    return Camera.model_validate({**base, "zones": [ZONE], "rules": [wanted]})


def listed(plate: str, number: str = "e1", watchlist: str = "stolen", until_s: float = NOW_S + 1e6) -> ListedPlate:
    return ListedPlate(number, watchlist, f"case {number}", plate, until_s)


def read_as(text: str, confidence: float = 0.9) -> Plate:
    """A plate as a reader gives it; ? is a character that it could not read."""
    plate = parse_plate(text.replace("?", "1"))
    assert plate is not None
    signs = [sign for sign in text if sign.isalnum() or sign == UNKNOWN]
    characters = tuple(Character(sign, 0.3 if sign == UNKNOWN else confidence) for sign in signs)
    return Plate(text, plate.kind, plate.lines, characters, plate.box)


def pass_by(watch: PlateWatch, texts: list[str | None], track: int = 1, begin_s: float = NOW_S) -> list[Event]:
    """What a car gives that is seen half a second apart and read so each time."""
    found = []
    for index, text in enumerate(texts):
        frame = FrameMeta("c", index, begin_s + index / 2, WIDTH, HEIGHT)
        for look in watch.choose(frame, standing((track, 300, 200, "car")), MODEL):
            found += watch.take(look, None if text is None else read_as(text))
    return found


def watching(*entries: ListedPlate, **rule: object) -> PlateWatch:
    watch = PlateWatch(camera(**rule), "t")
    watch.set_watchlist(entries)
    return watch


def test_two_pictures_that_agree_propose_the_vehicle_once() -> None:
    watch = watching(listed("30A12345"), listed("51F88880", "e2"))
    (event,) = pass_by(watch, ["30A-123.45"] * 4)
    data = event.data
    assert event.type == "hoaban.plate_watchlist"
    assert (data["entry"], data["subject_reference"], data["status"]) == ("e1", "case e1", "proposed")
    assert (data["pictures_agreed"], data["unknown_characters"], data["evidential"]) == (2, 0, False)
    assert [data["frames"][name]["seq"] for name in ("before", "at", "past")] == [0, 1, 1]
    assert data["lawful_basis"]["document"] == "12/QĐ"
    assert watch.status(NOW_S)["crops_read"] == 2  # a hit ends the passage
    assert pass_by(watch, ["30A-123.45"] * 4, track=2, begin_s=NOW_S + 60) == []  # within its cooldown
    assert len(pass_by(watch, ["30A-123.45"] * 4, track=3, begin_s=NOW_S + 400)) == 1
    restarted = watching(listed("30A12345"), listed("51F88880", "e2"))
    restarted.resume([event])
    assert pass_by(restarted, ["30A-123.45"] * 4, begin_s=NOW_S + 60) == []
    assert len(pass_by(restarted, ["51F-888.80"] * 4, track=2, begin_s=NOW_S + 70)) == 1
    assert len(pass_by(restarted, ["30A-123.45"] * 4, track=3, begin_s=NOW_S + 400)) == 1


@pytest.mark.parametrize(
    ("texts", "unknown"),
    [
        (["30A-123.4?", "30A-123.4?"], 1),
        (["30A-123.4?", "30A-123.45"], 0),  # the second picture shows what the first does not
        (["30A-123.??", "30A-123.??"], None),  # too many
        (["30A-123.45"], None),  # one picture is not enough
        (["30A-123.46", "30A-123.46"], None),  # a known character that differs is another vehicle
        (["30A-123.45", "30A-123.46"], None),  # they do not agree, so only one of them shows it
        ([None, None, None], None),
    ],
)
def test_an_unknown_character_stays_unknown_and_a_known_one_must_be_the_same(
    texts: list[str | None], unknown: int | None
) -> None:
    found = pass_by(watching(listed("30A12345")), texts)
    assert [event.data["unknown_characters"] for event in found] == ([] if unknown is None else [unknown])


def test_of_plates_that_fit_no_entry_nothing_is_kept() -> None:
    watch = watching(listed("30A12345"))
    assert pass_by(watch, ["29B-999.99"] * 8) == []
    status = watch.status(NOW_S)
    assert (status["crops_read"], status["plates_read"]) == (4, 4)  # `looks`, and no more
    assert "999" not in json.dumps(status)
    watch.choose(FrameMeta("c", 99, NOW_S + 20, WIDTH, HEIGHT), standing(), MODEL)
    assert "99999" not in repr(vars(watch))
    assert not watch.pins()


@pytest.mark.parametrize(
    ("rule", "entries", "words"),
    [
        ({"lawful_basis": BASIS | {"valid_until": "2026-01-01T00:00:00+07:00"}}, [listed("30A12345")], "ended"),
        ({}, None, "no watchlist was handed out"),
        ({}, [listed("30A12345", watchlist="other")], "no approved entry in stolen"),
        ({}, [listed("30A12345", until_s=NOW_S - 1)], "no approved entry in stolen"),
    ],
)
def test_without_basis_or_entry_no_vehicle_is_looked_at(
    rule: dict[str, object], entries: list[ListedPlate] | None, words: str
) -> None:
    watch = PlateWatch(camera(**rule), "t")
    watch.set_watchlist(entries)
    assert pass_by(watch, ["30A-123.45"] * 4) == []
    status = watch.status(NOW_S)
    assert status["crops_read"] == 0
    assert words in status["rules"]["plate_watchlist:gate"]["silent"]


def test_small_boxes_and_other_zones_are_not_read_and_few_crops_at_once() -> None:
    far = standing((1, 300, 200, "motorcycle"), sizes={"motorcycle": (10, 20)})
    assert watching(listed("30A12345")).choose(FrameMeta("c", 0, NOW_S, WIDTH, HEIGHT), far, MODEL) == []
    many = standing(*((i, 60 * i, 200, "car") for i in range(1, 9)))
    watch, seen = watching(listed("30A12345")), set()
    for number in range(4):
        looks = watch.choose(FrameMeta("c", number, NOW_S + number / 10, WIDTH, HEIGHT), many, MODEL)
        assert len(looks) == 2
        seen |= {look.track for look in looks}
    assert len(seen) == 8  # those not read yet go first


def test_a_fleet_file_without_a_lawful_basis_is_refused() -> None:
    text = """version: 1
province: {name: X}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - {id: c, name: C, role: overview, district: d, owner: o, source: rtsp://x/y,
     zones: [{id: gate, polygon: [[0,0],[1,0],[1,1]]}],
     rules: [{type: plate_watchlist, zone: gate, watchlist: [stolen]}]}
"""
    with pytest.raises(FleetErrors, match=r"fleet.yaml:8: cameras\[0\].rules\[0\].lawful_basis: is missing"):
        parse_fleet([("fleet.yaml", text)], {})


signs = st.text("0123456789", min_size=5, max_size=5)


@given(signs, signs, st.sets(st.integers(0, 7), max_size=3))
def test_a_plate_fits_an_entry_where_no_known_character_differs(read: str, wanted: str, hidden: set[int]) -> None:
    characters = tuple(Character(sign, 0.5 if index in hidden else 0.95) for index, sign in enumerate(f"30A{read}"))
    plate = Plate("", "civil", 1, characters, (0, 0, 1, 1))
    same = all(index + 3 in hidden or a == b for index, (a, b) in enumerate(zip(read, wanted, strict=True)))
    assert unknown_beside(plate, f"30A{wanted}", 0.6) == (len(hidden) if same else None)
    assert unknown_beside(plate, f"30A{wanted}0", 0.6) is None


# --- the list


def new(**fields: object) -> NewPlate:
    base = {
        "watchlist": "stolen", "subject": "case 7", "plate": "30a 12345", "law": "l", "authority": "a", "document": "d",
        "basis_until": datetime.now(UTC) + timedelta(days=2), "expires_at": datetime.now(UTC) + timedelta(days=1),
    }  # fmt: skip
    return NewPlate(**(base | fields))  # type: ignore[arg-type]


def test_a_listed_plate_is_sealed_and_needs_two_people(tmp_path: Path) -> None:
    events = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    store = PlateStore(events.engine, lambda: WatchlistKey.load_or_make(tmp_path))
    info = store.add(new(), AN)
    assert (info.plate, info.state(datetime.now(UTC))) == ("30A-123.45", "waiting for approval")
    assert list(store.active()) == []
    with pytest.raises(WatchlistError, match="another person must"):
        store.approve(info.id, AN)
    store.approve(info.id, BINH)
    assert [(entry.plate, entry.watchlist) for entry in store.active()] == [("30A12345", "stolen")]
    with pytest.raises(WatchlistError, match="no format"):
        store.add(new(plate="HONDA"), AN)
    with pytest.raises(WatchlistError, match="future"):
        store.add(new(expires_at=datetime.now(UTC) - timedelta(days=1)), AN)
    events.close()
    assert all(b"12345" not in file.read_bytes() for file in tmp_path.glob("a.db*"))


def test_what_is_over_is_erased(tmp_path: Path) -> None:
    events = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    store = PlateStore(events.engine, lambda: WatchlistKey.load_or_make(tmp_path))
    store.approve(store.add(new(), AN).id, BINH)
    with events.engine.begin() as connection:
        connection.execute(sa.update(watchlist_plates).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert list(store.active()) == []
    assert store.erase_expired() == 1
    assert store.entries() == []
    events.close()


def test_the_list_reaches_a_camera_sealed_and_once(tmp_path: Path) -> None:
    kept: dict[str, object] = {}
    board = SimpleNamespace(get_json=kept.get, put_json=kept.__setitem__)
    key = WatchlistKey.load_or_make(tmp_path)
    feed = PlateFeed(board, tmp_path)  # type: ignore[arg-type]
    assert feed.refresh() is None
    publish_plates(board, key, [listed("30A12345")])  # type: ignore[arg-type]
    assert "12345" not in json.dumps(kept).replace(str(NOW_S), "")
    assert feed.refresh() == (listed("30A12345"),)
    assert feed.refresh() is None
    publish_plates(board, key, [])  # type: ignore[arg-type]
    assert feed.refresh() == ()


# --- with the real reader


def picture(texts: list[str], seq: int) -> tuple[Picture, Tracks]:
    """A frame with a vehicle in it that bears a drawn plate."""
    crop = drawn(texts, height=32)
    frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    y, x = 100, 200 + 2 * seq
    frame[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    tracks = standing((1, x + crop.shape[1] / 2, y + crop.shape[0], "car"), sizes={"car": crop.shape[1::-1]})
    video = av.VideoFrame.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), format="yuv420p")
    return Picture(FrameMeta("c", seq, NOW_S + seq / 2, WIDTH, HEIGHT), video), tracks


@pytest.mark.parametrize("texts", [["30A-123.45"], ["29-B1", "123.45"]])
def test_a_drawn_plate_is_read_and_found_in_a_replay(texts: list[str]) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="rapidocr is not installed")
    wanted = "".join(sign for sign in "".join(texts) if sign.isalnum())
    watcher = PlateWatcher(camera(), live=False, law_not_before_s=NOW_S)
    watcher.set_watchlist((listed(wanted), listed("51F88880", "e2")))
    found = [event for seq in range(3) for event in watcher.see(*picture(texts, seq), MODEL)]
    assert [event.data["entry"] for event in found] == ["e1"]
    again = PlateWatcher(camera(), live=False, law_not_before_s=NOW_S)
    again.set_watchlist((listed("51F88880", "e2"),))
    assert [event for seq in range(3) for event in again.see(*picture(texts, seq), MODEL)] == []


def test_live_the_frames_do_not_wait_for_the_reader() -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="rapidocr is not installed")
    watcher = PlateWatcher(camera(), live=True)
    watcher.set_watchlist((listed("30A12345"),))
    watcher.start()
    try:
        found: list[Event] = []
        for seq in range(3):
            found += watcher.see(*picture(["30A-123.45"], seq), MODEL)
        limit_s = time.monotonic() + 60
        while not (watcher.status() or {})["proposals"] and time.monotonic() < limit_s:
            time.sleep(0.02)
        found += watcher.see(*picture(["30A-123.45"], 3), MODEL)
        assert [event.data["entry"] for event in found] == ["e1"]
    finally:
        watcher.stop()


def test_crops_that_nobody_read_are_no_looks_at_their_vehicle() -> None:
    """Live, with a reader that is not yet awake: what is dropped can be read later in the passage."""
    watcher = PlateWatcher(camera(looks=8, every_s=0.5), live=True)  # not started: it reads nothing yet
    watcher.set_watchlist((listed("30A12345"),))
    for seq in range(24):
        shown, tracks = picture(["30A-123.45"], seq)
        watcher.see(shown, tracks, MODEL)
    status = watcher.status()
    assert status is not None
    assert status["crops_dropped"] > 4
    assert status["crops_read"] == 4  # those that wait
