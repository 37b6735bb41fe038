"""Zones and lines tried on what a camera recorded, before anybody saves them: what would have been told."""

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import httpx
import numpy as np
import psutil
import pytest
from streamlit.testing.v1 import AppTest

from actors import preview
from actors.camera import CameraRuntime
from actors.preroll import Clip, PacketRing
from actors.preview import Job, PreviewError, Recent
from actors.source import open_frames
from actors.store import AuditStore, PeopleStore
from hoaban.access import Role
from hoaban.access.misuse import LOOK
from hoaban.events import Event
from hoaban.fleet import Camera, Fleet
from hoaban.status import SourceState
from tests.dashboard_system import DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
CLIP = "pets-s2l1-v1.mp4"
ACROSS = {"id": "in", "from": [0.5, 0.1], "to": [0.5, 0.95]}
DOOR = {"id": "door", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}
AS_IS = {"id": "in", "from": [0.1, 0.6], "to": [0.9, 0.6]}


class Kept:
    """The last seconds of a clip, as a camera keeps them of its stream."""

    def __init__(self, clip: Path, seconds: float) -> None:
        ring = PacketRing(seconds, 2**25)
        for _ in open_frames(str(clip), "gate", ring):
            pass
        cut = ring.cut(float("-inf"), float("inf"))
        self.recent_: Recent | None = Recent(cut.data, time.time() - seconds, [])

    async def recent(self, camera: str) -> Recent | None:
        return self.recent_ if camera == "gate" else None


@pytest.fixture(scope="module")
def kept(clip: Callable[[str], Path]) -> Kept:
    return Kept(clip(CLIP), 12.0)


@pytest.fixture
def system(
    tmp_path: Path, clip: Callable[[str], Path], kept: Kept, yolox: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DashboardSystem]:
    file = tmp_path / "fleet.yaml"
    file.write_text("cameras:\n- {id: gate, zones: [], lines: []}\n")
    with dashboard_system(tmp_path, clip(CLIP), fleet_files=(str(file),)) as running:
        document = running.fleet.with_defaults().model_dump(mode="json", by_alias=True)
        document["cameras"][0]["motion_gate"] = False
        running.fleet = Fleet.model_validate(document)
        running.app.state.recent = kept
        running.token = PeopleStore(running.store.engine).create_token("Quản trị", Role.ADMIN)[1]
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", running.token)
        monkeypatch.setenv("HOABAN_LANG", "en")
        running.show_fleet()
        yield running


def ask(system: DashboardSystem, camera: str = "gate", token: str = "", **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or system.token}"}
    wanted = {"zones": [DOOR], "lines": [AS_IS]} | body
    return httpx.post(f"{system.url}/cameras/{camera}/shapes/preview", json=wanted, headers=headers, timeout=90)


def crossings(side: dict[str, Any]) -> int:
    return sum(n for by_class in side["counts"].get("in", {}).values() for n in by_class.values())


def hours_from_now(hours: int) -> dict[str, str]:
    """An hour of each day, as in terms, that begins so much later than the present one."""
    now = datetime.now(ZoneInfo("Asia/Ho_Chi_Minh")).hour
    return {"from": f"{(now + hours) % 24:02d}:00", "to": f"{(now + hours + 1) % 24:02d}:00"}


def replays() -> list[psutil.Process]:
    """The processes of previews that this one started."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "actors.preview_worker" in child.cmdline():
                found.append(child)
    return found


def test_another_line_counts_others_and_the_look_is_in_the_record(system: DashboardSystem) -> None:
    told = ask(system, lines=[ACROSS]).json()
    assert (told["of"], told["whole"], told["failed"]) == ("ring", True, 0)
    assert 10 < told["media_s"] <= 14
    assert told["frames"] == pytest.approx(5 * told["media_s"], abs=3)
    assert crossings(told["present"]) == told["present"]["events"].get("hoaban.line_count", 0)
    assert crossings(told["tried"]) == told["tried"]["events"]["hoaban.line_count"] > 0
    assert {event["data"]["line"] for event in told["gained"]} == {"in"}
    assert told["present"]["events"]["hoaban.intrusion"] == told["tried"]["events"]["hoaban.intrusion"]
    # Nobody's face, and what it is about.
    assert 0 < len(told["pictures"]) <= 6
    for picture in told["pictures"]:
        assert picture["blur"] == "faces"
        image = cv2.imdecode(np.frombuffer(base64.b64decode(picture["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[1] == 480
    records, _ = AuditStore(system.store.engine).page(action=LOOK)
    assert [(one.who_name, one.camera, one.subject) for one in records] == [
        ("Quản trị", "gate", "/cameras/gate/shapes/preview")
    ]
    assert system.store.page(limit=10).events == []  # nothing of it happened


def test_the_same_shapes_tell_the_same_and_another_rule_what_it_would(system: DashboardSystem) -> None:
    told = ask(system).json()
    assert (told["gained"], told["lost"], told["changed"], told["pictures"]) == ([], [], 0, [])
    assert told["same"] == sum(told["present"]["events"].values()) > 0
    watched = {"type": "line_crossing", "line": "in", "classes": ["person"]}
    told = ask(system, rules=[watched], lines=[ACROSS]).json()
    assert set(told["tried"]["events"]) == {"hoaban.line_crossing"}
    assert ask(system, rules=[{"type": "line_count", "line": "in", "clases": ["car"]}]).status_code == 422


def test_who_may_not_change_the_fleet_gets_nothing(system: DashboardSystem) -> None:
    _, operator = PeopleStore(system.store.engine).create_token("Trực ban", Role.OPERATOR)
    assert ask(system, token=operator).status_code == 403
    assert ask(system, camera="nowhere").status_code == 404
    assert AuditStore(system.store.engine).page(action=LOOK)[0] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"lines": []}, "'in'"),
        ({"zones": [DOOR | {"polygon": [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]}]}, "crosses itself"),
    ],
)
def test_what_could_not_be_saved_is_not_tried(system: DashboardSystem, body: dict[str, Any], why: str) -> None:
    answer = ask(system, **body)
    assert answer.status_code == 422
    assert why in answer.text


def test_a_camera_that_keeps_nothing_says_so(system: DashboardSystem) -> None:
    answer = ask(system, camera="square")
    assert answer.status_code == 409
    assert "pre_roll_s" in answer.json()["detail"]


def test_outside_the_hours_of_its_owner_nothing_of_it_is_shown(system: DashboardSystem) -> None:
    system.report("gate", SourceState.PAUSED, error="shared from 06:00 to 18:00")
    answer = ask(system)
    assert answer.status_code == 409
    assert "06:00" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (lambda: {"terms": {"hours": [hours_from_now(6)]}}, "outside the hours its owner shares it"),
        (lambda: {"enabled": False}, "switched off"),
    ],
)
def test_a_recording_of_a_camera_that_does_not_run_is_not_shown_when_the_camera_is_not_to_be(
    system: DashboardSystem, clip: Callable[[str], Path], fields: Callable[[], dict[str, Any]], why: str
) -> None:
    document = system.fleet.model_dump(mode="json", by_alias=True)
    document["cameras"][0] |= {"source": str(clip("plaza.mp4"))} | fields()
    system.fleet = Fleet.model_validate(document)
    system.show_fleet()
    assert system.board.statuses() == {}
    answer = ask(system)
    assert (answer.status_code, why in answer.text) == (409, True)
    assert AuditStore(system.store.engine).page(action=LOOK)[0] == []


def test_one_runs_at_a_time(system: DashboardSystem) -> None:
    with ThreadPoolExecutor(3) as pool:
        codes = sorted(answer.status_code for answer in pool.map(lambda _: ask(system), range(3)))
    assert codes[0] == 200
    assert codes[-1] == 429


def test_who_closes_the_connection_leaves_no_room_until_the_replay_is_over(system: DashboardSystem) -> None:
    """Ray Serve ends the task of a request whose connection is closed: here it is ended the same way."""

    async def left() -> tuple[int, int]:
        asking = httpx.AsyncClient(transport=httpx.ASGITransport(app=system.app), base_url=system.url)
        headers = {"Authorization": f"Bearer {system.token}"}
        async with asking as client:

            async def once() -> int:
                wanted = {"zones": [DOOR], "lines": [ACROSS]}
                where = f"{system.url}/cameras/gate/shapes/preview"
                return (await client.post(where, json=wanted, headers=headers, timeout=90)).status_code

            first = asyncio.create_task(once())
            while not replays():
                assert not first.done()
                await asyncio.sleep(0.02)
            (replay,) = replays()
            replay.suspend()  # so that it lasts until the other was answered
            try:
                first.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await first
                second = await once()
                running = len(replays())
            finally:
                replay.kill()
            return second, running

    assert asyncio.run(left()) == (429, 1)
    while (again := ask(system, camera="square")).status_code == 429:
        time.sleep(0.2)
    assert again.status_code == 409  # it was looked for what there is to try it on


def test_what_a_looped_file_shows_is_tried_on_the_file_with_its_privacy_zones_black(
    system: DashboardSystem, clip: Callable[[str], Path]
) -> None:
    document = system.fleet.model_dump(mode="json", by_alias=True)
    whole = {"id": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    document["cameras"][0] |= {"source": str(clip("plaza.mp4")), "privacy_zones": [whole]}
    system.fleet = Fleet.model_validate(document)
    system.show_fleet()
    told = ask(system, lines=[ACROSS]).json()
    assert (told["of"], told["whole"]) == ("file", True)
    assert told["frames"] > 0
    kinds = told["present"]["events"].keys() | told["tried"]["events"].keys()
    assert kinds <= {"hoaban.camera_health"}  # all is black: nobody was seen


def test_limits_end_it_with_what_was_seen_by_then(clip: Callable[[str], Path], yolox: str) -> None:
    camera = _camera(str(clip(CLIP)))
    told = preview.preview(Job(camera, camera, yolox, source=str(clip(CLIP)), most_s=3.0))
    assert not told["whole"]
    assert told["media_s"] == pytest.approx(3.0, abs=0.2)
    told = preview.preview(Job(camera, camera, yolox, source=str(clip(CLIP)), limit_s=0.0))
    assert (told["whole"], told["frames"]) == (False, 0)


def test_what_cannot_be_tried_is_told_in_words(yolox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = _camera("/nowhere.mp4")
    with pytest.raises(PreviewError, match=r"nowhere\.mp4.*not found"):
        preview.preview(Job(camera, camera, yolox, source="/nowhere.mp4"))
    with pytest.raises(PreviewError, match="no-such-model"):
        preview.preview(Job(camera, camera, "no-such-model", source="/nowhere.mp4"))
    monkeypatch.setattr(preview, "MOST_CLIP_BYTES", 3)
    with pytest.raises(PreviewError, match="larger"):
        preview.preview(Job(camera, camera, yolox), b"1234")


class Nowhere:
    """Takes events and keeps none."""

    spooled, error = 0, None

    def publish(self, events: list[Event]) -> None:
        return None

    def close(self) -> None:
        return None


def test_a_running_camera_gives_what_it_keeps_and_what_is_to_be_hidden_in_it(
    clip: Callable[[str], Path], make_camera: Callable[..., Camera], tmp_path: Path, yolox: str
) -> None:
    corner = {"id": "window", "polygon": [[0, 0], [0.2, 0], [0.2, 0.2]]}
    camera = make_camera(source=str(clip(CLIP)), privacy_zones=[corner])
    runtime = CameraRuntime(camera, peers=[], node="n", publisher=Nowhere(), board=None, data_dir=tmp_path)
    assert runtime.recent() is None
    runtime.start()
    try:
        while (recent := runtime.recent()) is None:
            time.sleep(0.1)
    finally:
        runtime.stop()
    assert abs(recent.from_s - time.time()) < 60
    assert {zone["id"] for zone in recent.hidden} == {"window"}
    with pytest.raises(PreviewError):  # of a camera without a model of that name nothing is tried
        preview.preview(Job(_camera(""), _camera(""), "none@0"), recent.clip)


def test_an_edit_while_the_clip_is_cut_leaves_what_was_private_hidden(
    clip: Callable[[str], Path],
    make_camera: Callable[..., Camera],
    tmp_path: Path,
    yolox: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after = ({"id": id, "polygon": [[0, 0], [0.2, 0], [0.2, 0.2]]} for id in ("before", "after"))
    fields = {"source": str(clip(CLIP))}
    camera = make_camera(**fields, privacy_zones=[before])
    runtime = CameraRuntime(camera, peers=[], node="n", publisher=Nowhere(), board=None, data_dir=tmp_path)
    runtime.start()
    try:
        while runtime.recent() is None:
            time.sleep(0.1)
        cut = PacketRing.cut

        def cut_and_edited(ring: PacketRing, from_s: float, to_s: float) -> Clip:
            made = cut(ring, from_s, to_s)
            runtime.configure(make_camera(**fields, privacy_zones=[after]))
            return made

        monkeypatch.setattr(PacketRing, "cut", cut_and_edited)
        recent = runtime.recent()
    finally:
        monkeypatch.undo()
        runtime.stop()
    assert recent is not None
    assert {zone["id"] for zone in recent.hidden} == {"before", "after"}


def _camera(source: str) -> dict[str, Any]:
    fields = {
        "id": "gate",
        "name": "Cửa ngõ",
        "role": "overview",
        "district": "d",
        "owner": "o",
        "source": source or "x",
    }
    rules = [{"type": "line_count", "line": "in"}]
    return Camera.model_validate(fields | {"lines": [AS_IS], "rules": rules}).model_dump(mode="json", by_alias=True)


def test_the_editor_shows_what_would_be_told_and_forgets_it_when_more_is_drawn(system: DashboardSystem) -> None:
    told = ask(system, lines=[ACROSS]).json()

    def script() -> None:
        import os

        import streamlit as st

        from dashboards import shape_preview
        from dashboards.client import ApiClient

        api = ApiClient(os.environ["HOABAN_API_URL"], os.environ["HOABAN_API_TOKEN"])
        shape_preview.show(api, "gate", st.session_state["drawn"])

    app = AppTest.from_function(script, default_timeout=60)
    drawn = {"zones": [DOOR], "lines": [ACROSS]}
    app.session_state["drawn"] = drawn
    app.session_state["shape-preview"] = ("gate", drawn, told, "")
    text = said(sound(app.run()))
    more = crossings(told["tried"]) - crossings(told["present"])
    assert f"{more:+d}" in text
    assert text.count("would be new") == len(told["gained"])
    assert f"{told['frames']} pictures" in text
    app.session_state["drawn"] = {"zones": [], "lines": []}
    assert "would be new" not in said(sound(app.run()))
    app.session_state["shape-preview"] = ("gate", app.session_state["drawn"], None, "another preview is running")
    assert "another preview is running" in said(sound(app.run())).replace("\\", "")
