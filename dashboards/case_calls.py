"""Incidents, reports and work orders as the pages see them; a part of the API's client (dashboards/client.py)."""

from typing import Any, TypedDict, cast

from dashboards import viewer


class LogLine(TypedDict):
    """Who did what when."""

    at_s: float
    who: str
    action: str
    state_from: str | None
    state_to: str
    note: str | None
    detail: dict[str, Any]


class Incident(TypedDict):
    """An incident of the list. version: to be given with a change. allowed: what may be done now."""

    number: int
    kind: str
    severity: str
    state: str
    version: int
    camera: str
    district: str | None
    simulated: bool
    first_s: float
    last_s: float
    events: int
    waiting_since_s: float
    escalated_s: float | None
    proposed_s: float | None
    assignee: str | None
    dismissal: str | None
    allowed: list[str]


class IncidentDetail(Incident):
    """With its log, its stored events, and the cameras near it."""

    log: list[LogLine]
    stored: list[dict[str, Any]]
    neighbours: list[dict[str, Any]]


class Handover(TypedDict):
    number: int
    at_s: float
    from_name: str
    to_name: str
    note: str
    incidents: list[dict[str, Any]]
    accepted_s: float | None
    accepted_name: str | None


class Report(TypedDict):
    """A citizen's report of the list, without personal data."""

    number: int
    tracking: str
    channel: str
    state: str
    version: int
    received_s: float
    happened_s: float
    text: str
    lat: float | None
    lon: float | None
    landmark: str | None
    district: str | None
    camera: str | None
    answer: str | None
    incident: int | None
    has_contact: bool
    has_photo: bool
    allowed: list[str]


class ReportDetail(Report):
    log: list[LogLine]
    near: list[dict[str, Any]]


class Assignee(TypedDict):
    """Who may be given a case."""

    name: str
    agency: str | None


class WorkOrder(TypedDict):
    number: int
    camera: str
    fault: str
    district: str | None
    severity: str
    state: str
    version: int
    reason: str
    opened_s: float
    began_s: float
    ended_s: float | None
    due_s: float
    assignee: str | None
    overdue: bool
    allowed: list[str]


class WorkOrderDetail(WorkOrder):
    log: list[LogLine]


FILING_S = 60.0
"""a photo is decoded, searched for faces and encoded anew before the answer comes"""


class CaseCalls:
    """Methods of ApiClient. Every call raises ApiError."""

    def _call(self, method: str, path: str, **more: Any) -> Any:
        raise NotImplementedError

    def _bytes(self, path: str, **more: Any) -> bytes:
        raise NotImplementedError

    def incidents(self, states: list[str], severity: str | None, district: str | None) -> list[Incident]:
        wanted = [("state", state) for state in states]
        wanted += [(key, value) for key, value in (("severity", severity), ("district", district)) if value]
        return cast(list[Incident], self._call("GET", "/incidents", params=wanted)["incidents"])

    def incident(self, number: int) -> IncidentDetail:
        return cast(IncidentDetail, self._call("GET", f"/incidents/{number}"))

    def act_on_incident(self, number: int, action: str, version: int, **more: Any) -> Incident:
        return cast(Incident, self._call("POST", f"/incidents/{number}/{action}", json={"version": version} | more))

    def assignees(self, of: str, number: int) -> list[Assignee]:
        """Who may be given a case of "incidents" or "work-orders"."""
        return cast(list[Assignee], self._call("GET", f"/{of}/{number}/assignees"))

    def successors(self) -> list[Assignee]:
        """Who may take over a shift."""
        return cast(list[Assignee], self._call("GET", "/handovers/assignees"))

    def handovers(self) -> list[Handover]:
        return cast(list[Handover], self._call("GET", "/handovers", params={"limit": 10}))

    def hand_over(self, to: str, note: str) -> Handover:
        return cast(Handover, self._call("POST", "/handovers", json={"to": to, "note": note}))

    def accept_handover(self, number: int) -> Handover:
        return cast(Handover, self._call("POST", f"/handovers/{number}/accept"))

    def reports(self, states: list[str], incident: int | None = None) -> list[Report]:
        wanted: list[tuple[str, Any]] = [("state", state) for state in states]
        wanted += [("incident", incident)] if incident else []
        return cast(list[Report], self._call("GET", "/reports", params=wanted)["reports"])

    def report(self, number: int) -> ReportDetail:
        return cast(ReportDetail, self._call("GET", f"/reports/{number}"))

    def report_photo(self, number: int) -> bytes:
        """JPEG, faces hidden."""
        return self._bytes(f"/reports/{number}/photo.jpg")

    def report_contact(self, number: int, reason: str) -> dict[str, str | None]:
        """How the citizen can be reached; that it was asked for, and why, is recorded."""
        answer = self._call("POST", f"/reports/{number}/contact", json={"reason": reason})
        return cast(dict[str, str | None], answer)

    def act_on_report(self, number: int, action: str, version: int, **more: Any) -> Report:
        return cast(Report, self._call("POST", f"/reports/{number}/{action}", json={"version": version} | more))

    def file_report(self, report: dict[str, Any], address: str) -> dict[str, str]:
        """As the page for citizens: {tracking, access_code}. address: whose report it is, for the limit."""
        headers = viewer.told(address)
        answer = self._call("POST", "/public/reports", json=report, headers=headers, timeout=FILING_S)
        return cast(dict[str, str], answer)

    def filed_report(self, tracking: str, code: str, address: str) -> dict[str, Any]:
        """What a citizen may see of a report by its two words."""
        headers = {"X-Access-Code": code} | viewer.told(address)
        return cast(dict[str, Any], self._call("GET", f"/public/reports/{tracking}", headers=headers))

    def work_orders(self, states: list[str], district: str | None) -> list[WorkOrder]:
        wanted = [("state", state) for state in states] + ([("district", district)] if district else [])
        return cast(list[WorkOrder], self._call("GET", "/work-orders", params=wanted)["work_orders"])

    def work_order(self, number: int) -> WorkOrderDetail:
        return cast(WorkOrderDetail, self._call("GET", f"/work-orders/{number}"))

    def act_on_order(self, number: int, action: str, version: int, **more: Any) -> WorkOrder:
        return cast(WorkOrder, self._call("POST", f"/work-orders/{number}/{action}", json={"version": version} | more))

    def repair_times(self, since: str) -> list[dict[str, Any]]:
        """Mean time to repair of each district since a time (RFC 3339)."""
        return cast(list[dict[str, Any]], self._call("GET", "/work-orders/repair-times", params={"since": since}))
