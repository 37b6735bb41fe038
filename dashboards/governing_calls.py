"""Watchlists, models, the cluster, the audit, one's own settings; a part of the API's client (dashboards/client.py)."""

from typing import Any, NotRequired, TypedDict, cast

from dashboards.evidence_calls import _given

SLOW_S = 60.0
"""a photo is made a template; a chain of a hundred thousand records is worked through; a recording is replayed"""


class Listed(TypedDict):
    """An entry of a watchlist: a face, or a plate. Times are RFC 3339."""

    id: str
    watchlist: str
    subject: str
    state: str
    law: str
    authority: str
    document: str
    basis_until: str
    expires_at: str
    added_by: str
    added_at: str
    approved_by: str | None
    approved_at: str | None
    plate: NotRequired[str]
    model: NotRequired[str]
    quality: NotRequired[dict[str, float] | None]


class GoverningCalls:
    """Methods of ApiClient. Every call raises ApiError."""

    def _call(self, method: str, path: str, **more: Any) -> Any:
        raise NotImplementedError

    def _content(self, method: str, path: str, **more: Any) -> bytes:
        raise NotImplementedError

    def _done(self, method: str, path: str, **more: Any) -> None:
        """A call that answers with nothing."""
        raise NotImplementedError

    # --- watchlists; kind: "" for faces, "/plates"

    def watchlist(self, kind: str) -> list[Listed]:
        return cast(list[Listed], self._call("GET", f"/watchlist{kind}"))

    def propose(self, kind: str, entry: dict[str, Any]) -> Listed:
        return cast(Listed, self._call("POST", f"/watchlist{kind}", json=entry, timeout=SLOW_S))

    def approve(self, kind: str, id: str) -> Listed:
        return cast(Listed, self._call("POST", f"/watchlist{kind}/{id}/approve"))

    def erase_listed(self, kind: str, id: str) -> None:
        self._done("DELETE", f"/watchlist{kind}/{id}")

    def unmasked(self, camera: str, reason: str) -> bytes:
        """The newest picture of a camera with faces shown, JPEG; the reason and the look are recorded."""
        permit = self._call("POST", f"/cameras/{camera}/unmask", json={"reason": reason})["permit"]
        return self._content("GET", f"/cameras/{camera}/unmasked.jpg", headers={"X-Hoaban-Permit": permit})

    def snapshot(self, camera: str) -> bytes:
        """The newest picture, faces hidden, JPEG."""
        return self._content("GET", f"/cameras/{camera}/snapshot.jpg")

    # --- zones and lines

    def shapes(self, camera: str) -> dict[str, Any]:
        """{"zones", "lines", "revision"} as the fleet file has them."""
        return cast(dict[str, Any], self._call("GET", f"/cameras/{camera}/shapes"))

    def set_shapes(self, camera: str, shapes: dict[str, Any], revision: str) -> dict[str, Any]:
        """Refused with 412 when somebody changed them since `revision`."""
        path, seen = f"/cameras/{camera}/shapes", {"If-Match": f'"{revision}"'}
        return cast(dict[str, Any], self._call("PUT", path, json=shapes, headers=seen))

    def preview_shapes(self, camera: str, shapes: dict[str, Any]) -> dict[str, Any]:
        """What they would have told of the camera's last minutes; nothing is saved."""
        path = f"/cameras/{camera}/shapes/preview"
        return cast(dict[str, Any], self._call("POST", path, json=shapes, timeout=SLOW_S))

    # --- models

    def models(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("GET", "/models"))

    def models_current(self) -> dict[str, Any]:
        """{"places", "steps"}: what names stand for, and how they came to it."""
        return cast(dict[str, Any], self._call("GET", "/models/current"))

    def promote(self, report: dict[str, Any], place: str | None) -> dict[str, Any]:
        return cast(
            dict[str, Any], self._call("POST", "/models/promote", json=_given({"report": report, "place": place}))
        )

    def roll_back(self, place: str, why: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("POST", "/models/rollback", json={"place": place, "why": why}))

    def shadows(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("GET", "/models/shadow"))

    def begin_shadow(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("POST", "/models/shadow", json=_given(wanted)))

    def end_shadow(self, model: str, why: str) -> None:
        self._done("DELETE", f"/models/shadow/{model}", params={"why": why})

    def disagreements(self, model: str, limit: int = 12) -> list[dict[str, Any]]:
        found = self._call("GET", "/models/disagreements", params={"model": model, "limit": limit})
        return cast(list[dict[str, Any]], found["disagreements"])

    def picture(self, path: str) -> bytes:
        """A picture whose path an answer named."""
        return self._content("GET", path)

    # --- cluster

    def cluster(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("GET", "/cluster"))

    def plan(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("GET", "/plan", params=_given(wanted), timeout=SLOW_S))

    # --- audit, holds, privacy

    def audit(self, **filters: Any) -> dict[str, Any]:
        """{"records": the newest first, "next_cursor"}."""
        return cast(dict[str, Any], self._call("GET", "/audit", params=_given(filters)))

    def audit_verification(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("GET", "/audit/verification", timeout=SLOW_S))

    def misuse(self, days: int) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("GET", "/audit/misuse", params={"days": days}, timeout=SLOW_S))

    def holds(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("GET", "/holds"))

    def begin_hold(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("POST", "/holds", json=_given(wanted)))

    def lift_hold(self, id: str, reason: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("POST", f"/holds/{id}/lift", json={"reason": reason}))

    def erasures(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("GET", "/erasures"))

    # --- oneself

    def preferences(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("GET", "/session/preferences"))

    def set_preferences(self, chosen: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], self._call("PUT", "/session/preferences", json=chosen))
