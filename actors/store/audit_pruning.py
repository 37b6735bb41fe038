"""Taking the oldest records out of the audit chain, so that what is left can still be verified over the cut."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.store.tables import audit
from hoaban.audit import PRUNED, AuditRecord


def prune(connection: Connection, before_s: float, most: int, now_s: float, by: str, why: str) -> dict[str, Any] | None:
    """Take out at most `most` records from the chain's beginning, written before a time, and add the one that tells of
    it, in the transaction of the caller. What a record of the erasure tells; None where nothing is over.

    The newest record always stays.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    newest = connection.execute(sa.select(audit).order_by(audit.c.seq.desc()).limit(1)).one_or_none()
    if newest is None:
        return None
    # The beginning up to the first that is not over: a gap in the middle could not be told from one that somebody made.
    stays = sa.select(sa.func.min(audit.c.seq)).where(audit.c.at_s >= before_s)
    first = connection.execute(stays).scalar() or newest.seq
    over = sa.select(audit.c.seq, audit.c.digest, audit.c.at_s).where(audit.c.seq < min(first, newest.seq))
    rows = connection.execute(over.order_by(audit.c.seq).limit(most)).all()
    if not rows:
        return None
    cut = {"through": rows[-1].seq, "digest": rows[-1].digest, "count": len(rows)}
    record = AuditRecord(
        seq=newest.seq + 1,
        at_s=max(round(now_s, 3), newest.at_s),
        who_id="",
        who_name=by,
        action=PRUNED,
        subject=f"records up to {rows[-1].seq}",
        camera=None,
        reason=why,
        outcome="done",
        detail=cut,
    ).sealed(newest.digest)
    connection.execute(sa.insert(audit).values({column.name: getattr(record, column.name) for column in audit.c}))
    connection.execute(sa.delete(audit).where(audit.c.seq <= rows[-1].seq))
    return {"what": "audit", "first_s": rows[0].at_s, "last_s": rows[-1].at_s, **cut}
