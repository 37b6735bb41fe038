"""Signing in at an identity provider from the dashboard: authorization code flow with PKCE, done by the API.

The browser holds no token. `start` sends it to the provider and binds the attempt to it by a cookie; `callback` takes
it back and sends it to the dashboard with a code that works once; the dashboard's server gives that code with the
browser's cookie, and has a session as after a password.
"""

import hmac
import secrets
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import RedirectResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field

from actors.board import Board
from actors.store.grants import claims_as_kept, claims_from, digest_of
from hoaban.access import Person
from hoaban.access.settings import SignInSettings
from serve.auditing import NOBODY, Refusals, recorded
from serve.auth import Credentials, anyone
from serve.oidc import Attempt, Provider, ProviderAwayError, RefusedError
from serve.problems import Problem
from serve.sessions import SessionView, view
from serve.settings import ApiSettings

ATTEMPT_LIVES_S = 600.0
"""a second factor takes its time"""
HANDOVER_LIVES_S = 60.0
Why = Literal["over", "another_browser", "refused", "away", "disabled"]
"""what the dashboard is told of a sign-in that failed; the audit chain has more"""
Given = Annotated[str | None, Query(max_length=4096)]
router = APIRouter(prefix="/auth/oidc", tags=["session"])


class Handover(BaseModel):
    """code: from the address. browser: the value of the browser's cookie."""

    model_config = ConfigDict(extra="forbid")
    code: str = Field(min_length=1, max_length=200)
    browser: str = Field(max_length=200)


class Offer(BaseModel):
    """Whether people sign in at a provider here: its address, and where a browser begins."""

    issuer: str | None
    start: str | None


class Notes:
    """Notes that one reader takes once, by a secret name, in the live store, signed: who can write there signs in as
    nobody."""

    def __init__(self, board: Board, secret: str) -> None:
        self._board, self._serializer = board, URLSafeTimedSerializer(secret, salt="hoaban.sign-in")

    def put(self, kind: str, name: str, document: dict[str, Any], lives_s: float) -> None:
        key = f"{kind}:{digest_of(name)}"
        self._board.note_once(key, {"signed": self._serializer.dumps([key, document])}, lives_s)

    def take(self, kind: str, name: str, lives_s: float) -> dict[str, Any] | None:
        key = f"{kind}:{digest_of(name)}"
        note = self._board.take_note(key)
        try:
            about, document = self._serializer.loads(note["signed"] if note else "", max_age=lives_s)
        except (BadSignature, ValueError, TypeError):
            return None
        return document if about == key else None


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    app.state.sign_in_notes = Notes(app.state.board, settings.ticket_secret)
    app.include_router(router, prefix=prefix)


def cookie_of(wanted: SignInSettings) -> str:
    """The cookie's name: with https, one that no other host can set."""
    return "__Host-hoaban-sign-in" if wanted.callback.startswith("https:") else "hoaban-sign-in"


@router.get("", dependencies=[anyone()])
def offer(request: Request) -> Offer:
    """Whether one may sign in at a provider, by GET /auth/oidc/start in a browser."""
    credentials: Credentials = request.app.state.credentials
    provider = credentials.provider
    if provider is None or provider.settings.sign_in is None:
        return Offer(issuer=None, start=None)
    begins = provider.settings.sign_in.callback.removesuffix("/callback") + "/start"
    return Offer(issuer=provider.settings.issuer, start=begins)


@router.get(
    "/start",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[anyone()],
    responses={404: {"model": Problem}},
)
def start(request: Request) -> RedirectResponse:
    """Send a browser to the provider."""
    provider, wanted = _configured(request)
    try:
        address, attempt = provider.begin()
    except ProviderAwayError:
        return _failed(request, wanted, "away", "the provider does not answer")
    except RefusedError as error:
        return _failed(request, wanted, "refused", str(error))
    # A new one each time: one that another planted in the browser binds nothing.
    browser = secrets.token_urlsafe(32)
    kept = {"browser": digest_of(browser), "nonce": attempt.nonce, "verifier": attempt.verifier}
    _notes(request).put("attempt", attempt.state, kept, ATTEMPT_LIVES_S)
    answer = _sent(address)
    lives_s = int(ATTEMPT_LIVES_S + HANDOVER_LIVES_S)
    answer.set_cookie(cookie_of(wanted), browser, max_age=lives_s, path="/", secure=True, httponly=True, samesite="lax")
    return answer


@router.get(
    "/callback",
    status_code=303,
    response_class=RedirectResponse,
    dependencies=[anyone()],
    responses={404: {"model": Problem}},
)
def callback(
    request: Request, state: Given = None, code: Given = None, error: Given = None, iss: Given = None
) -> RedirectResponse:
    """Where the provider sends the browser back to. It goes on to the dashboard, whatever happened."""
    provider, wanted = _configured(request)
    # An attempt is taken before it is looked at: it works once, also where it fails.
    kept = _notes(request).take("attempt", state or "", ATTEMPT_LIVES_S)
    if kept is None:
        return _failed(request, wanted, "over", "a state that is not known, was used before, or is too old")
    if not _same(request.cookies.get(cookie_of(wanted), ""), kept["browser"]):
        return _failed(request, wanted, "another_browser", "the attempt began in another browser")
    if iss is not None and iss != provider.settings.issuer:
        return _failed(request, wanted, "refused", "the answer names another provider")
    if error is not None or not code:
        return _failed(request, wanted, "refused", f"the provider said: {error}")
    try:
        claims = provider.end(code, Attempt(state or "", kept["nonce"], kept["verifier"]))
    except ProviderAwayError:
        return _failed(request, wanted, "away", "the provider does not answer")
    except RefusedError as refused:
        return _failed(request, wanted, "refused", str(refused))
    credentials: Credentials = request.app.state.credentials
    account, told = credentials.sent(provider.settings, claims)
    if account.disabled:
        return _failed(request, wanted, "disabled", f"{account.name} is disabled")
    handover = secrets.token_urlsafe(32)
    document = {"browser": kept["browser"], "person": account.id, "claims": claims_as_kept(told)}
    _notes(request).put("handover", handover, document, HANDOVER_LIVES_S)
    return _sent(f"{wanted.dashboard}?{urlencode({'handover': handover})}")


@router.post(
    "/session",
    status_code=201,
    dependencies=[anyone()],
    responses={401: {"model": Problem}, 404: {"model": Problem}},
)
def redeem(request: Request, handover: Handover) -> SessionView:
    """Begin the session of who signed in at the provider: for the dashboard's server."""
    _configured(request)
    kept = _notes(request).take("handover", handover.code, HANDOVER_LIVES_S)
    if kept is None:
        _refuse(request, "this sign-in is over, or was used before; sign in again")
    if not _same(handover.browser, kept["browser"]):
        _refuse(request, "this sign-in began in another browser; sign in again")
    account = request.app.state.people.account(kept["person"])
    if account.disabled:
        _refuse(request, "this person is disabled; ask an admin")
    claims = claims_from(kept["claims"])
    address = request.client.host if request.client else None
    with recorded(request, Person(account.id, account.name), "session.begin", account.name, issuer=claims.issuer):
        return view(request.app.state.sessions.begin(account.id, address, claims))


def _configured(request: Request) -> tuple[Provider, SignInSettings]:
    credentials: Credentials = request.app.state.credentials
    provider = credentials.provider
    if provider is None or provider.settings.sign_in is None:
        raise HTTPException(404, "nobody signs in at a provider here: the access file has no oidc.sign_in")
    return provider, provider.settings.sign_in


def _same(browser: str, digest: str) -> bool:
    return hmac.compare_digest(digest_of(browser), digest)


def _failed(request: Request, wanted: SignInSettings, why: Why, words: str) -> RedirectResponse:
    """Back to the dashboard, which says it in words; never to an address of the request."""
    _told(request, words)
    return _sent(f"{wanted.dashboard}?{urlencode({'sign_in_failed': why})}")


def _sent(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _refuse(request: Request, why: str) -> NoReturn:
    _told(request, why)
    raise HTTPException(401, why)


def _told(request: Request, why: str) -> None:
    refusals: Refusals = request.app.state.refusals
    refusals.record(request, NOBODY, "session.begin", None, why)


def _notes(request: Request) -> Notes:
    notes: Notes = request.app.state.sign_in_notes
    return notes
