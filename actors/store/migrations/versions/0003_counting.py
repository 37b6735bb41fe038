"""Lanes, turns and faults of events as columns of their own, how long to keep them, agencies of tokens"""

import sqlalchemy as sa
from alembic import op

revision = "0003_counting"
down_revision = "0002_watchlist"

EVENT_COLUMNS = {
    "lane": sa.String(64),
    "turn_from": sa.String(64),
    "turn_to": sa.String(64),
    "fault": sa.String(32),
    "phase": sa.String(32),
    "retention_days": sa.Integer(),
}


def upgrade() -> None:
    for name, kind in EVENT_COLUMNS.items():
        op.add_column("events", sa.Column(name, kind))
    op.add_column("api_tokens", sa.Column("agency", sa.String(64)))


def downgrade() -> None:
    op.drop_column("api_tokens", "agency")
    for name in EVENT_COLUMNS:
        op.drop_column("events", name)
