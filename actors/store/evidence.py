"""Evidence in SQL: which packages there are, and what officers decided of them. Files lie elsewhere (actors/proof)."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from actors.store.columns import String
from actors.store.tables import Sequence64, metadata
from actors.store.turns import turn
from hoaban.access import Place
from hoaban.evidence.review import Case, RefusedError, State, Verdict, check_decision
from hoaban.plates import normalise
from hoaban.terms import Terms

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("seq", Sequence64, primary_key=True, autoincrement=True),
    sa.Column("id", String(64), nullable=False, unique=True),
    sa.Column("type", String(64), nullable=False),
    sa.Column("camera", String(64), nullable=False),
    sa.Column("role", String(32)),
    sa.Column("captured_s", sa.Float(53), nullable=False),
    sa.Column("plate", String(32)),
    sa.Column("evidential", sa.Boolean, nullable=False),
    sa.Column("doubts", sa.JSON, nullable=False),
    sa.Column("missing", sa.JSON, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Column("seconds_into_red", sa.Float),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("owner_days", sa.Integer),
    sa.Column("manifest_sha256", String(64)),
    sa.Column("key", String(32)),
    sa.Column("sealed_s", sa.Float(53), nullable=False),
    sa.Column("stamped", String(40)),
    sa.Column("redacted", String(64)),
    sa.Column("state", String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("erased_s", sa.Float(53)),
    sa.Column("owner", String(64)),
    sa.Column("district", String(64)),
    sa.Column("viewers", sa.JSON(none_as_null=True)),
    sa.Index("evidence_state", "state", "captured_s"),
    sa.Index("evidence_camera", "camera", "captured_s"),
    sa.Index("evidence_plate", "plate"),
    sqlite_autoincrement=True,
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("seq", Sequence64, primary_key=True, autoincrement=True),
    sa.Column("evidence", String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("verdict", String(16), nullable=False),
    sa.Column("reason", String(32), nullable=False),
    sa.Column("note", String(2000), nullable=False),
    sa.Column("by_id", String(64), nullable=False),
    sa.Column("by_name", String(128), nullable=False),
    sa.Column("at_s", sa.Float(53), nullable=False),
    sa.UniqueConstraint("evidence", "version", name="decisions_one_a_version"),
    sqlite_autoincrement=True,
)


tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("id", String(64), primary_key=True),
    sa.Column("at_s", sa.Float(53), nullable=False),
)
"""events that were erased before their evidence was sealed: it is not sealed any more"""

TURN = "evidence"
"""what is sealed, held and erased takes turns (actors/store/turns.py)"""
MOST_NAMES = 500
"""in one statement"""
DECIDABLE = (State.OPEN, State.CONFIRMED, State.REJECTED)
LAST_S = 7_258_118_400.0  # 2200


class Who(Protocol):
    """Who acts."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A package as the store knows it. captured_s, sealed_s, erased_s: seconds since 1970 UTC.

    owner, viewers, district: of its camera when it was sealed (hoaban/terms.py); None: not known.
    """

    seq: int
    id: str
    type: str
    camera: str
    role: str | None
    captured_s: float
    plate: str | None
    evidential: bool
    doubts: list[str]
    missing: dict[str, str]
    files: dict[str, Any]
    seconds_into_red: float | None
    simulated: bool
    owner_days: int | None
    manifest_sha256: str | None
    key: str | None
    sealed_s: float
    stamped: str | None
    redacted: str | None
    state: State
    version: int
    erased_s: float | None
    owner: str | None
    viewers: list[str] | None
    district: str | None

    @property
    def place(self) -> Place:
        """Where its camera was when it was sealed."""
        return Place(self.camera, self.district, self.owner)

    @property
    def terms(self) -> tuple[Terms, str] | None:
        """The terms and the owner of its camera when it was sealed."""
        viewers = None if self.viewers is None else tuple(self.viewers)
        return None if self.owner is None else (Terms(viewers=viewers), self.owner)

    @property
    def case(self) -> Case:
        return Case(self.state, self.version, self.evidential, self.doubts)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an officer decided. version: of the case after it."""

    version: int
    verdict: str
    reason: str
    note: str
    by_id: str
    by_name: str
    at_s: float


class EvidenceRecords:
    """Cases and their decisions, on the event store's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, manifest: Mapping[str, Any], digest: str) -> bool:
        """A package was sealed with this manifest. One that is known already stays as it is. False: it was erased."""
        event = manifest["event"]
        data = event["data"]
        return self._insert(
            {
                "id": event["id"],
                "type": event["type"],
                "camera": data["camera"],
                "role": data.get("role"),
                "captured_s": manifest["frames"]["at"]["captured_s"],
                "plate": plain_plate((manifest.get("plate") or {}).get("text")),
                "evidential": bool(manifest["evidential"]),
                "doubts": list(manifest["not_evidential_because"]),
                "missing": manifest["missing"],
                "files": manifest["files"],
                "seconds_into_red": manifest["seconds_into_red"],
                "simulated": bool(data.get("simulated")),
                "owner_days": data.get("retention_days"),
                "manifest_sha256": digest,
                "key": manifest["key"],
                "state": State.OPEN,
            }
        )

    def add_damaged(self, id: str, candidate: Mapping[str, Any], why: str) -> bool:
        """A candidate was refused: it is not what was recorded. candidate: what can still be read of it.

        False: it was erased.
        """
        event = candidate.get("event") or {}
        data = event.get("data") or {}
        frames = candidate.get("frames") or {}
        return self._insert(
            {
                "id": id,
                "type": str(event.get("type") or "unknown")[:64],
                "camera": str(data.get("camera") or "unknown")[:64],
                "role": role[:32] if isinstance(role := data.get("role"), str) else None,
                # What has no time of its own must not be kept for ever.
                "captured_s": _plausible_s((frames.get("at") or {}).get("captured_s")),
                "evidential": False,
                "doubts": [why],
                "missing": {},
                "files": {},
                "simulated": bool(data.get("simulated")),
                "owner_days": days if isinstance(days := data.get("retention_days"), int) else None,
                "state": State.DAMAGED,
            }
        )

    def _insert(self, row: dict[str, Any]) -> bool:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        with turn(self._engine, TURN) as connection:
            if connection.execute(_gone([row["id"]])).first() is not None:
                return False
            statement = dialect.insert(evidence).on_conflict_do_nothing(index_elements=["id"])
            connection.execute(statement, row | {"version": 0, "sealed_s": time.time()})
        return True

    def gone(self, ids: Sequence[str]) -> set[str]:
        """Those of these packages that were erased, before they were sealed or after."""
        with self._engine.connect() as connection:
            return {
                id
                for at in range(0, len(ids), MOST_NAMES)
                for id in connection.execute(_gone(ids[at : at + MOST_NAMES])).scalars()
            }

    def without_owner(self, after: int = 0) -> tuple[set[str], int]:
        """Cameras with cases whose owner or district is not kept, of those sealed after a number; the newest number."""
        with self._engine.connect() as connection:
            newest = connection.execute(sa.select(sa.func.max(evidence.c.seq))).scalar() or 0
            if newest <= after:
                return set(), after
            added = (evidence.c.seq > after) & (evidence.c.seq <= newest)
            unknown = evidence.c.owner.is_(None) | evidence.c.district.is_(None)
            missing = added & unknown & evidence.c.erased_s.is_(None)
            return set(connection.execute(sa.select(evidence.c.camera).where(missing).distinct()).scalars()), newest

    def unowned(self, camera: str) -> int:
        """How many cases of a camera have no owner, those of which nothing is kept left out."""
        mine = (evidence.c.camera == camera) & evidence.c.owner.is_(None) & evidence.c.erased_s.is_(None)
        with self._engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(evidence).where(mine)
            return int(connection.execute(query).scalar_one())

    def keep_owner(self, camera: str, owner: str, viewers: Sequence[str] | None, district: str | None = None) -> int:
        """Keep where a camera's cases are from, whose they are, and who may see their pictures, for when the camera
        leaves the fleet.

        How many had no owner yet. What is kept already stays.
        """
        kept = {"owner": owner, "viewers": None if viewers is None else list(viewers)}
        mine = evidence.c.camera == camera
        # Many rows at once: an erasure locks them one by one, in another order.
        with turn(self._engine, TURN) as connection:
            found = connection.execute(
                sa.update(evidence).where(mine & evidence.c.owner.is_(None)).values(kept)
            ).rowcount
            if district is not None:
                unknown = mine & evidence.c.district.is_(None)
                connection.execute(sa.update(evidence).where(unknown).values(district=district))
        return found

    def places_but(self, cameras: Iterable[str]) -> list[Place]:
        """Where cases of other cameras than these are from: of those that have left the fleet."""
        where = (evidence.c.camera, evidence.c.district, evidence.c.owner)
        query = sa.select(*where).where(evidence.c.camera.not_in(list(cameras))).distinct()
        with self._engine.connect() as connection:
            return [Place(*row) for row in connection.execute(query)]

    def known(self) -> set[str]:
        """Ids of all packages that ever were."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(evidence.c.id)).scalars())

    def get(self, id: str) -> CaseRow:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(evidence).where(evidence.c.id == id)).one_or_none()
        if row is None:
            raise KeyError(id)
        return _case(row)

    def page(
        self,
        *,
        state: State | None = None,
        type: str | None = None,
        cameras: Iterable[str] | None = None,
        left: Iterable[Place] = (),
        plate: str | None = None,
        evidential: bool | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
        cursor: int | None = None,
        limit: int = 50,
    ) -> tuple[list[CaseRow], int | None]:
        """Cases, the newest sealed first, and the cursor of the next page.

        cameras: of these alone; None for all. left: and those that are kept as from just there.
        """
        query = sa.select(evidence).order_by(evidence.c.seq.desc()).limit(limit + 1)
        wanted: list[sa.ColumnElement[bool]] = []
        if state is not None:
            wanted.append(evidence.c.state == state)
        if type is not None:
            wanted.append(evidence.c.type == type)
        if cameras is not None:
            wanted.append(sa.or_(evidence.c.camera.in_(list(cameras)), *(_from(place) for place in left)))
        if plate is not None:
            wanted.append(evidence.c.plate == plain_plate(plate))
        if evidential is not None:
            wanted.append(evidence.c.evidential == evidential)
        if since_s is not None:
            wanted.append(evidence.c.captured_s >= since_s)
        if until_s is not None:
            wanted.append(evidence.c.captured_s < until_s)
        if cursor is not None:
            wanted.append(evidence.c.seq < cursor)
        with self._engine.connect() as connection:
            rows = [_case(row) for row in connection.execute(query.where(*wanted))]
        return rows[:limit], rows[limit - 1].seq if len(rows) > limit else None

    def kept_of(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids that are cases and not erased."""
        query = sa.select(evidence.c.id).where(evidence.c.id.in_(list(ids)), evidence.c.erased_s.is_(None))
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def by_plate(self, plate: str) -> list[CaseRow]:
        """Cases that may be of a plate, newest first: characters that were not read (?) fit any."""
        query = sa.select(evidence).where(may_be(evidence.c.plate, plain_plate(plate) or ""))
        with self._engine.connect() as connection:
            return [_case(row) for row in connection.execute(query.order_by(evidence.c.seq.desc()))]

    def waiting(self, what: str) -> list[str]:
        """Sealed packages that have no stamp ("stamped") or no redacted pictures ("redacted") yet, oldest first."""
        missing = evidence.c[what].is_(None) & evidence.c.manifest_sha256.is_not(None) & _stays()
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(evidence.c.id).where(missing).order_by(evidence.c.seq)).scalars())

    def mark(self, id: str, *, stamped: str | None = None, redacted: str | None = None) -> bool:
        """Note what was added to a package; False when its erasure began meanwhile."""
        values = {name: v for name, v in (("stamped", stamped), ("redacted", redacted)) if v is not None}
        with self._engine.begin() as connection:
            there = (evidence.c.id == id) & _stays()
            return connection.execute(sa.update(evidence).where(there).values(values)).rowcount > 0

    def decide(self, id: str, verdict: Verdict, reason: str, note: str, seen_version: int, by: Who) -> CaseRow:
        """Add a decision. Raises KeyError, RefusedError; of two at the same moment one is refused, neither is lost."""
        check_decision(self.get(id).case, verdict, reason, note, seen_version)
        row = {"evidence": id, "version": seen_version + 1, "verdict": verdict, "reason": reason, "note": note.strip()}
        row |= {"by_id": by.id, "by_name": by.name, "at_s": time.time()}
        with self._engine.begin() as connection:
            # Compared and set in one statement: it decides which of two officers was first.
            there = (evidence.c.id == id) & (evidence.c.version == seen_version) & evidence.c.state.in_(DECIDABLE)
            change = sa.update(evidence).where(there).values(state=State(verdict), version=seen_version + 1)
            if connection.execute(change).rowcount == 0:
                raise RefusedError("another decision or its erasure came at the same moment; look again", conflict=True)
            connection.execute(sa.insert(decisions).values(row))
        return self.get(id)

    def decisions(self, id: str) -> list[Decision]:
        """All that was decided of a case, oldest first."""
        query = sa.select(decisions).where(decisions.c.evidence == id).order_by(decisions.c.version)
        with self._engine.connect() as connection:
            return [
                Decision(r.version, r.verdict, r.reason, r.note, r.by_id, r.by_name, r.at_s)
                for r in connection.execute(query)
            ]

    def erased(self) -> list[CaseRow]:
        with self._engine.connect() as connection:
            query = sa.select(evidence).where(evidence.c.state == State.ERASED)
            return [_case(row) for row in connection.execute(query)]

    def kept(self) -> Sequence[CaseRow]:
        """All cases that are not erased, nor being erased."""
        with self._engine.connect() as connection:
            return [_case(row) for row in connection.execute(sa.select(evidence).where(_stays()))]


def _stays() -> sa.ColumnElement[bool]:
    return evidence.c.state.not_in([State.ERASING, State.ERASED])


def _gone(ids: Sequence[str]) -> sa.CompoundSelect[str]:
    erased = sa.select(evidence.c.id).where(evidence.c.id.in_(list(ids)), evidence.c.state == State.ERASED)
    return erased.union(sa.select(tombstones.c.id).where(tombstones.c.id.in_(list(ids))))


def plain_plate(text: str | None) -> str | None:
    """A plate as it is searched: letters and digits alone. Unknown characters stay as ?."""
    return None if text is None else normalise(text)[:32]


def may_be(column: sa.ColumnElement[Any], wanted: str) -> sa.ColumnElement[bool]:
    """Rows whose plate is this one, or may be: what was not read (?) fits any character."""
    unread = column.contains("?", autoescape=True) & sa.literal(wanted).like(sa.func.replace(column, "?", "_"))
    return column.is_not(None) & ((column == wanted) | unread)


def _case(row: sa.Row[Any]) -> CaseRow:
    fields = dict(row._mapping)
    return CaseRow(**fields | {"state": State(fields["state"])})


def _plausible_s(captured_s: object) -> float:
    """A damaged candidate's time, or now where it tells none that can be."""
    known = isinstance(captured_s, int | float) and 0 < captured_s < LAST_S
    return float(captured_s) if known else time.time()  # type: ignore[arg-type]


def _from(place: Place) -> sa.ColumnElement[bool]:
    known = {"camera": place.camera, "district": place.district, "owner": place.owner}
    return sa.and_(*(evidence.c[name].is_not_distinct_from(value) for name, value in known.items()))
