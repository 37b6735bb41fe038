"""The outbox in SQL: which events wait for which target, how often each was tried, and which were given up.

An event's body stays where it is, in `events`; what is kept here is its number. A target's place in the events moves in
one transaction with the numbers that it has to be sent, so a process that is killed anywhere loses none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from actors.store.tables import events, metadata
from hoaban.events import Event

targets = sa.Table(
    "delivery_targets",
    metadata,
    sa.Column("target", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("delivered_s", sa.Float(53)),
    sa.Column("error", sa.Text),
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("target", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_s", sa.Float(53), nullable=False),
    sa.Column("dead", sa.Boolean, nullable=False),
    sa.Column("error", sa.Text),
    sa.Index("deliveries_due", "target", "dead", "next_s"),
)
BATCH = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that is due. attempts: how often it was tried in vain."""

    seq: int
    event: Event
    attempts: int


@dataclass(frozen=True, slots=True)
class TargetState:
    """How a target stands. error: of the newest attempt, None when it succeeded."""

    target: str
    waiting: int
    dead: int
    delivered: int
    delivered_s: float | None
    error: str | None


class Outbox:
    """Raises SQLAlchemyError when the database is away: nothing is lost, call again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, target: str) -> None:
        """Make a target known; a new one begins with the events that come from now on."""
        with self._engine.begin() as connection:
            if connection.execute(sa.select(targets.c.seq).where(targets.c.target == target)).first() is None:
                newest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0))).scalar_one()
                connection.execute(targets.insert().values(target=target, seq=newest, delivered=0))

    def take_in(self, target: str, wants: Callable[[Event], bool]) -> int:
        """Put the stored events after the target's place into its outbox, at most BATCH; how many were looked at."""
        with self._engine.begin() as connection:
            place = sa.select(targets.c.seq).where(targets.c.target == target).with_for_update()
            after = connection.execute(place).scalar_one()
            newer = sa.select(events.c.seq, events.c.body).where(events.c.seq > after).order_by(events.c.seq)
            rows = connection.execute(newer.limit(BATCH)).all()
            if not rows:
                return 0
            wanted = [seq for seq, body in rows if wants(Event.from_cloudevent(body))]
            if wanted:
                fresh = {"target": target, "attempts": 0, "next_s": 0.0, "dead": False}
                connection.execute(deliveries.insert(), [fresh | {"seq": seq} for seq in wanted])
            connection.execute(targets.update().where(targets.c.target == target).values(seq=rows[-1][0]))
            return len(rows)

    def due(self, target: str, now_s: float, limit: int = 100) -> list[Waiting]:
        """The oldest events that may be sent now. An event that was erased meanwhile is not sent any more."""
        mine = (deliveries.c.target == target) & ~deliveries.c.dead & (deliveries.c.next_s <= now_s)
        joined = deliveries.outerjoin(events, events.c.seq == deliveries.c.seq)
        query = sa.select(deliveries.c.seq, deliveries.c.attempts, events.c.body).select_from(joined).where(mine)
        with self._engine.begin() as connection:
            rows = connection.execute(query.order_by(deliveries.c.seq).limit(limit)).all()
            self._forget(connection, target, [row.seq for row in rows if row.body is None])
        return [Waiting(row.seq, Event.from_cloudevent(row.body), row.attempts) for row in rows if row.body is not None]

    def delivered(self, target: str, seqs: Sequence[int], now_s: float) -> None:
        with self._engine.begin() as connection:
            self._forget(connection, target, seqs)
            known = targets.c.delivered + len(seqs)
            change = targets.update().where(targets.c.target == target)
            connection.execute(change.values(delivered=known, delivered_s=now_s, error=None))

    def dropped(self, target: str, seqs: Sequence[int]) -> None:
        """Events that may not leave any more, since their owner's terms changed."""
        with self._engine.begin() as connection:
            self._forget(connection, target, seqs)

    def failed(self, target: str, seq: int, why: str, next_s: float, *, dead: bool) -> None:
        mine = (deliveries.c.target == target) & (deliveries.c.seq == seq)
        with self._engine.begin() as connection:
            tried = {"attempts": deliveries.c.attempts + 1, "next_s": next_s, "dead": dead, "error": why[:500]}
            connection.execute(deliveries.update().where(mine).values(**tried))
            connection.execute(targets.update().where(targets.c.target == target).values(error=why[:500]))

    def revive(self, target: str) -> int:
        """Try what was given up again, from the first attempt on; how many."""
        mine = (deliveries.c.target == target) & deliveries.c.dead
        with self._engine.begin() as connection:
            return connection.execute(deliveries.update().where(mine).values(dead=False, attempts=0, next_s=0)).rowcount

    def states(self) -> list[TargetState]:
        """Every target that was ever known."""
        dead = sa.func.coalesce(sa.func.sum(sa.case((deliveries.c.dead, 1), else_=0)), 0)
        query = (
            sa.select(targets, sa.func.count(deliveries.c.seq), dead)
            .select_from(targets.outerjoin(deliveries, deliveries.c.target == targets.c.target))
            .group_by(*targets.c)
            .order_by(targets.c.target)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [TargetState(r[0], int(r[5]) - int(r[6]), int(r[6]), r[2], r[3], r[4]) for r in rows]

    @staticmethod
    def _forget(connection: sa.Connection, target: str, seqs: Sequence[int]) -> None:
        if seqs:
            mine = (deliveries.c.target == target) & deliveries.c.seq.in_(seqs)
            connection.execute(deliveries.delete().where(mine))
