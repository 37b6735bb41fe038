"""Columns of text that behave alike in every database: SQLite takes any length and NUL, PostgreSQL neither."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UnfitTextError(ValueError):
    """A text has characters or a length that no column here takes. SQLAlchemy wraps it into a StatementError."""


def _checked(value: Any, most: int | None) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise UnfitTextError("a text has the character NUL")
        if most is not None and len(value) > most:
            raise UnfitTextError(f"a text has {len(value)} letters; {most} are most")
    return value


class String(TypeDecorator[str]):
    """Text of at most `length` letters, in statements and in what they compare with."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return _checked(value, self.impl_instance.length)  # type: ignore[attr-defined]


class Text(TypeDecorator[str]):
    """Text of any length."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return _checked(value, None)
