"""Incidents in SQL, as people read and handle them; actors/store/incident_keeping.py makes them from events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.cases import Cases, LogLine
from actors.store.incident_tables import handovers, incident_events, incident_log, incident_places, incidents
from actors.store.store import StoredEvent
from actors.store.tables import events
from actors.store.turns import turn
from hoaban.access import Person
from hoaban.events import Event
from hoaban.incidents.settings import Severity
from hoaban.incidents.states import INCIDENT, OPEN, Action, Dismissal, State

CASES = Cases(incidents, incident_log)
TURN = "cases"
STILL_OPEN = [state.value for state in OPEN]
MOST_EVENTS = 200


@dataclass(frozen=True, slots=True)
class IncidentPlace:
    """Where an incident was seen. lasting: how much began there and is not over."""

    camera: str
    spot: str
    first_s: float
    last_s: float
    lasting: int


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as it stands. version: of what people decided; to be given with the next change."""

    number: int
    kind: str
    severity: str
    state: str
    version: int
    camera: str
    district: str | None
    simulated: bool
    first_s: float
    last_s: float
    events: int
    opened_s: float
    waiting_since_s: float
    escalated_s: float | None
    proposed_s: float | None
    assignee: str | None
    dismissal: str | None
    places: tuple[IncidentPlace, ...] = field(default=())

    @property
    def cameras(self) -> list[str]:
        return list(dict.fromkeys([self.camera, *(place.camera for place in self.places)]))


@dataclass(frozen=True, slots=True)
class Handover:
    """Who handed which open incidents to whom, and when the other took them."""

    number: int
    at_s: float
    from_id: str
    from_name: str
    to_id: str | None
    to_name: str
    note: str
    incidents: list[dict[str, Any]]
    accepted_s: float | None
    accepted_id: str | None
    accepted_name: str | None


class HandoverError(Exception):
    """It cannot be accepted; the message says why."""


class IncidentStore:
    """`cameras`, wherever it is asked for: incidents seen by one of these; None: all."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        *,
        cameras: Collection[str] | None = None,
        states: Sequence[State] = (),
        severity: str | None = None,
        camera: str | None = None,
        district: str | None = None,
        since_s: float | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> tuple[list[Incident], int | None]:
        """Incidents, the newest first, and the cursor of the next page. since_s: their newest event is not older."""
        query = CASES.select().order_by(incidents.c.number.desc()).limit(limit + 1)
        for wanted in (cameras, None if camera is None else [camera]):
            if wanted is not None:
                query = query.where(_seen_by(wanted))
        if states:
            query = query.where(incidents.c.state.in_([state.value for state in states]))
        for column, value in ((incidents.c.severity, severity), (incidents.c.district, district)):
            if value is not None:
                query = query.where(column == value)
        if since_s is not None:
            query = query.where(incidents.c.last_s >= since_s)
        if cursor is not None:
            query = query.where(incidents.c.number < cursor)
        with self._engine.connect() as connection:
            found = _with_places(connection, connection.execute(query).mappings().all())
        return found[:limit], found[limit - 1].number if len(found) > limit else None

    def get(self, number: int) -> Incident:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            return _with_places(connection, [CASES.row(connection, number)])[0]

    def log(self, number: int) -> list[LogLine]:
        with self._engine.connect() as connection:
            return CASES.lines(connection, number)

    def events(self, number: int, cameras: Collection[str] | None = None) -> list[StoredEvent]:
        """The newest of its events that are still stored, the newest first."""
        query = sa.select(events.c.seq, events.c.body).join(incident_events, incident_events.c.seq == events.c.seq)
        query = query.where(incident_events.c.incident == number)
        if cameras is not None:
            query = query.where(incident_events.c.camera.in_(cameras))
        query = query.order_by(events.c.seq.desc()).limit(MOST_EVENTS)
        with self._engine.connect() as connection:
            return [StoredEvent(seq, Event.from_cloudevent(body)) for seq, body in connection.execute(query)]

    def tail(self, after_seq: int, limit: int, cameras: Collection[str] | None = None) -> list[LogLine]:
        """Lines of all logs after a number, in order."""
        query = sa.select(incident_log).where(incident_log.c.seq > after_seq)
        if cameras is not None:
            of_these = sa.select(incident_places.c.incident).where(incident_places.c.camera.in_(cameras))
            query = query.where(incident_log.c.about.in_(of_these))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(incident_log.c.seq).limit(limit)).mappings()
            return [LogLine(**row) for row in rows]

    def last_line(self) -> int:
        """The number of the newest line of all logs, 0 without any."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.max(incident_log.c.seq))).scalar() or 0)

    def act(
        self,
        number: int,
        action: Action,
        version: int | None,
        by: Person,
        now_s: float,
        *,
        note: str | None = None,
        assignee: Person | None = None,
        dismissal: Dismissal | None = None,
        severity: Severity | None = None,
    ) -> Incident:
        """Do what a person does. Raises KeyError, StaleError, NotAllowedError."""
        changed: dict[str, Any] = {}
        if action is Action.ASSIGN and assignee is not None:
            changed["assignee"] = assignee.id
        if action is Action.DISMISS:
            changed["dismissal"] = None if dismissal is None else dismissal.value
        if action is Action.REOPEN:
            changed |= {"waiting_since_s": now_s, "escalated_s": None, "proposed_s": None, "dismissal": None}
        if action is Action.GRADE and severity is not None:
            changed["severity"] = severity.value
        detail = {key: changed[key] for key in ("dismissal", "severity") if changed.get(key) is not None}
        if "assignee" in changed and assignee is not None:
            detail["assignee"] = assignee.name  # the log: as they are called now
        with turn(self._engine, TURN) as connection:
            CASES.edit(
                connection, number, INCIDENT, action, by, now_s, version=version, note=note, detail=detail, **changed
            )
            if action is Action.REOPEN:  # how what lasted went on while it was closed, nobody has followed
                of_it = incident_places.c.incident == number
                connection.execute(sa.update(incident_places).where(of_it).values(lasting=0))
            return _with_places(connection, [CASES.row(connection, number)])[0]

    def hand_over(
        self, by: Person, to: Person, note: str, now_s: float, cameras: Collection[str] | None = None
    ) -> Handover:
        """Sign off: a note with all open incidents as they stand at this moment."""
        query = CASES.select().where(incidents.c.state.in_(STILL_OPEN)).order_by(incidents.c.number)
        if cameras is not None:
            query = query.where(_seen_by(cameras))
        shown = ("number", "kind", "severity", "state", "camera", "district", "assignee", "last_s", "escalated_s")
        with turn(self._engine, TURN) as connection:
            listed = [{key: row[key] for key in shown} for row in connection.execute(query).mappings()]
            row = {"at_s": now_s, "from_id": by.id, "from_name": by.name}
            row |= {"to_id": to.id, "to_name": to.name, "note": note}
            statement = sa.insert(handovers).values(row | {"incidents": listed}).returning(handovers)
            return Handover(**connection.execute(statement).mappings().one())

    def accept(self, number: int, by: Person, now_s: float) -> Handover:
        """The other one signs too. Raises KeyError, or HandoverError for anyone else, or a second time."""
        with turn(self._engine, TURN) as connection:
            row = connection.execute(sa.select(handovers).where(handovers.c.number == number)).mappings().one_or_none()
            if row is None:
                raise KeyError(number)
            if row["accepted_s"] is not None:
                raise HandoverError(f"{row['accepted_name']} has accepted it already")
            named = row["to_name"] in (by.name, by.id) if row["to_id"] is None else row["to_id"] == by.id
            if by.id == row["from_id"] or not named:
                raise HandoverError(f"it was handed to {row['to_name']}, who alone can accept it")
            accepted = {"accepted_s": now_s, "accepted_id": by.id, "accepted_name": by.name}
            statement = sa.update(handovers).where(handovers.c.number == number).values(accepted).returning(handovers)
            return Handover(**connection.execute(statement).mappings().one())

    def handovers(self, limit: int = 50, cursor: int | None = None) -> list[Handover]:
        """The newest first; numbers below `cursor` only."""
        query = sa.select(handovers).order_by(handovers.c.number.desc()).limit(limit)
        if cursor is not None:
            query = query.where(handovers.c.number < cursor)
        with self._engine.connect() as connection:
            return [Handover(**row) for row in connection.execute(query).mappings()]


def _seen_by(cameras: Collection[str]) -> sa.ColumnElement[bool]:
    return incidents.c.number.in_(sa.select(incident_places.c.incident).where(incident_places.c.camera.in_(cameras)))


def _with_places(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Incident]:
    """The incidents of some rows, each with where it was seen, the first place first."""
    places: dict[int, list[IncidentPlace]] = {row["number"]: [] for row in rows}
    query = sa.select(incident_places).where(incident_places.c.incident.in_(places))
    for row in connection.execute(query.order_by(incident_places.c.first_s)).mappings() if rows else ():
        values = dict(row)
        places[values.pop("incident")].append(IncidentPlace(**values))
    return [Incident(**row, places=tuple(places[row["number"]])) for row in rows]
