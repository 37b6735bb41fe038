"""Work orders for the maintenance of cameras, as people read and handle them; incident_keeping opens and moves them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from actors.store.cases import LogLine
from actors.store.incident_keeping import ORDERS
from actors.store.incident_tables import work_orders
from actors.store.incidents import TURN
from actors.store.turns import turn
from hoaban.access import Person
from hoaban.incidents.states import ORDER, OrderAction, OrderState


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """began_s, ended_s: of the fault. opened_s: of the order."""

    number: int
    camera: str
    fault: str
    district: str | None
    severity: str
    state: str
    version: int
    reason: str
    opened_s: float
    began_s: float
    ended_s: float | None
    due_s: float
    assignee: str | None


@dataclass(frozen=True, slots=True)
class RepairTime:
    """mean_s: from the beginning of a fault to its end, on average over the orders whose fault is over."""

    district: str | None
    orders: int
    mean_s: float


class WorkOrderStore:
    """`cameras`, wherever it is asked for: orders of these only; None: all."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        *,
        cameras: Collection[str] | None = None,
        states: Sequence[OrderState] = (),
        camera: str | None = None,
        district: str | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> tuple[list[WorkOrder], int | None]:
        """Orders, the newest first, and the cursor of the next page."""
        query = ORDERS.select().order_by(work_orders.c.number.desc()).limit(limit + 1)
        if cameras is not None:
            query = query.where(work_orders.c.camera.in_(cameras))
        if states:
            query = query.where(work_orders.c.state.in_([state.value for state in states]))
        for column, value in ((work_orders.c.camera, camera), (work_orders.c.district, district)):
            if value is not None:
                query = query.where(column == value)
        if cursor is not None:
            query = query.where(work_orders.c.number < cursor)
        with self._engine.connect() as connection:
            found = [WorkOrder(**row) for row in connection.execute(query).mappings()]
        return found[:limit], found[limit - 1].number if len(found) > limit else None

    def get(self, number: int) -> WorkOrder:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            return WorkOrder(**ORDERS.row(connection, number))

    def log(self, number: int) -> list[LogLine]:
        with self._engine.connect() as connection:
            return ORDERS.lines(connection, number)

    def act(
        self,
        number: int,
        action: OrderAction,
        version: int | None,
        by: Person,
        now_s: float,
        *,
        note: str | None = None,
        assignee: Person | None = None,
    ) -> WorkOrder:
        """Do what a person does. Raises KeyError, StaleError, NotAllowedError."""
        changed, detail = {}, {}
        if action is OrderAction.ASSIGN and assignee is not None:
            changed, detail = {"assignee": assignee.id}, {"assignee": assignee.name}  # the log: as they are called now
        with turn(self._engine, TURN) as connection:
            ORDERS.edit(
                connection, number, ORDER, action, by, now_s, version=version, note=note, detail=detail, **changed
            )
            return WorkOrder(**ORDERS.row(connection, number))

    def repair_times(self, since_s: float | None = None, cameras: Collection[str] | None = None) -> list[RepairTime]:
        """Of each district, over the orders whose fault ended since then; a cancelled order does not count."""
        mean = sa.func.avg(work_orders.c.ended_s - work_orders.c.began_s)
        counted = [OrderState.TO_CHECK.value, OrderState.DONE.value]
        query = sa.select(work_orders.c.district, sa.func.count(), mean).where(
            work_orders.c.ended_s.is_not(None), work_orders.c.state.in_(counted)
        )
        if since_s is not None:
            query = query.where(work_orders.c.ended_s >= since_s)
        if cameras is not None:
            query = query.where(work_orders.c.camera.in_(cameras))
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(work_orders.c.district).order_by(work_orders.c.district)).all()
        return [RepairTime(district, count, float(mean_s)) for district, count, mean_s in rows]
