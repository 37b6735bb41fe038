"""Who asks, and whether that role may. Bearer tokens; for pictures and streams in a browser, signed tickets."""

from enum import IntEnum
from typing import Annotated

from fastapi import Depends, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from itsdangerous import BadSignature, URLSafeTimedSerializer

from actors.store import TokenInfo

TICKET_LIVES_S = 3600
bearer = HTTPBearer(auto_error=False, description="an API token")


class Role(IntEnum):
    """Each role may what the ones below may."""

    viewer = 1
    admin = 2


class Tickets:
    """Signed, expiring permits for one camera's picture ("*": the event stream), since <img> sends no headers.

    A ticket says whose it is, so that an owner's terms that change count for tickets that are out already.
    """

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="hoaban.ticket")

    def issue(self, subject: str, holder: TokenInfo) -> str:
        return self._serializer.dumps([subject, holder.id, holder.name, holder.role, holder.agency])

    def holder(self, ticket: str, subject: str) -> TokenInfo | None:
        """Who holds a ticket for this subject; None for one that is false, too old or for another."""
        try:
            about, *holder = self._serializer.loads(ticket, max_age=TICKET_LIVES_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return TokenInfo(*holder) if about == subject else None


def token_holder(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> TokenInfo:
    """The holder of the request's bearer token. 401 without a valid one."""
    info = request.app.state.store.verify_token(credentials.credentials) if credentials else None
    if info is None or info.role not in Role.__members__:
        raise HTTPException(401, "a valid API token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
    return info


def require(role: Role):  # type: ignore[no-untyped-def]  # FastAPI reads the signature of what it returns
    """A dependency: the holder's role is at least this one. 403 otherwise."""

    def check(info: Annotated[TokenInfo, Depends(token_holder)]) -> TokenInfo:
        if Role[info.role] < role:
            raise HTTPException(403, f"the role {role.name} is needed; this token has {info.role}")
        return info

    return check


def viewer_or_ticket(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ticket: Annotated[str | None, Query(description="a ticket from POST /tickets, instead of a token")] = None,
) -> TokenInfo:
    """A viewer's token, or a ticket for just this camera (or, without a camera in the path, for the event stream)."""
    subject = request.path_params.get("camera", "*")
    if ticket is not None and (holder := request.app.state.tickets.holder(ticket, subject)) is not None:
        return holder
    return token_holder(request, credentials)


def picture_viewer(request: Request, camera: str, holder: Annotated[TokenInfo, Depends(viewer_or_ticket)]) -> TokenInfo:
    """Who looks; 403 where the owner of a shared camera does not share its pictures with them."""
    if not request.app.state.terms.may_see(camera, holder):
        raise HTTPException(403, f"the owner of camera {camera!r} shares its pictures with others only (terms.viewers)")
    return holder


Viewer = Annotated[TokenInfo, Depends(require(Role.viewer))]
Admin = Annotated[TokenInfo, Depends(require(Role.admin))]
