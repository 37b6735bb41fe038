"""Whose evidence is, grants that wait for a second admin, and records that no statement changes or takes away"""

import sqlalchemy as sa
from alembic import op

revision = "0008_access"
down_revision = "0007_plates"

# The newest record tells that the chain's beginning is taken out, and how far.
NOT_PRUNED = (
    "COALESCE((SELECT CASE WHEN action = 'audit.prune' THEN {through} END FROM audit ORDER BY seq DESC LIMIT 1), 0)"
    " < OLD.seq"
)
THROUGH = {"sqlite": "json_extract(detail, '$.through')", "postgresql": "(detail->>'through')::bigint"}
KEPT = {
    "audit": (("UPDATE", ""), ("DELETE", NOT_PRUNED)),
    # A log goes with what it is about, when its time is over, and not before.
    "incident_log": (("DELETE", "EXISTS (SELECT 1 FROM incidents WHERE number = OLD.about)"),),
    "work_order_log": (("DELETE", "EXISTS (SELECT 1 FROM work_orders WHERE number = OLD.about)"),),
    "report_log": (("DELETE", "EXISTS (SELECT 1 FROM reports WHERE number = OLD.about)"),),
}


def upgrade() -> None:
    op.add_column("evidence", sa.Column("owner", sa.String(64)))
    op.add_column("evidence", sa.Column("viewers", sa.JSON))
    op.add_column("sessions", sa.Column("address", sa.String(64)))
    op.add_column("grants", sa.Column("granted_by_id", sa.String(64), nullable=False, server_default=""))
    op.add_column("grants", sa.Column("waits", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("grants", sa.Column("confirmed", sa.DateTime(timezone=True)))
    op.add_column("grants", sa.Column("confirmed_by", sa.String(128)))
    for table, acts in KEPT.items():
        for act, when in acts:
            _refuse(table, act, when)
    if _postgresql():  # no row is deleted by it, so no trigger of rows sees it
        op.execute("CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit EXECUTE FUNCTION hoaban_only_added()")


def downgrade() -> None:
    if _postgresql():
        op.execute("DROP TRIGGER audit_no_truncate ON audit")
    for table, acts in KEPT.items():
        for act, when in acts:
            of = f" ON {table}" if _postgresql() else ""
            op.execute(f"DROP TRIGGER {table}_no_{act.lower()}{of}")
            if when and _postgresql():
                op.execute(f"DROP FUNCTION {_function(table)}()")
    for name in ("confirmed_by", "confirmed", "waits", "granted_by_id"):
        op.drop_column("grants", name)
    op.drop_column("sessions", "address")
    for name in ("viewers", "owner"):
        op.drop_column("evidence", name)


def _refuse(table: str, act: str, when: str) -> None:
    when = when.replace("{through}", THROUGH["postgresql" if _postgresql() else "sqlite"])
    if _postgresql():
        # PostgreSQL's conditions of triggers may not ask other tables, its functions may.
        function = "hoaban_only_added"
        if when:
            function = _function(table)
            op.execute(
                f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF {when} THEN RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME; END IF; RETURN OLD; END $$"
            )
        body = f"EXECUTE FUNCTION {function}()"
    else:
        body = f"{'WHEN ' + when if when else ''} BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
    op.execute(f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} FOR EACH ROW {body}")


def _function(table: str) -> str:
    return f"hoaban_{table}_stays_with"


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
