"""Signing in with a name and a password: a bearer token for some minutes, renewed while the session lasts."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from actors.store import Holder
from actors.store.people import MOST_PASSWORD, PeopleStore
from actors.store.sessions import Session, SessionStore, StolenError
from hoaban.access import GRANTS, Permission, Person, Role
from serve.auditing import NOBODY, record, recorded
from serve.auth import anyone, signed_in_anyhow
from serve.limits import Limiter
from serve.problems import Problem

router = APIRouter(prefix="/session", tags=["session"], responses={401: {"model": Problem}, 429: {"model": Problem}})
Secret = Annotated[str, Field(min_length=1, max_length=MOST_PASSWORD)]


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=128)
    password: Secret


class Renewal(BaseModel):
    model_config = ConfigDict(extra="forbid")
    refresh_token: Secret


class NewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")
    old: Secret
    new: Secret


class SessionView(BaseModel):
    """access_token: for Authorization: Bearer. refresh_token: for POST /session/renew, once; that gives the next.

    must_change_password: another set it; before it is changed (PUT /session/password) nothing else is answered.
    """

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (a kind, not a secret)
    expires_in_s: int
    refresh_token: str
    must_change_password: bool = False


class Me(BaseModel):
    """Who the token speaks for. permissions: those they have somewhere, once their password is their own."""

    id: str
    name: str
    agency: str | None
    roles: list[Role]
    permissions: list[Permission]
    must_change_password: bool


@router.post("", status_code=201, dependencies=[anyone()])
def sign_in(request: Request, wanted: SignIn) -> SessionView:
    """Begin a session. Too many wrong passwords for a name from an address, or from it for any names, and no more are
    tried from there for a while.

    Who guesses from many addresses shuts a person out nowhere that they have signed in from lately.
    """
    address = _address(request)
    by_source: Limiter = request.app.state.wrong_by_source
    by_name: Limiter = request.app.state.wrong_by_name
    by_address: Limiter = request.app.state.wrong_by_address
    name = wanted.name.strip()
    if by_address.spent(address):
        raise _wait(by_address, address)
    source = f"{name}@{address}"
    if not by_source.take(source):  # counted before the password is looked at: a thousand tries at once are not let by
        raise _wait(by_source, source)
    if not _sessions(request).known_at(name, address) and not by_name.take(name):
        raise _wait(by_name, name)
    account = _people(request).check_password(name, wanted.password)
    if account is None:
        by_address.take(address)
        record(request, NOBODY, "session.begin", name, outcome="refused", reason="wrong name or password")
        raise HTTPException(401, "the name or the password is wrong")
    by_source.forget(source)
    person = Person(account.id, account.name)
    with recorded(request, person, "session.begin", account.name):
        return view(_sessions(request).begin(account.id, address), account.password_given)


@router.post("/renew", dependencies=[anyone()])
def renew(request: Request, wanted: Renewal) -> SessionView:
    """New tokens for a session that goes on. A refresh token works once; used twice, its session ends."""
    try:
        session = _sessions(request).renew(wanted.refresh_token)
    except StolenError as stolen:
        account = _people(request).account(stolen.person)
        record(request, Person(account.id, account.name), "session.stolen", account.name, outcome="refused")
        raise HTTPException(401, str(stolen)) from None
    if session is None:
        raise HTTPException(401, "the session is over; sign in again")
    return view(session)


@router.get("")
def me(holder: Annotated[Holder, signed_in_anyhow()]) -> Me:
    """Who the token speaks for, and what they may do."""
    person = holder.person
    permissions = {permission for role in person.roles for permission in GRANTS[role]}
    return Me(
        id=person.id,
        name=person.name,
        agency=person.agency,
        roles=sorted(person.roles),
        permissions=sorted(permissions),
        must_change_password=holder.must_change,
    )


@router.delete("", status_code=204)
def sign_out(request: Request, holder: Annotated[Holder, signed_in_anyhow()]) -> None:
    """End the session: its tokens, tickets and open streams end with it. A machine's token is not a session."""
    kind, _, session = holder.credential.partition(":")
    if kind != "session":
        raise HTTPException(409, "this token is no session; an admin revokes it")
    with recorded(request, holder.person, "session.end", holder.person.name):
        _sessions(request).end(session)


@router.put("/password", status_code=204, responses={409: {"model": Problem}, 422: {"model": Problem}})
def change_password(request: Request, wanted: NewPassword, holder: Annotated[Holder, signed_in_anyhow()]) -> None:
    """Change one's own password; all one's sessions end."""
    if not holder.credential.startswith("session:"):
        raise HTTPException(409, "only who signed in with a password has one to change")
    by_source: Limiter = request.app.state.wrong_by_source
    source = f"{holder.person.name}@{_address(request)}"
    if not by_source.take(source):
        raise _wait(by_source, source)
    people = _people(request)
    if people.check_password(holder.person.name, wanted.old) is None:
        record(request, holder.person, "account.password", holder.person.id, outcome="refused", reason="wrong password")
        raise HTTPException(422, "the old password is wrong")
    by_source.forget(source)
    if wanted.new == wanted.old:
        raise HTTPException(422, "the new password is the old one; choose another")
    with recorded(request, holder.person, "account.password", holder.person.id):
        people.set_password(holder.person.id, wanted.new)


def _wait(limiter: Limiter, who: str) -> HTTPException:
    wait = {"Retry-After": str(limiter.wait_s(who))}
    return HTTPException(429, "too many wrong passwords; wait, then try again", wait)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def view(session: Session, must_change_password: bool = False) -> SessionView:
    """A session as it is handed out."""
    return SessionView(
        access_token=session.access,
        expires_in_s=session.access_lives_s,
        refresh_token=session.refresh,
        must_change_password=must_change_password,
    )


def _people(request: Request) -> PeopleStore:
    people: PeopleStore = request.app.state.people
    return people


def _sessions(request: Request) -> SessionStore:
    sessions: SessionStore = request.app.state.sessions
    return sessions
