"""Evidence under review as the pages see it; a part of the API's client (dashboards/client.py)."""

from typing import Any, TypedDict, cast

SLOW_S = 60.0
"""an export reads and signs a whole package"""


class Decision(TypedDict):
    version: int
    verdict: str
    reason: str
    note: str
    by: str
    at: str


class EvidenceCase(TypedDict):
    """A case of the queue. version: to be given with a decision. doubts: why it cannot be confirmed as proof."""

    id: str
    type: str
    camera: str
    captured: str
    plate: str | None
    state: str
    version: int
    evidential: bool
    doubts: list[str]
    missing: dict[str, str]
    seconds_into_red: float | None
    simulated: bool
    timestamp: str | None
    redacted: str | None
    kept_until: str | None


class EvidenceDetail(EvidenceCase):
    """With what was decided, which reasons there are by verdict, its pictures' names, and what was signed."""

    decisions: list[Decision]
    reasons: dict[str, list[str]]
    pictures: list[str]
    held_by: str | None
    manifest: dict[str, Any] | None


class EvidenceCalls:
    """Calls of the review page and of the page for subject requests."""

    def evidence(self, limit: int = 50, cursor: int | None = None, **filters: str | None) -> dict[str, Any]:
        """{"cases": the newest first, "next_cursor"}. filters: state, camera, type."""
        wanted = {"limit": limit, "cursor": cursor, **filters}
        return cast(dict[str, Any], self._call("GET", "/evidence", params=_given(wanted)))

    def evidence_case(self, id: str) -> EvidenceDetail:
        return cast(EvidenceDetail, self._call("GET", f"/evidence/{id}"))

    def evidence_picture(self, id: str, name: str) -> bytes:
        """A still, the plate or the clip, with everybody else hidden."""
        return self._content("GET", f"/evidence/{id}/files/{name}")

    def decide(self, id: str, verdict: str, reason: str, note: str, version: int) -> EvidenceDetail:
        body = {"verdict": verdict, "reason": reason, "note": note, "version": version}
        return cast(EvidenceDetail, self._call("POST", f"/evidence/{id}/decision", json=body))

    def export(self, id: str, reason: str, version: int) -> bytes:
        """A signed zip."""
        return self._content(
            "POST", f"/evidence/{id}/export", json={"reason": reason, "version": version}, timeout=SLOW_S
        )

    def search_subject(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What is held about a person."""
        return cast(dict[str, Any], self._call("POST", "/subjects/search", json=_given(wanted)))

    def erase_subject(self, reference: str, basis: str, ids: dict[str, list[str]]) -> dict[str, Any]:
        """ids: by kind, as the search named the kinds. {"erasure", "erased", "refused"}."""
        body = {"reference": reference, "basis": basis} | ids
        return cast(dict[str, Any], self._call("POST", "/subjects/erase", json=body, timeout=SLOW_S))

    def erasure_record(self, id: str) -> bytes:
        """The signed record of an erasure, a zip."""
        return self._content("GET", f"/erasures/{id}")

    def _call(self, method: str, path: str, **more: Any) -> Any:
        raise NotImplementedError

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        raise NotImplementedError

    def _document(self, answer: Any, path: str) -> Any:
        raise NotImplementedError

    def _content(self, method: str, path: str, **more: Any) -> bytes:
        answer = self._answer(method, path, **more)
        return answer.content if answer.is_success else cast(bytes, self._document(answer, path))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
