"""SQL: what must last (DESIGN 5)."""

from actors.store.audit import AuditStore
from actors.store.people import Holder, PeopleStore
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent

__all__ = ["AuditStore", "CountRow", "EventPage", "EventStore", "Holder", "PeopleStore", "StoredEvent"]
