"""SQL: what must last (DESIGN 5)."""

from actors.store.store import CountRow, EventPage, EventStore, StoredEvent, TokenInfo

__all__ = ["CountRow", "EventPage", "EventStore", "StoredEvent", "TokenInfo"]
