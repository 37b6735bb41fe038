"""Events on their way out of the system"""

import sqlalchemy as sa
from alembic import op

revision = "0011_ops"
down_revision = "0010_preferences"


def upgrade() -> None:
    op.create_table(
        "delivery_targets",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("delivered", sa.BigInteger, nullable=False),
        sa.Column("delivered_s", sa.Float(53)),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "deliveries",
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_s", sa.Float(53), nullable=False),
        sa.Column("dead", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("deliveries_due", "deliveries", ["target", "dead", "next_s"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("delivery_targets")
