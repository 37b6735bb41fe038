"""SQL: what must last (DESIGN 5)."""

from actors.store.engine import StoreError
from actors.store.store import CountRow, EventPage, EventStore, StoredEvent, TokenInfo, TooManyRowsError

__all__ = ["CountRow", "EventPage", "EventStore", "StoreError", "StoredEvent", "TokenInfo", "TooManyRowsError"]
