"""Incidents and work orders made from stored events, and moved on by time: one transaction each, so that what a killed
process had not finished never was.

The cursor over the events lies beside what is made of them and moves in the same transaction: no event is taken twice,
none is passed over.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.cases import SYSTEM, Cases
from actors.store.incident_tables import (
    camera_faults,
    incident_events,
    incident_places,
    incidents,
    keeper_cursors,
    work_order_log,
    work_orders,
)
from actors.store.incidents import CASES, STILL_OPEN, TURN
from actors.store.tables import events
from actors.store.turns import turn
from hoaban.events import EVENT_TYPE_PREFIX
from hoaban.incidents import Happening, IncidentSettings, OpenIncident, Seen, Severity, happening, join
from hoaban.incidents.joining import Place
from hoaban.incidents.settings import KINDS
from hoaban.incidents.states import ORDER, ORDER_OPEN, OrderState, State
from hoaban.incidents.timers import Fault, Waiting, escalates, order_moves, order_opens, quiet

ORDERS = Cases(work_orders, work_order_log)
CURSOR = "incidents"
BATCH = 500
HEALTH = "camera_health"


@dataclass(frozen=True, slots=True)
class Ground:
    """What the fleet file says: the settings; camera -> its district; camera -> where it stands."""

    settings: IncidentSettings
    districts: Mapping[str, str]
    places: Mapping[str, Place]

    @classmethod
    def of_fleet(cls, fleet: Mapping[str, Any]) -> "Ground":
        """From the fleet as the supervisor shows it."""
        cameras = fleet.get("cameras", [])
        return cls(
            IncidentSettings.model_validate(fleet.get("incidents") or {}),
            {camera["id"]: camera["district"] for camera in cameras},
            {
                camera["id"]: (camera["location"]["lat"], camera["location"]["lon"])
                for camera in cameras
                if camera.get("location")
            },
        )


def follow(engine: Engine, ground: Ground, now_s: float, batch: int = BATCH) -> int:
    """Take the next stored events; how many numbers of events that took the cursor on, 0 at the end."""
    wanted = {*KINDS, *ground.settings.kinds}
    kinds = [EVENT_TYPE_PREFIX + kind for kind in (HEALTH, *wanted) if kind == HEALTH or ground.settings.severity(kind)]
    with engine.connect() as connection:  # nobody else waits while there is nothing to take
        at, newest = _range(connection)
    if newest <= at:
        return 0
    with turn(engine, TURN) as connection:
        at, newest = _range(connection)
        if newest <= at:
            return 0
        query = sa.select(events).where(events.c.seq > at, events.c.seq <= newest, events.c.type.in_(kinds))
        rows = connection.execute(query.order_by(events.c.seq).limit(batch)).mappings().all()
        keeping = _Keeping(connection, ground, now_s)
        for row in rows:
            keeping.take(row)
        keeping.tell()
        after = rows[-1]["seq"] if len(rows) == batch else newest
        connection.execute(sa.update(keeper_cursors).where(keeper_cursors.c.name == CURSOR).values(seq=after))
    return after - at


def _range(connection: Connection) -> tuple[int, int]:
    """The number of the last event that was taken, and of the newest that is stored."""
    at = connection.execute(sa.select(keeper_cursors.c.seq).where(keeper_cursors.c.name == CURSOR)).scalar_one()
    newest = connection.execute(sa.select(sa.func.max(events.c.seq))).scalar() or 0
    return int(at), int(newest)


class _Keeping:
    """One batch of events within one transaction."""

    def __init__(self, connection: Connection, ground: Ground, now_s: float) -> None:
        self._connection, self._ground, self._now_s = connection, ground, now_s
        self._joined: dict[int, list[int]] = {}

    @cached_property
    def _open(self) -> dict[int, OpenIncident]:
        return _open_incidents(self._connection, self._ground)

    def take(self, row: Mapping[str, Any]) -> None:
        kind = row["type"].removeprefix(EVENT_TYPE_PREFIX)
        if kind == HEALTH:
            if row["fault"] is not None:
                self._fault(row)
            return
        place = self._ground.places.get(row["camera"])
        new = happening(kind, row["camera"], row["time_s"], row["body"]["data"], place)
        found = join(new, self._open.values(), self._ground.settings)
        if found is None and new.over:
            return  # its beginning made no incident, or a person has closed that one
        number = self._opened(new) if found is None else found.number
        self._add(number, new, row)
        if found is not None:
            self._joined.setdefault(number, []).append(row["seq"])

    def tell(self) -> None:
        """A line for each incident that something was added to."""
        for number, added in self._joined.items():
            state = CASES.row(self._connection, number)["state"]
            detail = {"events": len(added), "newest": added[-1]}
            CASES.tell(self._connection, number, SYSTEM, self._now_s, "joined", state, state, detail=detail)

    def _opened(self, new: Happening) -> int:
        severity = self._ground.settings.severity(new.kind) or Severity.LOW
        row = {
            "kind": new.kind,
            "severity": severity.value,
            "state": State.NEW.value,
            "version": 1,
            "camera": new.camera,
            "district": self._ground.districts.get(new.camera),
            "simulated": new.simulated,
            "first_s": new.time_s,
            "last_s": new.time_s,
            "events": 0,
            "opened_s": self._now_s,
            "waiting_since_s": self._now_s,
        }
        number: int = self._connection.execute(
            sa.insert(incidents).values(row).returning(incidents.c.number)
        ).scalar_one()
        CASES.tell(self._connection, number, SYSTEM, self._now_s, "opened", None, State.NEW.value)
        self._open[number] = OpenIncident(number, new.kind, (), new.simulated)
        return number

    def _add(self, number: int, new: Happening, row: Mapping[str, Any]) -> None:
        incident = self._open[number]
        line = {"seq": row["seq"], "event": row["id"], "incident": number, "camera": new.camera, "time_s": new.time_s}
        self._connection.execute(sa.insert(incident_events).values(line))
        known = next((s for s in incident.seen if (s.camera, s.spot) == (new.camera, new.spot)), None)
        seen = known or Seen(new.camera, new.spot, new.time_s, new.time_s, new.place)
        seen = replace(
            seen,
            first_s=min(seen.first_s, new.time_s),
            last_s=max(seen.last_s, new.time_s),
            lasting=max(0, seen.lasting + new.begins - new.over),
        )
        self._open[number] = replace(incident, seen=(*(s for s in incident.seen if s is not known), seen))
        values = {"first_s": seen.first_s, "last_s": seen.last_s, "lasting": seen.lasting}
        key = {"incident": number, "camera": seen.camera, "spot": seen.spot}
        if known is None:
            self._connection.execute(sa.insert(incident_places).values(key | values))
        else:
            same = [incident_places.c[name] == value for name, value in key.items()]
            self._connection.execute(sa.update(incident_places).where(*same).values(values))
        of_all = self._open[number].seen
        changed = {
            "events": incidents.c.events + 1,
            "first_s": min(s.first_s for s in of_all),
            "last_s": max(s.last_s for s in of_all),
            "proposed_s": None,
        }
        self._connection.execute(sa.update(incidents).where(incidents.c.number == number).values(changed))

    def _fault(self, row: Mapping[str, Any]) -> None:
        key = {"camera": row["camera"], "fault": row["fault"]}
        same = [camera_faults.c[name] == value for name, value in key.items()]
        known = self._connection.execute(sa.select(camera_faults).where(*same)).one_or_none()
        orders = self._ground.settings.work_orders
        began = row["phase"] == "start"
        if known is None and not began:
            return
        fault = Fault(row["time_s"]) if known is None else Fault(known.began_s, known.ended_s)
        if known is not None:
            fault = fault.began(row["time_s"], orders) if began else fault.ended(row["time_s"])
        values: dict[str, Any] = {"began_s": fault.began_s, "ended_s": fault.ended_s}
        if began:
            values["reason"] = str(row["body"]["data"].get("reason") or "")
        if known is None:
            self._connection.execute(sa.insert(camera_faults).values(key | values))
        else:
            self._connection.execute(sa.update(camera_faults).where(*same).values(values))


def _open_incidents(connection: Connection, ground: Ground) -> dict[int, OpenIncident]:
    query = sa.select(incidents.c.number, incidents.c.kind, incidents.c.simulated, incident_places)
    query = query.join(incident_places, incident_places.c.incident == incidents.c.number)
    found: dict[int, OpenIncident] = {}
    for row in connection.execute(query.where(incidents.c.state.in_(STILL_OPEN)).order_by(incidents.c.number)):
        place = ground.places.get(row.camera)
        seen = Seen(row.camera, row.spot, row.first_s, row.last_s, place, row.lasting)
        known = found.get(row.number) or OpenIncident(row.number, row.kind, (), row.simulated)
        found[row.number] = replace(known, seen=(*known.seen, seen))
    return found


def keep_time(engine: Engine, ground: Ground, now_s: float, silent: Collection[str] = ()) -> None:
    """Do what is due by now: escalate, propose to resolve, open work orders and move them on.

    silent: cameras that have reported nothing for long. What lasts there ends, and the log says that nobody saw when.
    """
    with turn(engine, TURN) as connection:
        _end_unseen(connection, ground.settings, silent, now_s)
        _remind(connection, ground.settings, now_s)
        _keep_orders(connection, ground, now_s)


def _end_unseen(connection: Connection, settings: IncidentSettings, silent: Collection[str], now_s: float) -> None:
    lost = incident_places.c.camera.in_(list(silent))
    lost |= incident_places.c.last_s < now_s - settings.lasting_most_min * 60
    query = sa.select(incident_places, incidents.c.state).join(
        incidents, incidents.c.number == incident_places.c.incident
    )
    query = query.where(incident_places.c.lasting > 0, incidents.c.state.in_(STILL_OPEN), lost)
    for row in connection.execute(query).all():
        key = {"incident": row.incident, "camera": row.camera, "spot": row.spot}
        same = [incident_places.c[name] == value for name, value in key.items()]
        connection.execute(sa.update(incident_places).where(*same).values(lasting=0))
        detail = {"camera": row.camera, "spot": row.spot, "last_s": row.last_s, "ended": "time unknown"}
        CASES.tell(connection, row.incident, SYSTEM, now_s, "ended_unseen", row.state, row.state, detail=detail)


def _remind(connection: Connection, settings: IncidentSettings, now_s: float) -> None:
    lasting = sa.select(sa.func.sum(incident_places.c.lasting)).where(incident_places.c.incident == incidents.c.number)
    query = sa.select(incidents, lasting.scalar_subquery().label("lasting")).where(incidents.c.state.in_(STILL_OPEN))
    for row in connection.execute(query).all():
        waiting = Waiting(
            State(row.state),
            Severity(row.severity),
            row.waiting_since_s,
            row.last_s,
            bool(row.lasting),
            row.escalated_s is not None,
            row.proposed_s is not None,
        )
        for due, column, action in (
            (escalates(waiting, settings, now_s), "escalated_s", "escalated"),
            (quiet(waiting, settings, now_s), "proposed_s", "resolve_proposed"),
        ):
            if due:
                same = incidents.c.number == row.number
                connection.execute(sa.update(incidents).where(same).values({column: now_s}))
                CASES.tell(connection, row.number, SYSTEM, now_s, action, row.state, row.state)


def _keep_orders(connection: Connection, ground: Ground, now_s: float) -> None:
    settings = ground.settings.work_orders
    for row in connection.execute(sa.select(camera_faults)).all():
        fault = Fault(row.began_s, row.ended_s)
        same = [work_orders.c.camera == row.camera, work_orders.c.fault == row.fault]
        order = connection.execute(
            sa.select(work_orders).where(*same, work_orders.c.state.in_([state.value for state in ORDER_OPEN]))
        ).one_or_none()
        number, state = (None, None) if order is None else (order.number, OrderState(order.state))
        severity = settings.severity(row.fault)
        if number is None and severity is not None and order_opens(fault, settings, now_s):
            number, state = _open_order(connection, ground, row, severity, now_s), OrderState.OPEN
        if number is not None and state is not None and (action := order_moves(state, fault, settings, now_s)):
            ORDERS.edit(connection, number, ORDER, action, SYSTEM, now_s, ended_s=fault.ended_s)
        if fault.ended_s is not None and now_s - fault.ended_s >= settings.check_after_s:
            settled = [camera_faults.c.camera == row.camera, camera_faults.c.fault == row.fault]
            connection.execute(sa.delete(camera_faults).where(*settled))


def _open_order(connection: Connection, ground: Ground, fault: Any, severity: Severity, now_s: float) -> int:
    settings = ground.settings.work_orders
    district = ground.districts.get(fault.camera)
    row = {
        "camera": fault.camera,
        "fault": fault.fault,
        "district": district,
        "severity": severity.value,
        "state": OrderState.OPEN.value,
        "version": 1,
        "reason": fault.reason,
        "opened_s": now_s,
        "began_s": fault.began_s,
        "due_s": now_s + settings.due_h.after_s(severity),
        "assignee": settings.maintainers.get(district or ""),
    }
    number: int = connection.execute(sa.insert(work_orders).values(row).returning(work_orders.c.number)).scalar_one()
    detail = {"assignee": row["assignee"]} if row["assignee"] else {}
    ORDERS.tell(connection, number, SYSTEM, now_s, "opened", None, OrderState.OPEN.value, detail=detail)
    return number
