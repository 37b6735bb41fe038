"""The tables of incidents, citizens' reports and work orders. Times are seconds since 1970 UTC."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    text,
)

from actors.store.columns import String, Text
from actors.store.tables import Sequence64, metadata
from hoaban.incidents.states import ORDER_OPEN

Seconds = Float(53)


def _number() -> Column[int]:
    return Column("number", Sequence64, primary_key=True, autoincrement=True)


def _log(name: str, about: str) -> Table:
    """Who did what when. Rows are only ever added; a trigger of the migration refuses to change one."""
    return Table(
        name,
        metadata,
        Column("seq", Sequence64, primary_key=True, autoincrement=True),
        Column("about", BigInteger, ForeignKey(f"{about}.number", ondelete="CASCADE"), nullable=False),
        Column("at_s", Seconds, nullable=False),
        Column("who_id", String(64), nullable=False),
        Column("who_name", String(128), nullable=False),
        Column("action", String(32), nullable=False),
        Column("state_from", String(16)),
        Column("state_to", String(16), nullable=False),
        Column("note", Text),
        Column("detail", JSON, nullable=False),
        Index(f"{name}_about", "about", "seq"),
        sqlite_autoincrement=True,
    )


keeper_cursors = Table(
    "keeper_cursors",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    _number(),
    Column("kind", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),  # of what people decide; a further event does not change it
    Column("camera", String(64), nullable=False),  # where it was seen first
    Column("district", String(64)),
    Column("simulated", Boolean, nullable=False),
    Column("first_s", Seconds, nullable=False),
    Column("last_s", Seconds, nullable=False),
    Column("events", Integer, nullable=False),
    Column("opened_s", Seconds, nullable=False),
    Column("waiting_since_s", Seconds, nullable=False),
    Column("escalated_s", Seconds),
    Column("proposed_s", Seconds),
    Column("assignee", String(128)),
    Column("dismissal", String(32)),
    Index("incidents_state", "state", "number"),
    Index("incidents_last", "last_s"),
    sqlite_autoincrement=True,
)

incident_places = Table(
    "incident_places",
    metadata,
    Column("incident", BigInteger, ForeignKey("incidents.number", ondelete="CASCADE"), primary_key=True),
    Column("camera", String(64), primary_key=True),
    Column("spot", String(64), primary_key=True),
    Column("first_s", Seconds, nullable=False),
    Column("last_s", Seconds, nullable=False),
    Column("lasting", Integer, nullable=False),
    Index("incident_places_camera", "camera", "incident"),
)

incident_events = Table(
    "incident_events",
    metadata,
    # The event's own number and id: each event belongs to one incident, and the event may be purged before it.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event", String(64), nullable=False, unique=True),
    Column("incident", BigInteger, ForeignKey("incidents.number", ondelete="CASCADE"), nullable=False),
    Column("camera", String(64), nullable=False),
    Column("time_s", Seconds, nullable=False),
    Index("incident_events_incident", "incident", "seq"),
)

incident_log = _log("incident_log", "incidents")

handovers = Table(
    "handovers",
    metadata,
    _number(),
    Column("at_s", Seconds, nullable=False),
    Column("from_id", String(64), nullable=False),
    Column("from_name", String(128), nullable=False),
    Column("to_id", String(64)),  # none: of a time when a name could be typed
    Column("to_name", String(128), nullable=False),
    Column("note", Text, nullable=False),
    Column("incidents", JSON, nullable=False),  # the open ones as they stood then
    Column("accepted_s", Seconds),
    Column("accepted_id", String(64)),
    Column("accepted_name", String(128)),
    sqlite_autoincrement=True,
)

camera_faults = Table(
    "camera_faults",
    metadata,
    Column("camera", String(64), primary_key=True),
    Column("fault", String(32), primary_key=True),
    Column("began_s", Seconds, nullable=False),
    Column("ended_s", Seconds),
    Column("reason", Text, nullable=False),
)

_OPEN = text(f"state IN ({', '.join(repr(state.value) for state in ORDER_OPEN)})")

work_orders = Table(
    "work_orders",
    metadata,
    _number(),
    Column("camera", String(64), nullable=False),
    Column("fault", String(32), nullable=False),
    Column("district", String(64)),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("opened_s", Seconds, nullable=False),
    Column("began_s", Seconds, nullable=False),
    Column("ended_s", Seconds),
    Column("due_s", Seconds, nullable=False),
    Column("assignee", String(128)),
    # One fault, one order: the database itself refuses a second.
    Index("work_orders_open", "camera", "fault", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    sqlite_autoincrement=True,
)

work_order_log = _log("work_order_log", "work_orders")

reports = Table(
    "reports",
    metadata,
    _number(),
    Column("tracking", String(32), nullable=False, unique=True),
    Column("code", String(64), nullable=False),  # sha256 of the citizen's access code
    Column("channel", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("received_s", Seconds, nullable=False),
    Column("happened_s", Seconds, nullable=False),
    Column("text", Text, nullable=False),
    Column("lat", Float),
    Column("lon", Float),
    Column("landmark", String(200)),
    Column("district", String(64)),
    Column("camera", String(64)),  # the nearest within reach: it says whose the report is
    Column("contact", LargeBinary),  # sealed, see actors/watchlist/key.py
    Column("photo", LargeBinary),  # JPEG, faces hidden
    Column("photo_clear", LargeBinary),  # the same, faces not hidden; sealed
    Column("answer", Text),
    Column("incident", BigInteger, ForeignKey("incidents.number", ondelete="SET NULL")),
    Column("closed_s", Seconds),
    Index("reports_state", "state", "number"),
    sqlite_autoincrement=True,
)

report_log = _log("report_log", "reports")
