"""Passwords that another gave, what an identity provider says, and where evidence is from"""

import sqlalchemy as sa
from alembic import op

revision = "0012_sign_in"
down_revision = "0011_ops"


def upgrade() -> None:
    op.add_column("people", sa.Column("password_given", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("grants", sa.Column("provided", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("sessions", sa.Column("claims", sa.JSON))
    op.add_column("evidence", sa.Column("district", sa.String(64)))


def downgrade() -> None:
    op.drop_column("evidence", "district")
    op.drop_column("sessions", "claims")
    # Without the mark they would count by themselves.
    op.execute(sa.text("DELETE FROM grants WHERE provided"))
    op.drop_column("grants", "provided")
    op.drop_column("people", "password_given")
