"""SQL: what must last (DESIGN 5)."""

from actors.store.audit import AuditStore
from actors.store.engine import StoreError
from actors.store.people import Holder, PeopleStore
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent, TooManyRowsError

__all__ = [
    "AuditStore",
    "CountRow",
    "EventPage",
    "EventStore",
    "Holder",
    "PeopleStore",
    "StoreError",
    "StoredEvent",
    "TooManyRowsError",
]
