"""The officer's pages against the real API: evidence side by side, decisions, exports, requests by persons."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from actors.proof.archive import zipped
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.sealer import Sealer
from actors.store import EvidenceRecords, PeopleStore
from hoaban.access import Role
from hoaban.evidence.review import Verdict
from hoaban.evidence.verify import verify
from tests.dashboard_system import dashboard_system
from tests.evidence import AT_S, leave_candidate, red_light
from tests.integration.test_dashboard_pages import again, opened, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class Plain:
    def package(self, files: dict[str, bytes], candidate: dict[str, Any]) -> tuple[dict[str, bytes], str]:
        return {name: data for name, data in files.items() if name.endswith((".jpg", ".mp4"))}, "faces"


class Office:
    def __init__(self, folder: Path, system: Any, officer: str) -> None:
        self.system, self.officer, self.keys = system, officer, Keys(folder)
        self.root = folder / "evidence"
        self.records = EvidenceRecords(system.store.engine)
        self.sealer = Sealer(
            PackageFiles(str(self.root)),
            self.records,
            self.keys.signer(),
            redactor=Plain(),  # type: ignore[arg-type]
        )

    def case(self, track: int, **more: Any) -> str:
        event = red_light("junction", AT_S + track, track, **more)
        self.system.store.write([event])
        leave_candidate(self.root, event)
        self.sealer.step()
        return event.id


@pytest.fixture
def office(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), data_dir=str(tmp_path)) as system:
        _, token = PeopleStore(system.store.engine).create_token("Officer Lò Văn Mai", Role.OFFICER)
        for name, value in {"HOABAN_API_URL": system.url, "HOABAN_API_TOKEN": token, "HOABAN_LANG": "en"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HOABAN_PUBLIC_API_URL", raising=False)
        system.show_fleet()
        yield Office(tmp_path, system, token)


def praised(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in app.get("success"))


def button(app: AppTest, key: str) -> Any:
    return next(one for one in app.button if one.key == key)


def test_a_case_is_shown_with_all_that_a_decision_needs(office: Office) -> None:
    assert "No case here" in said(opened("violations"))
    office.case(1)
    text = said(app := opened("violations"))
    for words in ("Case 1 of 1", "may have run the red light", "30A12345", "1.25", "nothing speaks against it"):
        assert words in text
    captions = [one.caption for image in app.get("image") for one in image.proto.imgs]
    assert [c.split(",")[0] for c in captions[:3]] == ["before the line", "at the line", "past the line"]
    assert captions[1].endswith("21:13:21.50")  # the province's clock
    assert len(app.get("video")) == 1


def test_each_case_is_decided_under_the_officers_name_and_the_next_one_comes(office: Office) -> None:
    first, second = office.case(1), office.case(2)
    app = opened("violations")
    assert app.session_state["evidence_id"] == second
    app.selectbox(key=f"confirmed-{second}").set_value("seen_in_clip")
    sound(button(app, "do-confirmed").click().run())
    assert "confirmed: recorded under your name" in praised(app)
    (decision,) = office.records.decisions(second)
    assert (decision.verdict, decision.reason, decision.by_name) == ("confirmed", "seen_in_clip", "Officer Lò Văn Mai")
    assert app.session_state["evidence_id"] == first
    app.text_input(key=f"note-{first}-0").set_value("an ambulance with blue light")
    app.selectbox(key=f"rejected-{first}").set_value("emergency_vehicle")
    sound(button(app, "do-rejected").click().run())
    assert office.records.decisions(first)[0].note == "an ambulance with blue light"
    assert "No case here" in said(again(app))


def test_keys_do_what_the_buttons_do(office: Office) -> None:
    office.case(1)
    app = opened("violations")
    keys = {one.key: one.proto.shortcut for one in app.button if one.key}
    assert {name: keys[name].lower() for name in ("do-confirmed", "do-rejected", "previous", "next")} == {
        "do-confirmed": "y",
        "do-rejected": "x",
        "previous": "p",
        "next": "n",
    }


def test_what_is_no_proof_says_why_and_cannot_be_confirmed(office: Office) -> None:
    case = office.case(1, doubts=("the source is a <b>simulation</b>",))
    app = opened("violations")
    assert r"the source is a \<b\>simulation" in said(app)
    assert button(app, "do-confirmed").disabled
    assert not button(app, "do-rejected").disabled
    assert office.records.get(case).version == 0


def test_a_decision_on_what_another_officer_decided_meanwhile_is_told_and_not_lost(office: Office) -> None:
    case = office.case(1)
    app = opened("violations")
    office.records.decide(
        case,
        Verdict.REJECTED,
        "no_violation",
        "",
        0,
        PeopleStore(office.system.store.engine).verify(office.officer).person,
    )
    sound(button(app, "do-confirmed").click().run())
    assert "Another officer decided this case meanwhile" in said(app)
    assert [one.verdict for one in office.records.decisions(case)] == ["rejected"]


def test_a_confirmed_case_can_be_exported(office: Office) -> None:
    case = office.case(1)
    office.records.decide(
        case,
        Verdict.CONFIRMED,
        "seen_in_clip",
        "",
        0,
        PeopleStore(office.system.store.engine).verify(office.officer).person,
    )
    app = opened("violations")
    app.session_state["evidence_state"] = "confirmed"
    sound(app.run())
    app.text_input(key=f"export-{case}").set_value("to the court, case 12/2026")
    sound(app.run())
    sound(button(app, "do-export").click().run())
    id, data = app.session_state["evidence_export"]
    assert id == case
    assert verify(zipped(io.BytesIO(data)), office.keys.trusted()).ok
    assert zipfile.is_zipfile(io.BytesIO(data))


def test_a_viewer_is_told_that_the_page_is_not_for_them(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_API_TOKEN", office.system.token)
    assert "may not see this" in said(opened("violations"))


def test_a_person_is_answered_and_what_may_go_is_erased(office: Office) -> None:
    case = office.case(1, doubts=("no light",))
    app = opened("subjects")
    app.text_input(key="subject_reference").set_value("R-7")
    app.text_input(key="subject_plate").set_value("30A-123.45")
    sound(next(one for one in app.button if one.label == "Search").click().run())
    assert "Evidence: 1" in said(app)
    assert "Events: 1" in said(app)
    # AppTest cannot tick a row of a table: what the tick leads to is called as the page calls it.
    from dashboards.client import ApiClient

    done = ApiClient(office.system.url, office.officer).erase_subject("R-7", "asked by the owner", {"evidence": [case]})
    assert done["erased"] == [case]
    app.session_state["subject_erased"] = (done, b"zip")
    assert "1 erased" in praised(sound(app.run()))
    sound(next(one for one in app.button if one.label == "Search").click().run())
    assert "Evidence: 0" in said(app)
