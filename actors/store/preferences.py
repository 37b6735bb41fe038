"""What each person wants of the dashboard; small, and nobody else's affair."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from actors.store.tables import preferences as table


class PreferenceStore:
    """By the person's id. What is kept is what the API let in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, person: str) -> dict[str, Any]:
        """Empty for who has not chosen anything."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(table.c.chosen).where(table.c.person == person)).scalar_one_or_none()
        return dict(found or {})

    def put(self, person: str, chosen: Mapping[str, Any]) -> None:
        """Replace them; of two that come at once the later holds."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        added = dialect.insert(table).values(person=person, chosen=dict(chosen))
        either = added.on_conflict_do_update(index_elements=["person"], set_={"chosen": added.excluded.chosen})
        with self._engine.begin() as connection:
            connection.execute(either)
