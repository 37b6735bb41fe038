"""The watchlists at rest and on their way: encrypted in SQL and in Redis, plain only in the memory of who searches."""

from actors.watchlist.feed import (
    GALLERY,
    PLATES,
    GalleryFeed,
    PlateFeed,
    publish_gallery,
    publish_plates,
    was_published,
)
from actors.watchlist.key import KeyMissingError, WatchlistKey
from actors.watchlist.store import (
    EntryInfo,
    ListedInfo,
    ListStore,
    NewEntry,
    NewPlate,
    PlateInfo,
    PlateStore,
    WatchlistError,
    WatchlistStore,
)

__all__ = [
    "GALLERY",
    "PLATES",
    "EntryInfo",
    "GalleryFeed",
    "KeyMissingError",
    "ListStore",
    "ListedInfo",
    "NewEntry",
    "NewPlate",
    "PlateFeed",
    "PlateInfo",
    "PlateStore",
    "WatchlistError",
    "WatchlistKey",
    "WatchlistStore",
    "publish_gallery",
    "publish_plates",
    "was_published",
]
