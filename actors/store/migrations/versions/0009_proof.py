"""Erasures that one worker finishes, records in a row, what was erased before it was sealed, plates of events"""

import sqlalchemy as sa
from alembic import op

revision = "0009_proof"
down_revision = "0007_plates"

evidence = sa.table("evidence", sa.column("id"), sa.column("state"))
erasures = sa.table(
    "erasures",
    *(sa.column(name) for name in ("seq", "id", "begun_s", "signature", "number", "done_s")),
    sa.column("plan", sa.JSON),
)
events = sa.table("events", sa.column("seq"), sa.column("type"), sa.column("plate"), sa.column("body", sa.JSON))
AT_ONCE = 1000
WITH_PLATES = ("hoaban.plate_watchlist",)


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at_s", sa.Float(53), nullable=False),
    )
    for column in (
        sa.Column("number", sa.Integer),
        sa.Column("done_s", sa.Float(53)),
        sa.Column("worker", sa.String(32)),
        sa.Column("leased_until_s", sa.Float(53)),
    ):
        op.add_column("erasures", column)
    _number_records()
    op.create_index("erasures_number", "erasures", ["number"], unique=True)


def _number_records() -> None:
    """Records get their places; what had begun and was not done is not to be decided or held any more."""
    connection = op.get_bind()
    number = 0
    for row in connection.execute(sa.select(erasures).order_by(erasures.c.seq)).all():
        if row.signature is not None:
            number += 1
            values = {"number": number, "done_s": row.begun_s}
            connection.execute(sa.update(erasures).where(erasures.c.seq == row.seq).values(values))
            continue
        going = [one["id"] for one in row.plan if one["what"] == "evidence"]
        connection.execute(
            sa.update(evidence).where(evidence.c.id.in_(going), evidence.c.state != "erased").values(state="erasing")
        )


def downgrade() -> None:
    op.drop_index("erasures_number", "erasures")
    for name in ("leased_until_s", "worker", "done_s", "number"):
        op.drop_column("erasures", name)
    op.drop_table("tombstones")
