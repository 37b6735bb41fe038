"""The accounts' routes: who there is, what they are granted, machines' tokens. Every change is in the audit chain."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from actors.store.grants import GivenGrant
from actors.store.people import Account, NobodyConfirmsError, PeopleError, PeopleStore
from hoaban.access import Grant, Permission, Person, Role, Scope
from hoaban.schedule import Hours
from hoaban.shapes import Id
from serve.auditing import record, recorded
from serve.auth import may
from serve.problems import Problem
from serve.times import Instant

router = APIRouter(
    tags=["accounts"],
    responses={
        401: {"model": Problem},
        403: {"model": Problem},
        404: {"model": Problem},
        409: {"model": Problem},
        422: {"model": Problem},
    },
)
Changer = Annotated[Person, may(Permission.ACCOUNT_CHANGE)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"\S")]
Names = Annotated[list[Id], Field(min_length=1, max_length=1000)]
MACHINE_ROLES = frozenset({Role.VIEWER, Role.OPERATOR, Role.DATA_SCIENTIST, Role.ADMIN})


class GrantWanted(BaseModel):
    """A role, and where and when it counts; what is left out is not limited."""

    model_config = ConfigDict(extra="forbid")
    role: Role
    districts: Names | None = None
    agencies: Names | None = Field(None, description="owners of cameras")
    cameras: Names | None = None
    hours: list[Hours] = Field([], max_length=50, description="of the week, on the province's clock")

    def grant(self) -> Grant:
        def names(listed: list[str] | None) -> frozenset[str] | None:
            return None if listed is None else frozenset(listed)

        return Grant(
            self.role, Scope(names(self.districts), names(self.agencies), names(self.cameras), tuple(self.hours))
        )


class GrantView(GrantWanted):
    """waits: for another admin's confirmation; until then it gives nothing.

    provided: by an identity provider's claims; it counts while they say so, and is only confirmed here.
    """

    id: str
    waits: bool
    confirmed_by: str | None
    confirmed_at: datetime | None
    granted_by: str
    granted_at: datetime
    provided: bool


class AccountWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Name
    password: str | None = Field(None, max_length=1000, description="none: they cannot sign in here before one is set")
    agency: Id | None = None
    neighbourhood: Id | None = Field(None, description="district they live in; looks there are watched more closely")
    grants: list[GrantWanted] = Field([], max_length=50)


class AccountView(BaseModel):
    id: str
    name: str
    agency: str | None
    neighbourhood: str | None
    disabled: bool
    signs_in: str
    created: datetime
    created_by: str
    grants: list[GrantView]
    password_given: bool


class PasswordWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    password: str = Field(max_length=1000)


class TokenWanted(BaseModel):
    """A token for a machine. It cannot hold the roles that only a person may, nor an admin's without limits."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    agency: Id | None = None
    expires: Instant | None = None
    grants: list[GrantWanted] = Field(min_length=1, max_length=50)


class TokenView(BaseModel):
    id: str
    name: str
    agency: str | None
    created: datetime
    created_by: str | None
    expires: datetime | None
    revoked: bool
    grants: list[GrantView]


class NewToken(BaseModel):
    """The secret is shown this once and not kept."""

    id: str
    secret: str


@router.get("/people")
def people(request: Request, _: Changer) -> list[AccountView]:
    """Everyone, by name, with what they are granted."""
    return [_account(account) for account in _people(request).accounts()]


@router.post("/people", status_code=201)
def add_person(request: Request, wanted: AccountWanted, by: Changer) -> AccountView:
    """A new person. Grants of officer, watchlist_approver, auditor and admin wait for another admin."""
    grants = [item.grant() for item in wanted.grants]
    with recorded(request, by, "account.add", wanted.name, grants=_told(wanted.grants)):
        account = _people(request).add(
            wanted.name,
            *grants,
            password=wanted.password,
            agency=wanted.agency,
            neighbourhood=wanted.neighbourhood,
            by=by.name,
            by_id=by.id,
            two=True,
            password_given=True,
        )
    return _account(account)


@router.post("/people/{person}/grants", status_code=201)
def give(request: Request, person: str, wanted: GrantWanted, by: Changer) -> AccountView:
    """Grant a role. Nobody grants themselves one; officer, watchlist_approver, auditor and admin wait for another
    admin."""
    _another(request, person, by)
    with recorded(request, by, "account.grant", person, grants=_told([wanted])):
        return _account(_people(request).grant(person, wanted.grant(), by.name, by.id, two=True))


@router.post("/people/{person}/grants/{grant}/confirm")
def confirm(request: Request, person: str, grant: str, by: Changer) -> AccountView:
    """Confirm a grant that another admin gave: from now on it counts. To refuse it, take it away."""
    _another(request, person, by)
    with recorded(request, by, "account.confirm", person, grant=grant):
        try:
            return _account(_people(request).confirm(person, grant, by.name, by.id))
        except KeyError:
            raise HTTPException(404, f"this person has no grant {grant!r} that waits") from None
        except PeopleError as error:
            raise HTTPException(403, str(error)) from None


@router.delete("/people/{person}/grants/{grant}")
def take(request: Request, person: str, grant: str, by: Changer) -> AccountView:
    """Take a grant away, by its id; it counts within seconds, in open streams as well."""
    _another(request, person, by)
    with recorded(request, by, "account.revoke", person, grant=grant):
        try:
            return _account(_people(request).revoke(person, grant))
        except KeyError:
            raise HTTPException(404, f"this person has no grant {grant!r}") from None


@router.post("/people/{person}/disable", status_code=204)
def disable(request: Request, person: str, by: Changer) -> None:
    """Let a person in no more; their sessions end."""
    _another(request, person, by)
    with recorded(request, by, "account.disable", person):
        _people(request).set_disabled(person, True)


@router.post("/people/{person}/enable", status_code=204)
def enable(request: Request, person: str, by: Changer) -> None:
    """Let a disabled person in again."""
    _another(request, person, by)
    with recorded(request, by, "account.enable", person):
        _people(request).set_disabled(person, False)


@router.put("/people/{person}/password", status_code=204)
def set_password(request: Request, person: str, wanted: PasswordWanted, by: Changer) -> None:
    """Set another's password, which they change before they may do anything; their sessions end, and what takes two
    admins to grant waits to be confirmed anew. One's own: PUT /session/password. 409 for the only other admin: nobody
    could confirm them."""
    _another(request, person, by)
    with recorded(request, by, "account.password", person):
        try:
            _people(request).set_password(person, wanted.password, by=by.name, by_id=by.id, two=True, given=True)
        except NobodyConfirmsError as error:
            raise HTTPException(409, str(error)) from None


@router.get("/tokens")
def tokens(request: Request, _: Changer) -> list[TokenView]:
    """Machines' tokens, without their secrets."""
    return [
        TokenView(**asdict(token) | {"grants": [_grant(given) for given in token.grants]})
        for token in _people(request).tokens()
    ]


@router.post("/tokens", status_code=201)
def add_token(request: Request, wanted: TokenWanted, by: Changer) -> NewToken:
    """A new token for a machine."""
    grants = [item.grant() for item in wanted.grants]
    for grant in grants:
        if grant.role not in MACHINE_ROLES:
            raise HTTPException(422, f"a machine cannot be {grant.role}: that takes a person, who answers for it")
        if grant.role is Role.ADMIN and grant.scope.everywhere:
            raise HTTPException(422, "a machine's admin grant must be limited to cameras, agencies or districts")
    with recorded(request, by, "token.add", wanted.name, grants=_told(wanted.grants)):
        token, secret = _people(request).create_token(
            wanted.name, *grants, expires=wanted.expires, agency=wanted.agency, by=by.name
        )
    return NewToken(id=token, secret=secret)


@router.delete("/tokens/{token}", status_code=204)
def revoke_token(request: Request, token: str, by: Changer) -> None:
    """Revoke a token; its tickets and open streams end within seconds."""
    with recorded(request, by, "token.revoke", token):
        if not _people(request).revoke_token(token):
            raise HTTPException(404, f"there is no token {token!r}")


def _another(request: Request, person: str, by: Person) -> None:
    """404 for nobody, 403 for oneself: who may change accounts does not change their own."""
    try:
        account = _people(request).account(person)
    except KeyError:
        raise HTTPException(404, f"there is no person {person!r}") from None
    if account.id == by.id:
        record(request, by, "account.change", person, outcome="refused", reason="one's own account")
        raise HTTPException(403, "nobody changes what they themselves may do; ask another admin")


def _account(account: Account) -> AccountView:
    return AccountView(**asdict(account) | {"grants": [_grant(given) for given in account.grants]})


def _grant(given: GivenGrant) -> GrantView:
    scope = given.grant.scope

    def names(found: frozenset[str] | None) -> list[str] | None:
        return None if found is None else sorted(found)

    return GrantView(
        id=given.id,
        role=given.grant.role,
        districts=names(scope.districts),
        agencies=names(scope.agencies),
        cameras=names(scope.cameras),
        hours=list(scope.hours),
        granted_by=given.by,
        granted_at=given.at,
        waits=given.waits,
        confirmed_by=given.confirmed_by,
        confirmed_at=given.confirmed_at,
        provided=given.provided,
    )


def _told(wanted: list[GrantWanted]) -> list[dict[str, Any]]:
    return [item.model_dump(mode="json", by_alias=True, exclude_defaults=True) for item in wanted]


def _people(request: Request) -> PeopleStore:
    store: PeopleStore = request.app.state.people
    return store
