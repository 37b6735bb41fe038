"""What is kept of people outside the tables: a person's request finds it, and it is erased so that it can be shown."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.board import Board
from actors.bus import Delivery, EventBus
from actors.disagreements import Disagreements, folder_beside, name_of
from actors.elsewhere import Pictures, PutAside, Wanted, removers
from actors.proof.archive import open_package
from actors.proof.files import PackageFiles
from actors.purge import Purger
from actors.retention import Eraser
from actors.store import RetentionStore
from hoaban.events import Event, Finding, Provenance, bind
from hoaban.evidence.retention import DAY_S, OWNER
from hoaban.evidence.verify import verify
from hoaban.frames import FrameMeta
from tests.evidence import AT_S, MODEL, red_light
from tests.integration.test_evidence_api import Office, office, running  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
WHERE = {"cameras": ["gate"], "since": "2026-09-21T14:00:00Z", "until": "2026-09-21T15:00:00Z"}
BASIS = "asked by the person, no case is open"


@pytest.fixture
def bus(office: Office) -> EventBus:
    made = EventBus(office.api.app.state.settings.redis_url)
    made._redis.delete("hoaban:events:dead")
    return made


def bury(bus: EventBus, body: str) -> str:
    bus.bury(Delivery("0-1", body), "no database takes it")
    return bus.dead()[-1].entry


def with_plate(text: str, track: int) -> Event:
    event = replace(red_light("gate", AT_S, track), type="hoaban.plate_watchlist")
    event.data["plate"] = {"text": text}
    return event


def search(office: Office, **wanted: Any) -> dict[str, Any]:
    found = office.post("/subjects/search", reference="R-20", **wanted)
    assert found.status_code == 200, found.text
    more: dict[str, Any] = found.json()["more"]
    return more


def test_a_request_finds_and_erases_pictures_of_disagreements_and_dead_letters(
    office: Office,
    bus: EventBus,
    tmp_path: Path,
) -> None:
    kept = Disagreements(folder_beside(str(office.root)))
    picture = name_of("gate", AT_S, "street@2")
    kept.put("street@2", picture, b"a face that was not found", {"camera": "gate"})
    kept.put("street@2", name_of("gate", AT_S + 90000, "street@2"), b"of another day", {"camera": "gate"})
    whole = bury(bus, with_plate("29B-33?.44", 50).to_json())
    torn = bury(bus, with_plate("29B-333.44", 51).to_json()[:-2])
    other = bury(bus, with_plate("29B-333.45", 52).to_json())

    found = search(office, **WHERE)
    assert [one["id"] for one in found["disagreements"]] == [picture]
    assert [one["id"] for one in found["dead_letters"]] == [whole, torn, other]
    assert [one["camera"] for one in found["dead_letters"]] == ["gate", "", "gate"]
    assert [one["id"] for one in search(office, plate="29b 333 44")["dead_letters"]] == [whole, torn]
    assert search(office, plate="29b 333 44")["disagreements"] == []

    wanted = {"disagreements": [picture, "x"], "dead_letters": [whole, torn]}
    hold = office.post("/holds", kind="camera", subject="gate", reason="court order 5/2026").json()
    refused = office.post("/subjects/erase", reference="R-20", basis=BASIS, **wanted).json()
    assert refused["erased"] == []
    assert all("legal hold" in refused["refused"][id] for id in (picture, whole, torn))
    office.post(f"/holds/{hold['id']}/lift", reason="order withdrawn")

    done = office.post("/subjects/erase", reference="R-20", basis=BASIS, **wanted).json()
    assert set(done["erased"]) == {picture, whole, torn}
    assert set(done["refused"]) == {"x"}
    assert kept.find(picture) is None
    assert list(office.root.parent.rglob(f"{picture}.*")) == []
    assert [letter.entry for letter in bus.dead()] == [other]
    found = search(office, **WHERE)
    assert (found["disagreements"], [one["id"] for one in found["dead_letters"]]) == ([], [other])
    record = tmp_path / "erasure.zip"
    record.write_bytes(office.get(f"/erasures/{done['erasure']}").content)
    proof = verify(open_package(record), office.trusted())
    assert proof.problems == []
    assert {(one["what"], one["id"]) for one in proof.manifest.body["erased"]} == {
        ("disagreements", picture),
        ("dead_letters", whole),
        ("dead_letters", torn),
    }
    assert set(office.audited("subject.erase")[-1].detail["erased"]) == {picture, whole, torn}


def test_what_was_cut_off_is_finished_by_the_writer(office: Office, bus: EventBus) -> None:
    entry = bury(bus, with_plate("29B-333.46", 53).to_json())
    pictures, put_aside = Pictures(Disagreements(folder_beside(str(office.root)))), PutAside(bus)
    about = (RetentionStore(office.api.store.engine), office.records, PackageFiles(str(office.root)), office.keys)

    def dies(_: Any) -> None:
        raise OSError("killed here")

    (thing,) = put_aside.find(Wanted("29B33346", (), None, None), 9)
    with pytest.raises(OSError, match="killed"):
        Eraser(*about, {"dead_letters": dies}).erase([], [], "request", BASIS, "Officer", 0.0, [thing])
    assert [letter.entry for letter in bus.dead()] == [entry]
    assert Eraser(*about, removers([pictures, put_aside])).finish() == 1
    assert bus.dead() == []


@pytest.mark.parametrize("then", ["stored", "put aside again"])
def test_what_was_handed_to_the_store_after_it_was_signed_for_is_erased_there(
    office: Office, bus: EventBus, then: str
) -> None:
    event, kept = with_plate("29B-333.47", 54), with_plate("29B-333.48", 55)
    for one in (event, kept):
        one.data.pop("evidence")
    bury(bus, event.to_json())
    put_aside, store = PutAside(bus), office.api.store
    about = (RetentionStore(store.engine), office.records, PackageFiles(str(office.root)), office.keys)

    def away(_: Any) -> None:
        raise OSError("Redis is away")

    (thing,) = put_aside.find(Wanted("29B33347", (), None, None), 9)
    with pytest.raises(OSError, match="away"):
        Eraser(*about, {"dead_letters": away}).erase([], [], "request", BASIS, "Officer", 0.0, [thing])
    waiting = {one.entry for one in bus.deliveries()}
    bus.revive(bus.dead()[0])
    eraser = Eraser(*about, removers([put_aside]))
    assert eraser.finish() == 0
    assert "handed to the store again" in eraser.stuck
    (delivery,) = (one for one in bus.deliveries() if one.entry not in waiting)
    if then == "stored":
        store.write([event, kept])
        bus._redis.xdel("hoaban:events", delivery.entry)
    else:
        bus.bury(delivery, "no database takes it")
    assert Eraser(*about, removers([put_aside])).finish() == 1
    assert (store.find(event.id), bus.dead()) == (None, [])
    assert then != "stored" or store.find(kept.id) is not None


def test_an_erased_event_is_forgotten_where_a_camera_goes_on(office: Office, bus: EventBus) -> None:
    board, store = Board(office.api.app.state.settings.redis_url), office.api.store

    def told(kind: str, track: int, **extra: Any) -> Event:
        finding = Finding(kind, kind, track=track, label="person", extra=extra)
        return bind(finding, FrameMeta("yard", track, AT_S + track, 10, 10), "shared", Provenance(MODEL, "c", "0"))

    gone, stays = [told("intrusion", 1), told("crowd", 2, phase="start")], [told("intrusion", 3), told("loitering", 4)]
    open_ = told("abandoned_object", 5, phase="start", object="a bag")
    bus.publish([*gone, *stays, open_])
    store.write([*gone, *stays, open_])
    done = office.post("/subjects/erase", reference="R-22", basis=BASIS, events=[event.id for event in gone]).json()
    assert set(done["erased"]) == {event.id for event in gone}
    assert board.told_once("yard") == stays
    assert board.open_happenings("yard")[0] == [open_]


def test_a_hold_that_comes_before_the_signature_keeps_what_lies_elsewhere(office: Office, bus: EventBus) -> None:
    entry, event = bury(bus, with_plate("29B-333.49", 56).to_json()), with_plate("29B-333.49", 56)
    put_aside, store = PutAside(bus), RetentionStore(office.api.store.engine)
    eraser = Eraser(store, office.records, PackageFiles(str(office.root)), office.keys, removers([put_aside]))
    office.api.store.write([event])
    for kind, subject in (("camera", "gate"), ("evidence", event.id)):
        (thing,) = put_aside.get([entry, "x", "1-1", "-", "9" * 30]).values()
        hold = office.post("/holds", kind=kind, subject=subject, reason="court order 8/2026").json()
        begun = eraser.erase([], [], "request", BASIS, "Officer", time.time(), [thing])
        assert (begun.erasure, begun.kept) == (None, {entry: f"a legal hold keeps it ({hold['id']})"})
        assert [letter.entry for letter in bus.dead()] == [entry]
        office.post(f"/holds/{hold['id']}/lift", reason="order withdrawn")


def test_a_search_reads_no_picture_and_no_more_letters_than_it_tells(
    office: Office, bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Disagreements(folder_beside(str(office.root)))
    ids = [name_of("gate", AT_S + second, "street@3") for second in range(5)]
    for id in ids:
        kept.put("street@3", id, id.encode(), {"camera": "gate"})
    letters = [bury(bus, with_plate("29B-333.50", 60 + track).to_json()) for track in range(5)]
    read: list[str] = []
    listed: list[str] = []
    picture, of = kept.picture, kept._of
    monkeypatch.setattr(kept, "picture", lambda one: read.append(one.id) or picture(one))
    monkeypatch.setattr(kept, "_of", lambda *told: listed.append(told[0]) or of(*told))
    pictures, wanted = Pictures(kept), Wanted(None, ["gate"], AT_S - 1, AT_S + 60)
    assert len(pictures.find(wanted, 3)) == 3
    assert [one.id for one in PutAside(bus).find(wanted, 3)] == letters[:3]
    listed.clear()
    things = pictures.get(ids)
    assert (set(things), listed.count("street@3"), read) == (set(ids), 1, [])
    assert things[ids[0]].planned()["sha256"] == hashlib.sha256(ids[0].encode()).hexdigest()
    assert read == ids[:1]
    listed.clear()
    for id in ids:
        pictures.remove({"id": id})
    assert listed == []
    assert pictures.find(wanted, 9) == []


def test_dead_letters_go_after_their_term_with_a_record_and_a_hold_keeps_them(
    office: Office,
    bus: EventBus,
) -> None:
    entry, now_s = bury(bus, red_light("gate", AT_S, 60).to_json()), time.time()
    put_aside, store = PutAside(bus), RetentionStore(office.api.store.engine)
    eraser = Eraser(store, office.records, PackageFiles(str(office.root)), office.keys, removers([put_aside]))

    class Known:
        """A fleet whose terms are long but for this one."""

        def get_json(self, _: str) -> dict[str, Any]:
            days = dict.fromkeys(("open", "confirmed", "rejected", "not_evidential", "damaged"), 36500)
            return {
                "cameras": [],
                "retention": {"dead_letters_days": 20, "evidence_days": days, "watchlist_days": 36500},
            }

    purger = Purger(Known(), eraser, None, put_aside)  # type: ignore[arg-type]
    assert purger.step(now_s + 19 * DAY_S) == 0
    hold = office.post("/holds", kind="camera", subject="gate", reason="court order 6/2026").json()
    assert purger.step(now_s + 21 * DAY_S) == 0
    office.post(f"/holds/{hold['id']}/lift", reason="order withdrawn")
    assert purger.step(now_s + 21 * DAY_S) == 1
    assert bus.dead() == []
    (newest, *_) = store.erasures()
    assert (newest.rule, newest.plan[0]["id"], newest.done_s is not None) == ("dead_letters_days", entry, True)


def test_dead_letters_stay_no_longer_than_they_would_as_events(office: Office, bus: EventBus) -> None:
    now_s = time.time()

    def put(track: int, camera: str = "gate", retention_days: Any = None, kind: str = "red_light") -> str:
        event = red_light(camera, now_s - 10 * DAY_S, track)
        event.data.update(retention_days=retention_days)
        return bury(bus, replace(event, type=f"hoaban.{kind}").to_json())

    own, _, typed, owners = put(70, retention_days=9), put(71), put(72, kind="crowd_end"), put(73, camera="ward")
    odd, torn = put(74, retention_days="9"), bury(bus, "torn")
    retention = {"events_by_type": {"crowd": 8}, "watchlist_days": 36500}
    retention["evidence_days"] = dict.fromkeys(("open", "confirmed", "rejected", "not_evidential", "damaged"), 36500)
    fleet = {"cameras": [{"id": "ward", "terms": {"retention_days": 7}}], "retention": retention}
    put_aside, store = PutAside(bus), RetentionStore(office.api.store.engine)
    eraser = Eraser(store, office.records, PackageFiles(str(office.root)), office.keys, removers([put_aside]))
    board = SimpleNamespace(get_json=lambda _: fleet)
    purger = Purger(board, eraser, None, put_aside)  # type: ignore[arg-type]
    before = {one.id for one in store.erasures()}
    while purger.step(now_s):
        pass
    fresh = [one for one in store.erasures() if one.id not in before]
    gone = {one.plan[0]["id"]: (one.rule, one.basis) for one in fresh if one.plan[0]["what"] == "dead_letters"}
    assert gone == {
        own: (OWNER, "kept for 9 days"),
        typed: ("events_by_type.crowd", "kept for 8 days"),
        owners: (OWNER, "kept for 7 days"),
    }
    assert {odd, torn} < {letter.entry for letter in bus.dead()}


def test_a_closed_report_is_erased_at_a_persons_request_and_an_open_one_is_not(office: Office, tmp_path: Path) -> None:
    text = {"text": "xe 29-C1 555.55 đi ngược chiều", "lat": 21.386, "lon": 103.017}
    closed, open_, held = (office.post("/reports", **text).json()["number"] for _ in range(3))
    for number in (closed, held):
        for version, (action, more) in enumerate((("check", {}), ("answer", {"answer": "x"}), ("close", {})), 1):
            done = office.post(f"/reports/{number}/{action}", version=version, **more)
            assert done.status_code == 200, done.text
    hold = office.post("/holds", kind="report", subject=str(held), reason="court order 7/2026")
    assert hold.status_code == 201, hold.text
    found = {one["id"]: one["refusal"] for one in search(office, plate="29c1 555.55")["reports"]}
    assert (found[closed], "not closed" in found[open_], "legal hold" in found[held]) == (None, True, True)
    for odd in (0, -1, 2**63, 2**70):
        refused = office.post("/subjects/erase", reference="R-21", basis=BASIS, reports=[odd])
        assert refused.status_code == 422
    done = office.post("/subjects/erase", reference="R-21", basis=BASIS, reports=[closed, open_, held, 9999]).json()
    assert done["erased"] == [f"report {closed}"]
    assert set(done["refused"]) == {f"report {number}" for number in (open_, held, 9999)}
    assert [one["id"] for one in search(office, plate="29c1 555.55")["reports"]] == [held, open_]
    record = tmp_path / "erasure.zip"
    record.write_bytes(office.get(f"/erasures/{done['erasure']}").content)
    proof = verify(open_package(record), office.trusted())
    assert proof.problems == []
    assert [(one["what"], one["number"]) for one in proof.manifest.body["erased"]] == [("report", closed)]
    assert "29-C1" not in str(proof.manifest.body)
