"""Incidents, citizens' reports and work orders"""

import sqlalchemy as sa
from alembic import op

revision = "0005_incidents"
down_revision = "0004_accounts"

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Seconds = sa.Float(53)
LOGS = {"incident_log": "incidents", "work_order_log": "work_orders", "report_log": "reports"}
TABLES = ("handovers", "camera_faults", "keeper_cursors", "incident_events", "incident_places", *LOGS)
ORDER_OPEN = sa.text("state IN ('open', 'in_progress', 'to_check')")


def upgrade() -> None:
    cursors = op.create_table(
        "keeper_cursors",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    newest = sa.select(sa.literal("incidents"), sa.func.coalesce(sa.func.max(sa.column("seq")), 0))
    # What was stored before there were incidents makes none: nobody waits for it any more.
    op.execute(sa.insert(cursors).from_select(["name", "seq"], newest.select_from(sa.table("events"))))
    _incidents()
    _work_orders()
    _reports()
    for log in LOGS:
        _refuse_changes(log)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for log in LOGS:
            op.execute(f"DROP TRIGGER {log}_stays ON {log}")
        op.execute("DROP FUNCTION hoaban_log_stays()")
    for name in TABLES:
        op.drop_table(name)
    for name in ("reports", "work_orders", "incidents"):
        op.drop_table(name)


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("district", sa.String(64)),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("first_s", Seconds, nullable=False),
        sa.Column("last_s", Seconds, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("opened_s", Seconds, nullable=False),
        sa.Column("waiting_since_s", Seconds, nullable=False),
        sa.Column("escalated_s", Seconds),
        sa.Column("proposed_s", Seconds),
        sa.Column("assignee", sa.String(128)),
        sa.Column("dismissal", sa.String(32)),
        sqlite_autoincrement=True,
    )
    op.create_index("incidents_state", "incidents", ["state", "number"])
    op.create_index("incidents_last", "incidents", ["last_s"])
    op.create_table(
        "incident_places",
        sa.Column("incident", sa.BigInteger, sa.ForeignKey("incidents.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("camera", sa.String(64), primary_key=True),
        sa.Column("spot", sa.String(64), primary_key=True),
        sa.Column("first_s", Seconds, nullable=False),
        sa.Column("last_s", Seconds, nullable=False),
        sa.Column("lasting", sa.Integer, nullable=False),
    )
    op.create_index("incident_places_camera", "incident_places", ["camera", "incident"])
    op.create_table(
        "incident_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event", sa.String(64), nullable=False, unique=True),
        sa.Column("incident", sa.BigInteger, sa.ForeignKey("incidents.number", ondelete="CASCADE"), nullable=False),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("time_s", Seconds, nullable=False),
    )
    op.create_index("incident_events_incident", "incident_events", ["incident", "seq"])
    _log("incident_log")
    op.create_table(
        "handovers",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("at_s", Seconds, nullable=False),
        sa.Column("from_id", sa.String(64), nullable=False),
        sa.Column("from_name", sa.String(128), nullable=False),
        sa.Column("to_name", sa.String(128), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("incidents", sa.JSON, nullable=False),
        sa.Column("accepted_s", Seconds),
        sa.Column("accepted_id", sa.String(64)),
        sa.Column("accepted_name", sa.String(128)),
        sqlite_autoincrement=True,
    )


def _work_orders() -> None:
    op.create_table(
        "camera_faults",
        sa.Column("camera", sa.String(64), primary_key=True),
        sa.Column("fault", sa.String(32), primary_key=True),
        sa.Column("began_s", Seconds, nullable=False),
        sa.Column("ended_s", Seconds),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "work_orders",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("fault", sa.String(32), nullable=False),
        sa.Column("district", sa.String(64)),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("opened_s", Seconds, nullable=False),
        sa.Column("began_s", Seconds, nullable=False),
        sa.Column("ended_s", Seconds),
        sa.Column("due_s", Seconds, nullable=False),
        sa.Column("assignee", sa.String(128)),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "work_orders_open",
        "work_orders",
        ["camera", "fault"],
        unique=True,
        sqlite_where=ORDER_OPEN,
        postgresql_where=ORDER_OPEN,
    )
    _log("work_order_log")


def _reports() -> None:
    op.create_table(
        "reports",
        sa.Column("number", Number, primary_key=True, autoincrement=True),
        sa.Column("tracking", sa.String(32), nullable=False, unique=True),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("received_s", Seconds, nullable=False),
        sa.Column("happened_s", Seconds, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("lat", sa.Float),
        sa.Column("lon", sa.Float),
        sa.Column("landmark", sa.String(200)),
        sa.Column("district", sa.String(64)),
        sa.Column("camera", sa.String(64)),
        sa.Column("contact", sa.LargeBinary),
        sa.Column("photo", sa.LargeBinary),
        sa.Column("photo_clear", sa.LargeBinary),
        sa.Column("answer", sa.Text),
        sa.Column("incident", sa.BigInteger, sa.ForeignKey("incidents.number", ondelete="SET NULL")),
        sa.Column("closed_s", Seconds),
        sqlite_autoincrement=True,
    )
    op.create_index("reports_state", "reports", ["state", "number"])
    _log("report_log")


def _log(name: str) -> None:
    op.create_table(
        name,
        sa.Column("seq", Number, primary_key=True, autoincrement=True),
        sa.Column("about", sa.BigInteger, sa.ForeignKey(f"{LOGS[name]}.number", ondelete="CASCADE"), nullable=False),
        sa.Column("at_s", Seconds, nullable=False),
        sa.Column("who_id", sa.String(64), nullable=False),
        sa.Column("who_name", sa.String(128), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("state_from", sa.String(16)),
        sa.Column("state_to", sa.String(16), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("detail", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(f"{name}_about", name, ["about", "seq"])


def _refuse_changes(log: str) -> None:
    """What is written stays as it was written; rows go only with what they are about, when its time is over."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION hoaban_log_stays() RETURNS trigger AS "
            "$$ BEGIN RAISE EXCEPTION 'a log is only ever added to'; END $$ LANGUAGE plpgsql"
        )
        op.execute(f"CREATE TRIGGER {log}_stays BEFORE UPDATE ON {log} EXECUTE FUNCTION hoaban_log_stays()")
    else:
        op.execute(
            f"CREATE TRIGGER {log}_stays BEFORE UPDATE ON {log} "
            "BEGIN SELECT RAISE(ABORT, 'a log is only ever added to'); END"
        )
