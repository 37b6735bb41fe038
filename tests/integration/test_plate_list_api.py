"""The plate list's routes over the real application, store and Redis-protocol server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi.testclient import TestClient

from actors.board import Board
from actors.store import AuditStore, EventStore, PeopleStore
from actors.watchlist.feed import PlateFeed
from hoaban.access import Role
from serve.app import build_app
from serve.settings import ApiSettings


class NoPictures:
    """No tile is asked for here."""

    async def tile(self, camera: str) -> None:
        return None


def body(**fields: object) -> dict[str, object]:
    day = timedelta(days=1)
    return {
        "watchlist": "stolen", "subject": "case 7", "plate": "29b1 123.45", "law": "l", "authority": "a",
        "document": "d", "basis_until": (datetime.now(UTC) + 2 * day).isoformat(),
        "expires_at": (datetime.now(UTC) + day).isoformat(),
    } | fields  # fmt: skip


def test_a_plate_is_looked_for_once_another_person_approved_it(valkey_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    store = EventStore.open(url)
    both = (Role.OFFICER, Role.WATCHLIST_APPROVER)
    people, given = PeopleStore(store.engine), {"An": both, "Bình": both, "viewer": (Role.VIEWER,)}
    token = {who: {"Authorization": f"Bearer {people.create_token(who, *roles)[1]}"} for who, roles in given.items()}
    feed = PlateFeed(Board(valkey_url), tmp_path)
    settings = ApiSettings(url, valkey_url, "only-for-this-test", data_dir=str(tmp_path))
    with TestClient(build_app(settings, NoPictures())) as api:
        path = "/api/v1/watchlist/plates"
        for method, rest in (("GET", ""), ("POST", ""), ("POST", "/x/approve"), ("DELETE", "/x")):
            assert api.request(method, path + rest, headers=token["viewer"]).status_code == 403
            assert api.request(method, path + rest).status_code == 401
        refused = api.post(path, json=body(plate="HONDA"), headers=token["An"])
        assert (refused.status_code, "no format" in refused.json()["detail"]) == (422, True)
        added = api.post(path, json=body(), headers=token["An"])
        assert added.status_code == 201, added.text
        entry = added.json()
        assert (entry["plate"], entry["state"]) == ("29-B1 123.45", "waiting for approval")
        assert not feed.refresh()
        assert api.post(f"{path}/{entry['id']}/approve", headers=token["An"]).status_code == 409
        assert api.post(f"{path}/{entry['id']}/approve", headers=token["Bình"]).json()["state"] == "active"
        assert [one.plate for one in feed.refresh() or ()] == ["29B112345"]
        assert [one["id"] for one in api.get(path, headers=token["An"]).json()] == [entry["id"]]
        assert api.delete(f"{path}/{entry['id']}", headers=token["An"]).status_code == 204
        assert feed.refresh() == ()
        assert api.delete(f"{path}/{entry['id']}", headers=token["An"]).status_code == 404
    acts = [record.action for record in AuditStore(store.engine).page(limit=50)[0]]
    assert {"watchlist.propose", "watchlist.approve", "watchlist.see", "watchlist.erase"} <= set(acts)
    store.close()
