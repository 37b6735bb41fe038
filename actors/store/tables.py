"""The tables. A change here comes with a migration; tests/unit/test_store.py compares the two."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    false,
    text,
)

from actors.store.columns import String, Text

metadata = MetaData()
Sequence64 = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by themselves for INTEGER only

events = Table(
    "events",
    metadata,
    Column("seq", Sequence64, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("camera", String(64), nullable=False),
    Column("role", String(32)),
    Column("rule", String(128)),
    Column("label", String(64)),
    Column("line", String(64)),
    Column("zone", String(64)),
    Column("direction", String(16)),
    Column("lane", String(64)),
    Column("turn_from", String(64)),
    Column("turn_to", String(64)),
    Column("fault", String(32)),
    Column("phase", String(32)),
    Column("track", BigInteger),
    Column("time_s", Float(53), nullable=False),
    Column("score", Float),
    Column("simulated", Boolean, nullable=False),
    Column("evidential", Boolean, nullable=False),
    Column("model", String(128)),
    Column("model_digest", String(64)),
    Column("config", String(64)),
    Column("retention_days", Integer),
    Column("plate", String(32)),  # as it is searched: capitals and digits alone, ? for what was not read
    Column("body", JSON, nullable=False),
    Index("events_plate", "plate", sqlite_where=text("plate IS NOT NULL"), postgresql_where=text("plate IS NOT NULL")),
    Index("events_time", "time_s"),
    Index("events_camera_time", "camera", "time_s"),
    Index("events_type_time", "type", "time_s"),
    sqlite_autoincrement=True,
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("agency", String(64)),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("created_by", String(128)),
    Column("expires", DateTime(timezone=True)),
    Column("revoked", Boolean, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("password", String(256)),  # argon2id; none for who signs in at an identity provider
    Column("password_given", Boolean, nullable=False, server_default=false()),  # by another, who knows it
    Column("issuer", String(400)),
    Column("issuer_subject", String(255)),
    Column("agency", String(64)),
    Column("neighbourhood", String(64)),
    Column("disabled", Boolean, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("created_by", String(128), nullable=False),
    UniqueConstraint("issuer", "issuer_subject", name="people_issuer"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("holder", String(32), nullable=False),  # people.id or api_tokens.id
    Column("role", String(32), nullable=False),
    Column("districts", JSON(none_as_null=True)),
    Column("agencies", JSON(none_as_null=True)),
    Column("cameras", JSON(none_as_null=True)),
    Column("hours", JSON(none_as_null=True)),
    Column("granted", DateTime(timezone=True), nullable=False),
    Column("granted_by", String(128), nullable=False),
    Column("granted_by_id", String(64), nullable=False, server_default=""),
    Column("waits", Boolean, nullable=False, server_default=false()),  # for a second admin; it gives nothing yet
    Column("provided", Boolean, nullable=False, server_default=false()),  # by claims; counts while they say so
    Column("confirmed", DateTime(timezone=True)),
    Column("confirmed_by", String(128)),
    Index("grants_holder", "holder"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(32), nullable=False),
    Column("access", String(64), nullable=False, unique=True),  # sha256, as of every secret here
    Column("access_until", DateTime(timezone=True), nullable=False),
    Column("refresh", String(64), nullable=False, unique=True),
    Column("spent_refresh", String(64)),  # the one before: who shows it again has a stolen copy
    Column("until", DateTime(timezone=True), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("address", String(64)),
    Column("claims", JSON(none_as_null=True)),  # what an identity provider said when this session began
    Index("sessions_person", "person"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Sequence64, primary_key=True, autoincrement=False),
    Column("at_s", Float(53), nullable=False),
    Column("who_id", String(64), nullable=False),
    Column("who_name", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("camera", String(64)),
    Column("reason", Text),
    Column("outcome", String(16), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Index("audit_time", "at_s"),
    Index("audit_who", "who_id", "seq"),
)


def _watchlist(name: str, index: str, *own: Column[Any]) -> Table:
    """A table of entries that two people answer for; `own` columns hold what is listed, sealed with the key."""
    return Table(
        name,
        metadata,
        Column("id", String(32), primary_key=True),
        Column("list", String(64), nullable=False),
        Column("subject", String(128), nullable=False),
        *own,
        Column("law", String(400), nullable=False),
        Column("authority", String(400), nullable=False),
        Column("document", String(400), nullable=False),
        Column("basis_until", DateTime(timezone=True), nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False),
        Column("added_by_id", String(32), nullable=False),
        Column("added_by", String(128), nullable=False),
        Column("added_at", DateTime(timezone=True), nullable=False),
        Column("approved_by_id", String(32)),
        Column("approved_by", String(128)),
        Column("approved_at", DateTime(timezone=True)),
        CheckConstraint("approved_by_id <> added_by_id AND approved_by <> added_by", name=f"{index}_two_people"),
        Index(f"{index}_list", "list"),
    )


watchlist_entries = _watchlist(
    "watchlist_entries",
    "watchlist",
    Column("template", LargeBinary, nullable=False),  # see actors/watchlist/key.py
    Column("model", String(128), nullable=False),
    Column("model_digest", String(64), nullable=False),
)
watchlist_plates = _watchlist("watchlist_plates", "watchlist_plates", Column("plate", LargeBinary, nullable=False))

preferences = Table(
    "preferences",
    metadata,
    Column("person", String(128), primary_key=True),
    Column("chosen", JSON, nullable=False),
)
"""what a person, by their id, wants of the dashboard"""
