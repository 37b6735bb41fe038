"""SQL: what must last (DESIGN 5)."""

from actors.store.audit import AuditStore
from actors.store.cases import StaleError
from actors.store.incidents import HandoverError, Incident, IncidentStore
from actors.store.people import Holder, PeopleStore
from actors.store.reports import NewReport, Report, ReportStore
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent
from actors.store.work_orders import WorkOrder, WorkOrderStore

__all__ = [
    "AuditStore",
    "CountRow",
    "EventPage",
    "EventStore",
    "HandoverError",
    "Holder",
    "Incident",
    "IncidentStore",
    "NewReport",
    "PeopleStore",
    "Report",
    "ReportStore",
    "StaleError",
    "StoredEvent",
    "WorkOrder",
    "WorkOrderStore",
]
