"""SQL: what must last (DESIGN 5)."""

from actors.store.audit import AuditStore
from actors.store.cases import StaleError
from actors.store.engine import StoreError
from actors.store.evidence import EvidenceRecords
from actors.store.incidents import HandoverError, Incident, IncidentStore
from actors.store.outbox import Outbox
from actors.store.people import Holder, PeopleStore
from actors.store.reports import NewReport, Report, ReportStore
from actors.store.retention import RetentionStore
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent, TooManyRowsError
from actors.store.work_orders import WorkOrder, WorkOrderStore

__all__ = [
    "AuditStore",
    "CountRow",
    "EventPage",
    "EventStore",
    "EvidenceRecords",
    "HandoverError",
    "Holder",
    "Incident",
    "IncidentStore",
    "NewReport",
    "Outbox",
    "PeopleStore",
    "Report",
    "ReportStore",
    "RetentionStore",
    "StaleError",
    "StoreError",
    "StoredEvent",
    "TooManyRowsError",
    "WorkOrder",
    "WorkOrderStore",
]
