"""Citizens' reports in SQL. What tells who the citizen is, and the photo with its faces, lie there sealed."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.cases import SYSTEM, Cases, LogLine
from actors.store.incident_tables import incidents, report_log, reports
from actors.store.incidents import CASES as INCIDENTS
from actors.store.incidents import TURN
from actors.store.turns import turn
from actors.watchlist.key import WatchlistKey
from hoaban.access import Person
from hoaban.incidents.reports import CODE_LETTERS, LETTERS, TRACKING_LETTERS, bare
from hoaban.incidents.states import REPORT, ReportAction, ReportState
from hoaban.plates import normalise

CASES = Cases(reports, report_log)


@dataclass(frozen=True, slots=True)
class NewReport:
    """What is filed. contact: how the citizen can be reached, {} for who does not say. photo: (hidden, clear) JPEG."""

    text: str
    happened_s: float
    channel: str
    contact: Mapping[str, str]
    lat: float | None = None
    lon: float | None = None
    landmark: str | None = None
    district: str | None = None
    camera: str | None = None
    photo: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report without what tells who the citizen is. camera: the nearest within reach, if any."""

    number: int
    tracking: str
    channel: str
    state: str
    version: int
    received_s: float
    happened_s: float
    text: str
    lat: float | None
    lon: float | None
    landmark: str | None
    district: str | None
    camera: str | None
    answer: str | None
    incident: int | None
    closed_s: float | None
    has_contact: bool
    has_photo: bool


class ReportStore:
    """key: asked for when something is sealed or opened."""

    def __init__(self, engine: Engine, key: Callable[[], WatchlistKey]) -> None:
        self._engine, self._key = engine, key

    def file(self, new: NewReport, by: Person, now_s: float) -> tuple[Report, str]:
        """Keep a report; it, and the code by which its citizen sees what becomes of it. Raises KeyMissingError."""
        tracking, code = _letters(TRACKING_LETTERS), _letters(CODE_LETTERS)
        row: dict[str, Any] = {
            "tracking": tracking,
            "code": _digest(code),
            "channel": new.channel,
            "state": ReportState.RECEIVED.value,
            "version": 1,
            "received_s": now_s,
            "happened_s": new.happened_s,
            "text": new.text,
            "lat": new.lat,
            "lon": new.lon,
            "landmark": new.landmark,
            "district": new.district,
            "camera": new.camera,
        }
        if new.contact:
            row["contact"] = self._key().seal(json.dumps(dict(new.contact)).encode(), _purpose("contact", tracking))
        if new.photo is not None:
            hidden, clear = new.photo
            row |= {"photo": hidden, "photo_clear": self._key().seal(clear, _purpose("photo", tracking))}
        with turn(self._engine, TURN) as connection:
            number = connection.execute(sa.insert(reports).values(row).returning(reports.c.number)).scalar_one()
            CASES.tell(connection, number, by, now_s, "filed", None, ReportState.RECEIVED.value)
            return _report(connection.execute(_SHOWN.where(reports.c.number == number)).mappings().one()), code

    def page(
        self,
        *,
        states: Sequence[ReportState] = (),
        incident: int | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> tuple[list[Report], int | None]:
        """Reports, the newest first, and the cursor of the next page."""
        query = _SHOWN.order_by(reports.c.number.desc()).limit(limit + 1)
        if states:
            query = query.where(reports.c.state.in_([state.value for state in states]))
        if incident is not None:
            query = query.where(reports.c.incident == incident)
        if cursor is not None:
            query = query.where(reports.c.number < cursor)
        with self._engine.connect() as connection:
            found = [_report(row) for row in connection.execute(query).mappings()]
        return found[:limit], found[limit - 1].number if len(found) > limit else None

    def about(
        self, plate: str | None, cameras: Sequence[str], since_s: float | None, until_s: float | None, limit: int
    ) -> list[Report]:
        """Reports whose words hold a plate, or without one that happened near these cameras, in [since_s, until_s)."""
        query = _SHOWN.order_by(reports.c.number.desc())
        if since_s is not None:
            query = query.where(reports.c.happened_s >= since_s)
        if until_s is not None:
            query = query.where(reports.c.happened_s < until_s)
        if cameras:
            query = query.where(reports.c.camera.in_(cameras))
        wanted = None if plate is None else normalise(plate)
        with self._engine.connect() as connection:
            found = (_report(row) for row in connection.execute(query).mappings())
            return list(islice((r for r in found if wanted is None or wanted in normalise(r.text)), limit))

    def get(self, number: int) -> Report:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(_SHOWN.where(reports.c.number == number)).mappings().one_or_none()
        if row is None:
            raise KeyError(number)
        return _report(row)

    def log(self, number: int) -> list[LogLine]:
        with self._engine.connect() as connection:
            return CASES.lines(connection, number)

    def of_citizen(self, tracking: str, code: str) -> Report | None:
        """The report of who knows both words; None for anyone else. As they type them, signs between do not matter."""
        query = sa.select(reports.c.number, reports.c.code).where(reports.c.tracking == bare(tracking))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        expected = row.code if row else ""
        return self.get(row.number) if hmac.compare_digest(_digest(bare(code)), expected) and row else None

    def contact(self, number: int) -> dict[str, str]:
        """How the citizen can be reached, {} when they did not say. Raises KeyError, KeyMissingError."""
        tracking, sealed = self._column(number, reports.c.contact)
        return {} if sealed is None else json.loads(self._key().open(sealed, _purpose("contact", tracking)))

    def photo(self, number: int) -> bytes | None:
        """JPEG, faces hidden. Raises KeyError."""
        return self._column(number, reports.c.photo)[1]

    def clear_photo(self, number: int) -> bytes | None:
        """JPEG, faces not hidden. Raises KeyError, KeyMissingError."""
        tracking, sealed = self._column(number, reports.c.photo_clear)
        return None if sealed is None else self._key().open(sealed, _purpose("photo", tracking))

    def act(
        self,
        number: int,
        action: ReportAction,
        version: int | None,
        by: Person,
        now_s: float,
        *,
        note: str | None = None,
        answer: str | None = None,
        incident: int | None = None,
    ) -> Report:
        """Do what a handler does. incident: for LINK, None unlinks. Raises KeyError, StaleError, NotAllowedError.

        KeyError also where there is no such incident.
        """
        changed: dict[str, Any] = {}
        if action is ReportAction.ANSWER:
            changed["answer"] = answer
        if action is ReportAction.LINK:
            changed["incident"] = incident
        detail = dict(changed)
        if action in (ReportAction.CLOSE, ReportAction.REOPEN):
            changed["closed_s"] = now_s if action is ReportAction.CLOSE else None
        with turn(self._engine, TURN) as connection:
            if action is ReportAction.LINK and incident is not None:
                state = INCIDENTS.row(connection, incident)["state"]
                told = {"report": number}
                INCIDENTS.tell(connection, incident, by, now_s, "report_linked", state, state, detail=told)
            CASES.edit(
                connection, number, REPORT, action, by, now_s, version=version, note=note, detail=detail, **changed
            )
            return _report(connection.execute(_SHOWN.where(reports.c.number == number)).mappings().one())

    def _column(self, number: int, column: sa.Column[Any]) -> tuple[str, Any]:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(reports.c.tracking, column).where(reports.c.number == number))
            found = row.one_or_none()
        if found is None:
            raise KeyError(number)
        return found[0], found[1]


def take_over(connection: Connection, which: sa.ColumnElement[bool], most: int, now_s: float) -> list[dict[str, Any]]:
    """Delete closed reports: what they were for is done. What a record of it tells of each.

    which: of them. To be called in the turn of incidents (TURN): the logs of their incidents say so.
    """
    over = reports.c.closed_s.is_not(None) & which
    rows = connection.execute(sa.select(reports).where(over).order_by(reports.c.number).limit(most)).mappings().all()
    if not rows:
        return []
    numbers = [row["number"] for row in rows]
    linked = sa.select(incidents.c.number, incidents.c.state).join(reports, reports.c.incident == incidents.c.number)
    for row in connection.execute(linked.where(reports.c.number.in_(numbers))).all():
        INCIDENTS.tell(connection, row.number, SYSTEM, now_s, "report_erased", row.state, row.state)
    connection.execute(sa.delete(reports).where(reports.c.number.in_(numbers)))
    # Its tracking word is the citizen's: who has it can show that the report was erased, and nobody else whose it was.
    return [
        {
            "what": "report",
            "number": row["number"],
            "tracking_sha256": hashlib.sha256(row["tracking"].encode()).hexdigest(),
            "received_s": row["received_s"],
            "closed_s": row["closed_s"],
            "photo": row["photo"] is not None,
        }
        for row in rows
    ]


def delete_report(connection: Connection, number: int, tracking_sha256: str) -> None:
    """Delete a report that a record says was erased, if it is that one. To be called in the turn of incidents."""
    there = sa.select(reports.c.tracking).where(reports.c.number == number)
    tracking = connection.execute(there).scalar()
    if tracking is not None and hashlib.sha256(tracking.encode()).hexdigest() == tracking_sha256:
        connection.execute(sa.delete(reports).where(reports.c.number == number))


_PLAIN = [column for column in reports.c if column.name not in ("code", "contact", "photo", "photo_clear")]
_SHOWN = sa.select(
    *_PLAIN, reports.c.contact.is_not(None).label("has_contact"), reports.c.photo.is_not(None).label("has_photo")
)


def _report(row: Mapping[str, Any]) -> Report:
    return Report(**row)


def _letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def _digest(code: str) -> str:
    """Sixty random bits behind a limit of tries: a plain digest is as good as a slow one."""
    return hashlib.sha256(code.encode()).hexdigest()


def _purpose(what: str, tracking: str) -> str:
    """Bound into the ciphertext: what is moved to another report does not open."""
    return f"hoaban report {what} {tracking}"
