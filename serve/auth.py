"""Who asks, and whether they may. Bearer tokens; for pictures and streams in a browser, signed tickets.

Every route says what it needs by one of `may`, `may_at`, `may_look`, `signed_in` and `anyone`; `refuse_undeclared` ends
the start of an application that has a route without.
"""

import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from itsdangerous import BadSignature, URLSafeTimedSerializer

from actors.store import Holder, PeopleStore
from actors.store.grants import Claims, digest_of
from actors.store.people import Account, PeopleError
from hoaban.access import Permission, Person, Place, decide, reaches
from hoaban.access.misuse import LOOK
from hoaban.access.settings import AccessSettings, OidcSettings
from hoaban.terms import Terms
from serve.auditing import NOBODY, Looks, Refusals
from serve.limits import Limiter
from serve.oidc import Provider
from serve.places import Places

TICKET_LIVES_S = 3600
KEEP_S = 1.0
T = TypeVar("T")
bearer = HTTPBearer(auto_error=False, description="an API token, or the access token of a session")


class Tickets:
    """Signed, expiring permits for one camera's picture ("*": the event stream), since <img> sends no headers.

    A ticket names the credential it was made with, and is worth as much as that is now: it ends with it.
    """

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="hoaban.ticket")

    def issue(self, subject: str, holder: Holder) -> str:
        return self._serializer.dumps([subject, holder.credential])

    def credential(self, ticket: str, subject: str) -> str | None:
        """The credential behind a ticket for this subject; None for one that is false, too old or for another."""
        try:
            about, credential = self._serializer.loads(ticket, max_age=TICKET_LIVES_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return str(credential) if about == subject else None


class Credentials:
    """Who holds a credential now, and whether they ask too much. provider: another's accounts, if there are any.

    Walls of pictures and open streams ask often: an answer is kept for KEEP_S.
    """

    def __init__(self, people: PeopleStore, access: AccessSettings) -> None:
        self._people = people
        self._limiter = Limiter(access.limits.per_person)
        self.provider = Provider(access.oidc) if access.oidc else None
        self._provided: dict[str, tuple[float, Holder]] = {}
        self._kept: dict[str, tuple[float, Holder | None]] = {}

    def verify(self, secret: str) -> Holder | None:
        """Whose secret this is, asked anew each time. Raises ProviderAwayError."""
        if self.provider is not None and secret.count(".") == 2:  # a signed token of the provider's
            return self._from_provider(self.provider, secret)
        return self._people.verify(secret)

    def count(self, holder: Holder) -> None:
        """One more request of a person. Raises HTTPException 429 for who asks too much."""
        person = holder.person.id
        if not self._limiter.take(person):
            wait = {"Retry-After": str(self._limiter.wait_s(person))}
            raise HTTPException(429, "you ask too much; wait", wait)

    def still(self, credential: str) -> Holder | None:
        """The holder of a credential, as of at most KEEP_S ago; None once it is revoked or over."""
        asked_s, holder = self._kept.get(credential, (float("-inf"), None))
        if time.monotonic() - asked_s >= KEEP_S:
            holder = self._ask(credential)
            if len(self._kept) > 10_000:
                self._kept.clear()
            self._kept[credential] = (time.monotonic(), holder)
        return holder

    def provided(self) -> list[Person]:
        """Whom an identity provider has sent, by a token of its own or into a session here, while what it said of them
        lasts; once for each that it said."""
        now_s = time.time()
        lasting = [kept.person for until_s, kept in list(self._provided.values()) if until_s > now_s]
        disabled = {id: self._people.account(id).disabled for id in {person.id for person in lasting}}
        return [person for person in lasting if not disabled[person.id]] + self._people.signed_in_at_provider()

    def _ask(self, credential: str) -> Holder | None:
        if not credential.startswith("oidc:"):
            return self._people.holder(credential)
        until_s, holder = self._provided.get(credential, (0.0, None))
        if holder is None or until_s <= time.time() or self._people.account(holder.person.id).disabled:
            return None
        return holder

    def _from_provider(self, provider: Provider, secret: str) -> Holder | None:
        claims = provider.claims(secret)
        if claims is None:
            return None
        account, told = self.sent(provider.settings, claims)
        if account.disabled:
            return None
        grants = self._people.provide(account.id, told)
        person = Person(account.id, account.name, told.agency, grants, account.neighbourhood)
        holder = Holder(person, f"oidc:{digest_of(secret)}")
        if len(self._provided) > 10_000:
            now_s = time.time()
            self._provided = {name: kept for name, kept in self._provided.items() if kept[0] > now_s}
        self._provided[holder.credential] = (float(claims["exp"]), holder)
        return holder

    def sent(self, settings: OidcSettings, claims: dict[str, Any]) -> tuple[Account, Claims]:
        """The person here whom the provider speaks of, made when they come for the first time, and what it says."""
        agency = claims.get(settings.agency_claim) if settings.agency_claim else None
        told = Claims(settings.issuer, str(agency) if agency else None, settings.grants_of(claims))
        return self._provided_account(settings, claims), told

    def _provided_account(self, settings: OidcSettings, claims: dict[str, Any]) -> Account:
        who = (settings.issuer, str(claims["sub"])[:255])
        if (account := self._people.from_issuer(*who)) is not None:
            return account
        name = str(claims.get(settings.name_claim) or who[1])[:100]
        try:
            return self._people.add(name, issuer=who, by=settings.issuer[:128])
        except PeopleError:  # another has the name, or this person was added a moment ago
            account = self._people.from_issuer(*who)
            return account or self._people.add(f"{name} ({who[1][:24]})", issuer=who, by=settings.issuer[:128])


def any_holder(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Holder:
    """Who the request's bearer token speaks for. 401 without a valid one."""
    known: Credentials = request.app.state.credentials
    holder = known.verify(credentials.credentials) if credentials else None
    if holder is None:
        if credentials:
            _refusals(request).record(request, NOBODY, "token", None, "a token that is not known, or no longer valid")
        raise HTTPException(401, "a valid token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
    known.count(holder)
    return holder


def holder_of(holder: Annotated[Holder, Depends(any_holder)]) -> Holder:
    """The same, of one whose password is their own: who set it for them could act in their name. 403 before that."""
    if holder.must_change:
        raise HTTPException(403, "your password was set by another: change it first (PUT /session/password)")
    return holder


def holder_or_ticket(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ticket: Annotated[str | None, Query(description="a ticket from POST /tickets, instead of a token")] = None,
) -> Holder:
    """A bearer token, or a ticket for just this camera (or, without a camera in the path, for the event stream)."""
    if ticket is not None:
        credential = request.app.state.tickets.credential(ticket, request.path_params.get("camera", "*"))
        known: Credentials = request.app.state.credentials
        if credential is not None and (holder := known.still(credential)) is not None:
            known.count(holder)
            return holder_of(holder)
    return holder_of(any_holder(request, credentials))


class Needs:
    """A dependency that says what its route needs; `refuse_undeclared` looks for it."""

    permission: Permission | None = None


class _May(Needs):
    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: Request, holder: Annotated[Holder, Depends(holder_of)]) -> Person:
        check(request, holder.person, self.permission)
        return holder.person


class _MayAt(Needs):
    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, request: Request, camera: str, holder: Annotated[Holder, Depends(holder_of)]) -> Person:
        check_at(request, holder.person, self.permission, camera)
        return holder.person


class _MayLook(Needs):
    permission = Permission.CAMERA_SEE

    def __call__(self, request: Request, camera: str, holder: Annotated[Holder, Depends(holder_or_ticket)]) -> Holder:
        check_at(request, holder.person, self.permission, camera)
        check_shown(request, holder.person, self.permission, camera)
        looks: Looks = request.app.state.looks
        looks.record(request, holder.person, LOOK, f"/cameras/{camera}", camera)
        return holder


class _MayStream(Needs):
    permission = Permission.CAMERA_SEE

    def __call__(self, request: Request, holder: Annotated[Holder, Depends(holder_or_ticket)]) -> Holder:
        check(request, holder.person, self.permission)
        return holder


class _SignedIn(Needs):
    def __call__(self, holder: Annotated[Holder, Depends(holder_of)]) -> Holder:
        return holder


class _SignedInAnyhow(Needs):
    def __call__(self, holder: Annotated[Holder, Depends(any_holder)]) -> Holder:
        return holder


class _Anyone(Needs):
    def __call__(self) -> None:
        return None


def may(permission: Permission) -> Any:
    """Dependency: the Person who asks, who has this permission somewhere. 401, 403 otherwise, audited.

    A route that answers with a list shows of it what is in the person's scope: see `visible` and `cameras_for`.
    """
    return Depends(_May(permission))


def may_at(permission: Permission) -> Any:
    """Dependency of a route with {camera} in its path: the Person who asks, who has this permission for that camera.

    404 for a camera that is outside of all that the person is granted, as for one that does not exist; 403 where they
    may see it and may not do this.
    """
    return Depends(_MayAt(permission))


def may_look() -> Any:
    """Dependency of a camera's blurred pictures: the Holder, who has camera.see there; its owner's terms allow it.

    The look is recorded (see Looks), or nothing is shown.
    """
    return Depends(_MayLook())


def may_stream() -> Any:
    """Dependency of the event stream: the Holder of a token or a ticket, who has camera.see somewhere."""
    return Depends(_MayStream())


def signed_in() -> Any:
    """Dependency: the Holder of any valid token, whatever they may do."""
    return Depends(_SignedIn())


def signed_in_anyhow() -> Any:
    """Dependency: the Holder of any valid token, also before they have changed a password that another set."""
    return Depends(_SignedInAnyhow())


def anyone() -> Any:
    """Dependency of the few routes that need nobody's word: says so on purpose."""
    return Depends(_Anyone())


def check(request: Request, person: Person, permission: Permission, place: Place | None = None) -> None:
    """403 unless the person has the permission there now; the refusal is audited."""
    decision = decide(person, permission, place, time.time(), _places(request).timezone())
    if not decision.allowed:
        raise refused(request, person, permission, decision.reason, place.camera if place else None)


def check_at(
    request: Request,
    person: Person,
    permission: Permission,
    camera: str,
    kept: Place | None = None,
    missing: str | None = None,
) -> None:
    """`check` for a camera by its id; 404 for one that no grant of the person reaches (see `may_at`).

    kept: see Places. missing: what the 404 says of something of a camera, as of one that does not exist.
    """
    place = _places(request).place(camera, kept)
    if not reaches(person, place):
        known = camera if place.district else None  # who tries names that are none fills no disk with them
        _refusals(request).record(request, person, permission, known, "outside of what they are granted")
        raise HTTPException(404, missing or f"there is no camera {camera!r}")
    check(request, person, permission, place)


def check_shown(
    request: Request, person: Person, permission: Permission, camera: str, kept: tuple[Terms, str] | None = None
) -> None:
    """The gate of all pixels: 403, audited, where the owner of a camera shows them to others. kept: see Places."""
    if not _places(request).shows_to(camera, person, kept):
        raise refused(request, person, permission, _places(request).why_hidden(camera, kept), camera)


def visible(
    request: Request,
    person: Person,
    permission: Permission,
    items: Iterable[T],
    place_of: Callable[[T], Place | str],
) -> list[T]:
    """Of a list, what the person has the permission for now. place_of: an item's place, or its camera's id."""
    places, now_s = _places(request), time.time()
    timezone = places.timezone()

    def seen(item: T) -> bool:
        place = place_of(item)
        place = places.place(place) if isinstance(place, str) else place
        return decide(person, permission, place, now_s, timezone).allowed

    return [item for item in items if seen(item)]


def cameras_for(request: Request, person: Person, permission: Permission) -> frozenset[str] | None:
    """The cameras a query may answer about; None: all."""
    return _places(request).cameras_for(person, permission)


def refused(
    request: Request, person: Person, permission: Permission, why: str, camera: str | None = None
) -> HTTPException:
    """A 403 that is audited, to be raised."""
    _refusals(request).record(request, person, permission, camera, why)
    return HTTPException(403, why)


def declared(route: RouteContext) -> list[Needs]:
    """What a route says it needs; of anything but a FastAPI route, which can say nothing, nothing."""

    def below(dependant: Dependant) -> Iterable[Needs]:
        if isinstance(dependant.call, Needs):
            yield dependant.call
        for further in dependant.dependencies:
            yield from below(further)

    dependant = getattr(route, "dependant", None)
    return list(below(dependant)) if dependant is not None else []


def refuse_undeclared(app: FastAPI) -> None:
    """Raises RuntimeError for a route that does not say what it needs: nothing is open by having been forgotten."""
    for route in iter_route_contexts(app.routes):
        if not declared(route):
            raise RuntimeError(f"{route.path}: says not what it needs; give it a dependency of serve/auth.py")


def _places(request: Request) -> Places:
    places: Places = request.app.state.places
    return places


def _refusals(request: Request) -> Refusals:
    refusals: Refusals = request.app.state.refusals
    return refusals
