"""Plates that are looked for"""

import sqlalchemy as sa
from alembic import op

revision = "0007_plates"
down_revision = "0006_evidence"


def upgrade() -> None:
    op.create_table(
        "watchlist_plates",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("list", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("plate", sa.LargeBinary, nullable=False),
        sa.Column("law", sa.String(400), nullable=False),
        sa.Column("authority", sa.String(400), nullable=False),
        sa.Column("document", sa.String(400), nullable=False),
        sa.Column("basis_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by_id", sa.String(32), nullable=False),
        sa.Column("added_by", sa.String(128), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by_id", sa.String(32)),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "approved_by_id <> added_by_id AND approved_by <> added_by", name="watchlist_plates_two_people"
        ),
    )
    op.create_index("watchlist_plates_list", "watchlist_plates", ["list"])


def downgrade() -> None:
    op.drop_table("watchlist_plates")
