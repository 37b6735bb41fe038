"""Erasures that one worker finishes, records in a row, what was erased before it was sealed, plates of events"""

import sqlalchemy as sa
from alembic import op

from actors.store.rows import plate_of

revision = "0009_proof"
down_revision = "0008_access"

evidence = sa.table("evidence", sa.column("id"), sa.column("state"))
erasures = sa.table(
    "erasures",
    *(sa.column(name) for name in ("seq", "id", "begun_s", "signature", "number", "done_s")),
    sa.column("plan", sa.JSON),
)
events = sa.table("events", sa.column("seq"), sa.column("plate"), sa.column("body", sa.JSON))
AT_ONCE = 1000


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
    op.add_column("events", sa.Column("plate", sa.String(32)))
    _fill_plates()
    told = sa.text("plate IS NOT NULL")
    op.create_index("events_plate", "events", ["plate"], sqlite_where=told, postgresql_where=told)
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


def _fill_plates() -> None:
    connection, after = op.get_bind(), -1
    named = sa.cast(events.c.body, sa.Text).like('%"plate"%')
    while rows := connection.execute(
        sa.select(events.c.seq, events.c.body).where(events.c.seq > after, named).order_by(events.c.seq).limit(AT_ONCE)
    ).all():
        after = rows[-1].seq
        for row in rows:
            if plate := plate_of(row.body["data"]):
                connection.execute(sa.update(events).where(events.c.seq == row.seq).values(plate=plate[:32]))


def downgrade() -> None:
    op.drop_index("events_plate", "events")
    op.drop_column("events", "plate")
    op.drop_index("erasures_number", "erasures")
    for name in ("leased_until_s", "worker", "done_s", "number"):
        op.drop_column("erasures", name)
    op.drop_table("tombstones")
