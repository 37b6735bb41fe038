"""Who a shift is handed to is a person, not a name that was typed"""

import sqlalchemy as sa
from alembic import op

revision = "0013_handover_to"
down_revision = "0012_sign_in"


def upgrade() -> None:
    op.add_column("handovers", sa.Column("to_id", sa.String(64)))


def downgrade() -> None:
    op.drop_column("handovers", "to_id")
