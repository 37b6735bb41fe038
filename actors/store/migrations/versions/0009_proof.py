"""Erasures that one worker finishes, records in a row, what was erased before it was sealed, plates of events"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from actors.store.rows import plate_of

revision = "0009_proof"
down_revision = "0008_access"

evidence = sa.table("evidence", sa.column("id"), sa.column("state"))
erasures = sa.table(
    "erasures",
    *(sa.column(name) for name in ("seq", "id", "begun_s", "manifest", "signature", "number", "done_s")),
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
    rows = connection.execute(sa.select(erasures).order_by(erasures.c.seq)).all()
    for number, row in enumerate(_linked([row for row in rows if row.signature is not None]), 1):
        values = {"number": number, "done_s": row.begun_s}
        connection.execute(sa.update(erasures).where(erasures.c.seq == row.seq).values(values))
    for row in rows:
        if row.signature is not None:
            continue
        going = [one["id"] for one in row.plan if one["what"] == "evidence"]
        connection.execute(
            sa.update(evidence).where(evidence.c.id.in_(going), evidence.c.state != "erased").values(state="erasing")
        )


def _linked(rows: Sequence[Any]) -> Iterator[Any]:
    """Records in the order in which they were signed: each names the one before. An older erasure may have been cut
    off, and finished after a newer one."""
    digests = {row.seq: hashlib.sha256(row.manifest).hexdigest() for row in rows}
    known, after = set(digests.values()), {}
    for row in rows:
        previous = _previous(row.manifest)
        after.setdefault(previous if previous in known else None, []).append(row)
    waiting = after.pop(None, [])
    while waiting:
        row = waiting.pop(0)
        yield row
        waiting = after.pop(digests[row.seq], []) + waiting


def _previous(manifest: bytes) -> str | None:
    try:
        return json.loads(manifest).get("previous")
    except (ValueError, AttributeError):  # none that was ever written here: it stays where it is, and is found wrong
        return None


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
