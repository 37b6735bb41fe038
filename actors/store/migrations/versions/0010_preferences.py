"""What each person wants of the dashboard"""

import sqlalchemy as sa
from alembic import op

revision = "0010_preferences"
down_revision = "0009_proof"


def upgrade() -> None:
    op.create_table(
        "preferences",
        sa.Column("person", sa.String(128), primary_key=True),
        sa.Column("chosen", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("preferences")
