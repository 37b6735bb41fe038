"""People, what they are granted, their sessions, and the audit chain; a token's role becomes a grant"""

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0004_accounts"
down_revision = "0003_counting"

LIMITS = ("districts", "agencies", "cameras", "hours")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("password", sa.String(256)),
        sa.Column("issuer", sa.String(400)),
        sa.Column("issuer_subject", sa.String(255)),
        sa.Column("agency", sa.String(64)),
        sa.Column("neighbourhood", sa.String(64)),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.UniqueConstraint("issuer", "issuer_subject", name="people_issuer"),
    )
    grants = op.create_table(
        "grants",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("districts", sa.JSON),
        sa.Column("agencies", sa.JSON),
        sa.Column("cameras", sa.JSON),
        sa.Column("hours", sa.JSON),
        sa.Column("granted", TIME, nullable=False),
        sa.Column("granted_by", sa.String(128), nullable=False),
    )
    op.create_index("grants_holder", "grants", ["holder"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("person", sa.String(32), nullable=False),
        sa.Column("access", sa.String(64), nullable=False, unique=True),
        sa.Column("access_until", TIME, nullable=False),
        sa.Column("refresh", sa.String(64), nullable=False, unique=True),
        sa.Column("spent_refresh", sa.String(64)),
        sa.Column("until", TIME, nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
    )
    op.create_index("sessions_person", "sessions", ["person"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Float(53), nullable=False),
        sa.Column("who_id", sa.String(64), nullable=False),
        sa.Column("who_name", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("camera", sa.String(64)),
        sa.Column("reason", sa.Text),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
    )
    op.create_index("audit_time", "audit", ["at_s"])
    op.create_index("audit_who", "audit", ["who_id", "seq"])
    tokens = sa.table("api_tokens", sa.column("id"), sa.column("role"))
    now = datetime.datetime.now(datetime.UTC)
    rows = [
        {"id": f"t{row.id}", "holder": row.id, "role": row.role, "granted": now, "granted_by": "before 0004"}
        for row in op.get_bind().execute(sa.select(tokens.c.id, tokens.c.role))
    ]
    if rows:
        op.bulk_insert(grants, rows)
    op.drop_column("api_tokens", "role")
    op.add_column("api_tokens", sa.Column("created_by", sa.String(128)))


def downgrade() -> None:
    op.drop_column("api_tokens", "created_by")
    op.add_column("api_tokens", sa.Column("role", sa.String(32), nullable=False, server_default="viewer"))
    _one_role_a_token()
    for table in ("audit", "sessions", "grants", "people"):
        op.drop_table(table)


def _one_role_a_token() -> None:
    """A token with one grant, for everywhere and always, keeps its role; of any other nothing so narrow can be said
    in a role alone: it is revoked."""
    grants = sa.table("grants", *map(sa.column, ("holder", "role", *LIMITS)))
    tokens = sa.table("api_tokens", *map(sa.column, ("id", "role", "revoked")))
    connection = op.get_bind()
    held: dict[str, list[tuple[str, bool]]] = {}
    for row in connection.execute(sa.select(grants)):
        limited = any(getattr(row, name) not in (None, "null") for name in LIMITS)
        held.setdefault(row.holder, []).append((row.role, limited))
    for token in connection.execute(sa.select(tokens.c.id)).scalars().all():
        given = held.get(token, [])
        whole = len(given) == 1 and not given[0][1]
        values = {"role": given[0][0]} if whole else {"revoked": True}
        connection.execute(sa.update(tokens).where(tokens.c.id == token).values(values))
