"""SQL: what must last (DESIGN 5)."""

from actors.store.audit import AuditStore
from actors.store.engine import StoreError
from actors.store.evidence import EvidenceRecords
from actors.store.people import Holder, PeopleStore
from actors.store.retention import RetentionStore
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent, TooManyRowsError

__all__ = [
    "AuditStore",
    "CountRow",
    "EventPage",
    "EventStore",
    "EvidenceRecords",
    "Holder",
    "PeopleStore",
    "RetentionStore",
    "StoreError",
    "StoredEvent",
    "TooManyRowsError",
]
