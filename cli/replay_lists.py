"""The watchlists of a data folder, for replays."""

import os
from pathlib import Path
from typing import Any

from actors.models import ModelError
from actors.watchlist.key import KeyMissingError, WatchlistKey
from actors.watchlist.store import PlateStore, WatchlistStore
from cli.trouble import open_store


def read_list(data: Path, kind: type[WatchlistStore] | type[PlateStore]) -> list[Any]:
    """The active entries of a data folder's store. Raises ModelError with what is missing, TroubleError."""
    url = os.environ.get("HOABAN_STORE_URL") or f"sqlite:///{data / 'hoaban.db'}"
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise ModelError(f"{data}: no store (hoaban.db) is there; name the data folder of a `hoaban up`")
    store = open_store(url)
    try:
        return list(kind(store.engine, lambda: WatchlistKey.load(data)).active())
    except KeyMissingError as error:
        raise ModelError(f"{data}: {error}") from None
    finally:
        store.close()
