"""Evidence packages, decisions, legal holds, erasures"""

import sqlalchemy as sa
from alembic import op

revision = "0006_evidence"
down_revision = "0005_incidents"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
GUARDS = (("decisions", "UPDATE"), ("decisions", "DELETE"), ("erasures", "DELETE"))
"""what is only ever added to; by triggers, so that no statement of ours or another's forgets it"""


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32)),
        sa.Column("captured_s", sa.Float(53), nullable=False),
        sa.Column("plate", sa.String(32)),
        sa.Column("evidential", sa.Boolean, nullable=False),
        sa.Column("doubts", sa.JSON, nullable=False),
        sa.Column("missing", sa.JSON, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("seconds_into_red", sa.Float),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("owner_days", sa.Integer),
        sa.Column("manifest_sha256", sa.String(64)),
        sa.Column("key", sa.String(32)),
        sa.Column("sealed_s", sa.Float(53), nullable=False),
        sa.Column("stamped", sa.String(40)),
        sa.Column("redacted", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("erased_s", sa.Float(53)),
        sqlite_autoincrement=True,
    )
    op.create_index("evidence_state", "evidence", ["state", "captured_s"])
    op.create_index("evidence_camera", "evidence", ["camera", "captured_s"])
    op.create_index("evidence_plate", "evidence", ["plate"])
    op.create_table(
        "decisions",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("evidence", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("note", sa.String(2000), nullable=False),
        sa.Column("by_id", sa.String(64), nullable=False),
        sa.Column("by_name", sa.String(128), nullable=False),
        sa.Column("at_s", sa.Float(53), nullable=False),
        sa.UniqueConstraint("evidence", "version", name="decisions_one_a_version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(2000), nullable=False),
        sa.Column("from_s", sa.Float(53)),
        sa.Column("until_s", sa.Float(53)),
        sa.Column("ends_s", sa.Float(53)),
        sa.Column("by_id", sa.String(64), nullable=False),
        sa.Column("by_name", sa.String(128), nullable=False),
        sa.Column("at_s", sa.Float(53), nullable=False),
        sa.Column("lifted_s", sa.Float(53)),
        sa.Column("lifted_by", sa.String(128)),
        sa.Column("lifted_reason", sa.String(2000)),
    )
    op.create_table(
        "erasures",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("basis", sa.String(2000), nullable=False),
        sa.Column("by_name", sa.String(128), nullable=False),
        sa.Column("begun_s", sa.Float(53), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("manifest", sa.LargeBinary),
        sa.Column("signature", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION hoaban_only_added() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME; END $$"
        )
    for table, act in GUARDS:
        if op.get_bind().dialect.name == "postgresql":
            body = "EXECUTE FUNCTION hoaban_only_added()"
        else:
            body = f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
        op.execute(f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} FOR EACH ROW {body}")


def downgrade() -> None:
    for table in ("erasures", "holds", "decisions", "evidence"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION hoaban_only_added()")
