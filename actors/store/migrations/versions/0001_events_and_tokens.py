"""Events and API tokens"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32)),
        sa.Column("rule", sa.String(128)),
        sa.Column("label", sa.String(64)),
        sa.Column("line", sa.String(64)),
        sa.Column("zone", sa.String(64)),
        sa.Column("direction", sa.String(16)),
        sa.Column("track", sa.BigInteger),
        sa.Column("time_s", sa.Float(53), nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("evidential", sa.Boolean, nullable=False),
        sa.Column("model", sa.String(128)),
        sa.Column("model_digest", sa.String(64)),
        sa.Column("config", sa.String(64)),
        sa.Column("body", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_time", "events", ["time_s"])
    op.create_index("events_camera_time", "events", ["camera", "time_s"])
    op.create_index("events_type_time", "events", ["type", "time_s"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("api_tokens")
    op.drop_table("events")
