"""One gate for events: what a camera told, and a watchlist's hit, stand in the answer of no route for who may not see
them. Each route of the API is asked, so that one that is added is asked too."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.store.incident_keeping import Ground, follow, keep_time
from actors.store.sessions import SessionStore
from hoaban.access import Grant, Role, Scope
from hoaban.events import Event, Finding, bind
from hoaban.frames import FrameMeta
from serve.app import _streams
from serve.shown import Gate
from tests.api_system import PROVENANCE, Api, running_api

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
SOUTH, NORTH = Scope(districts=frozenset({"south"})), Scope(districts=frozenset({"north"}))
EVERY_ROLE = tuple(Role)
NOT_OF_LISTS = (Role.VIEWER, Role.OPERATOR, Role.DATA_SCIENTIST)
SECRET = "29B112345"
CANARY = "canary"
TELLING = ("/counts", "/counts.csv", "/events", "/events/stream", "/incidents/1", "/reports/1")
"""routes that tell of such events to who may see them, as a check that the table asks what it should"""


def happening(camera: str, kind: str, track: int, **more: Any) -> Event:
    finding = Finding(kind, f"{CANARY}-rule", track=track, label="car", score=0.9, **more)
    return bind(finding, FrameMeta(camera, 7, time.time() - 60 + track, 10, 10), "shared", PROVENANCE)


class Asked:
    """The API, with events of a camera in the north: a crossing, an intrusion that became an incident, a hit."""

    def __init__(self, api: Api) -> None:
        self.api = api
        fleet = api.board.get_json("fleet")
        for camera in fleet["cameras"]:
            camera["location"] = {"lat": 21.38, "lon": 103.02}
        api.board.put_json("fleet", fleet)
        api.app.state.places._read_s = float("-inf")
        self.events = [
            happening("gate", "line_count", 1, line=f"{CANARY}-line", direction="forward"),
            happening("gate", "intrusion", 2, zone="yard"),
            happening("gate", "plate_watchlist", 3, zone="yard", extra={"plate": SECRET, "entry": "e1"}),
        ]
        api.store.write(self.events)
        ground = Ground.of_fleet(fleet)
        follow(api.store.engine, ground, time.time())
        keep_time(api.store.engine, ground, time.time())
        filed = {"text": "Xe đổ giữa đường", "lat": 21.38, "lon": 103.02}
        assert api.ask("POST", "/reports", api.token(Grant(Role.OFFICER)), json=filed).status_code == 201
        document = api.get("/openapi.json", api.token(Role.VIEWER)).json()
        self.paths = sorted(
            filled(path.removeprefix("/api/v1")) for path, item in document["paths"].items() if "get" in item
        )

    def answers(self, *grants: Grant) -> dict[str, str]:
        """Each path's whole answer."""
        return {path: self.read(path, grants) for path in self.paths}

    def read(self, path: str, grants: tuple[Grant, ...]) -> str:
        if not path.endswith(("stream", ".mjpg")):
            return str(self.api.get(path, self.api.token(*grants)).content)
        # What does not end is asked for with a token that dies, so it does: of events once somebody follows them.
        made, secret = self.api.people.create_token("short", *grants)

        def revoke() -> None:
            ends = time.monotonic() + 20
            while path == "/events/stream" and self.api.app.state.feed._followers == 0 and time.monotonic() < ends:
                time.sleep(0.05)
            time.sleep(2.0)
            self.api.people.revoke_token(made)

        threading.Thread(target=revoke).start()
        return str(self.api.get(path, secret, after=0).content)


def filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda match: {"camera": "gate", "number": "1"}.get(match[1], "none"), path)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder: Path = tmp_path_factory.mktemp("gate")
    with running_api(folder, data_dir=str(folder)) as api:
        yield Asked(api)


def test_no_route_tells_what_a_camera_out_of_reach_told(asked: Asked) -> None:
    answers = asked.answers(*(Grant(role, SOUTH) for role in EVERY_ROLE))
    assert len(answers) > 50
    secrets = [event.id for event in asked.events] + [CANARY, SECRET]
    assert {(path, one) for path, text in answers.items() for one in secrets if one in text} == set()


def test_no_route_tells_whom_a_watchlists_hit_names_without_the_right_to_see_the_lists(asked: Asked) -> None:
    answers = asked.answers(*(Grant(role) for role in NOT_OF_LISTS))
    assert {path for path, text in answers.items() if SECRET in text} == set()
    assert {path for path, text in answers.items() if CANARY in text} == set(TELLING)


def test_who_may_see_all_of_it_is_told_by_the_same_routes(asked: Asked) -> None:
    answers = asked.answers(*(Grant(role, NORTH) for role in EVERY_ROLE))
    assert {path for path, text in answers.items() if CANARY in text} >= set(TELLING)
    whole = asked.answers(*(Grant(role) for role in EVERY_ROLE))
    assert {path for path in ("/events", "/events/stream", "/reports/1") if SECRET in whole[path]} == {
        "/events",
        "/events/stream",
        "/reports/1",
    }


def test_a_stream_tells_hits_no_longer_than_the_right_to_see_the_lists_lasts(asked: Asked) -> None:
    """The right is asked for each batch, as of now and not as of when the stream began."""
    api = asked.api
    api.people.add("Ly", Role.OFFICER, by="test")
    officer = api.people.grant("Ly", Role.VIEWER, "test").grants
    holder = api.people.verify(SessionStore(api.store.engine).begin(api.people.account("Ly").id).access)
    request: Any = SimpleNamespace(app=api.app)
    assert _streams(request, holder).lists
    (grant,) = (one.id for one in officer if one.grant.role is Role.OFFICER)
    api.people.revoke("Ly", grant)
    api.app.state.credentials._kept.clear()
    assert _streams(request, holder) == Gate(None, lists=False)
