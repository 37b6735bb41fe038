"""The watchlist at rest and on its way: encrypted in SQL and in Redis, plain only in the memory of who searches."""

from actors.watchlist.feed import GalleryFeed, publish_gallery
from actors.watchlist.key import KeyMissingError, WatchlistKey
from actors.watchlist.store import EntryInfo, NewEntry, WatchlistError, WatchlistStore

__all__ = [
    "EntryInfo",
    "GalleryFeed",
    "KeyMissingError",
    "NewEntry",
    "WatchlistError",
    "WatchlistKey",
    "WatchlistStore",
    "publish_gallery",
]
