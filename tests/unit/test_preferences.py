"""Preferences of two screens that are written for the first time at the same moment."""

import threading
from typing import Any

import sqlalchemy as sa

from actors.store import EventStore
from actors.store.preferences import PreferenceStore


def test_two_first_writes_at_once_are_both_taken(store_url: str) -> None:
    events = EventStore.open(store_url)
    store, meet, failed = PreferenceStore(events.engine), threading.Barrier(2), []

    def before_insert(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO preferences") and events.engine.dialect.name == "postgresql":
            meet.wait(timeout=30)  # SQLite has one writer at a time

    def put(language: str) -> None:
        try:
            store.put("p", {"language": language})
        except Exception as error:
            failed.append(error)

    sa.event.listen(events.engine, "before_cursor_execute", before_insert)
    threads = [threading.Thread(target=put, args=(language,)) for language in ("vi", "en")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.get("p")["language"] in ("vi", "en")
    sa.event.remove(events.engine, "before_cursor_execute", before_insert)
    store.put("p", {"theme": "dark"})
    assert store.get("p") == {"theme": "dark"}
    events.close()
