"""Permits to see unblurred pixels of one camera for a while: for a reason, audited when made and at each use."""

import secrets
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field

from actors.store import Holder
from hoaban.access import Permission, Person
from hoaban.terms import Terms
from serve.auditing import record
from serve.auth import Needs, check, check_at, check_shown, holder_of, may_at
from serve.problems import Problem
from serve.tiles import Picture, ask_camera, jpeg_answer

PERMIT_LIVES_S = 900
router = APIRouter(tags=["unmask"], responses={403: {"model": Problem}, 404: {"model": Problem}})


class Reason(BaseModel):
    """Why someone must be seen."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: str = Field(min_length=10, max_length=500, description="in words, e.g. the number of the case and what for")


class Permit(BaseModel):
    """To be given as the header X-Hoaban-Permit with each request for unblurred pixels of this camera."""

    permit: str
    expires_in_s: int


class Permits:
    """Signed permits: which one it is, for whom, for which camera, and why."""

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="hoaban.permit")

    def issue(self, permit_id: str, person: Person, camera: str, reason: str) -> str:
        return self._serializer.dumps([permit_id, person.id, camera, reason])

    def read(self, permit: str) -> tuple[str, str, str, str]:
        """(id, person's id, camera, reason). Raises ValueError, which says what is wrong with it."""
        try:
            permit_id, person, camera, reason = self._serializer.loads(permit, max_age=PERMIT_LIVES_S)
        except SignatureExpired:
            raise ValueError("the permit is over; ask for another with POST /cameras/{camera}/unmask") from None
        except (BadSignature, ValueError, TypeError):
            raise ValueError("this is no permit of this system") from None
        return str(permit_id), str(person), str(camera), str(reason)


class Unmasking:
    """Who shows which permit. `use` it for what is about to be shown, before any pixel is read."""

    def __init__(self, request: Request, person: Person, permit: str) -> None:
        self._request, self.person, self._permit = request, person, permit

    def use(self, camera: str, subject: str, kept: tuple[Terms, str] | None = None) -> str:
        """Check the permit for this camera and record the look; the reason it was made for.

        subject: what is shown, e.g. "/cameras/gate/unmasked.jpg" or an evidence's id. kept: see Places.shows_to.
        Raises HTTPException 403 (or 404 as `may_at`), and SQLAlchemyError when the look cannot be recorded. Waits: call
        it from a thread.
        """
        check_at(self._request, self.person, Permission.PICTURE_UNMASK, camera)
        check_shown(self._request, self.person, Permission.PICTURE_UNMASK, camera, kept)
        try:
            permit_id, person, about, reason = self._permits().read(self._permit)
            if person != self.person.id or about != camera:
                raise ValueError("the permit is another person's, or for another camera")
        except ValueError as wrong:
            record(
                self._request, self.person, "picture.unmask", subject, camera=camera, outcome="refused", why=str(wrong)
            )
            raise HTTPException(403, str(wrong)) from None
        record(self._request, self.person, "picture.unmask", subject, camera=camera, reason=reason, permit=permit_id)
        return reason

    def _permits(self) -> Permits:
        permits: Permits = self._request.app.state.permits
        return permits


class UnmaskedSource(Protocol):
    """Where unblurred pictures come from: not from what gives out tiles."""

    async def unblurred(self, camera: str, who: str, reason: str) -> Picture | None:
        """The newest picture, or None when the camera has none or does not run."""
        ...


class RayUnmasked:
    """From the camera actors."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def unblurred(self, camera: str, who: str, reason: str) -> Picture | None:
        answer = await ask_camera(self._namespace, camera, "unblurred", who, reason)
        return None if answer is None else Picture(**answer)


class _UnmaskReason(Needs):
    permission = Permission.PICTURE_UNMASK

    def __call__(
        self,
        request: Request,
        holder: Annotated[Holder, Depends(holder_of)],
        x_hoaban_permit: Annotated[str | None, Header(description="from POST /cameras/{camera}/unmask")] = None,
    ) -> Unmasking:
        check(request, holder.person, self.permission)
        if x_hoaban_permit is None:
            raise HTTPException(403, "unblurred pixels need a permit: POST /cameras/{camera}/unmask with a reason")
        return Unmasking(request, holder.person, x_hoaban_permit)


def unmask_reason() -> Any:
    """Dependency of every route that gives out unblurred pixels: the `Unmasking` of the permit in X-Hoaban-Permit.

    The route calls its `use` with the camera and the subject, and shows nothing before that returned.
    """
    return Depends(_UnmaskReason())


@router.post("/cameras/{camera}/unmask", status_code=201)
def make_permit(
    request: Request, camera: str, wanted: Reason, person: Annotated[Person, may_at(Permission.PICTURE_UNMASK)]
) -> Permit:
    """A permit to see this camera's pixels unblurred for some minutes. It is recorded, with the reason."""
    permit_id = secrets.token_hex(8)
    record(
        request, person, "unmask.permit", permit_id, camera=camera, reason=wanted.reason, expires_in_s=PERMIT_LIVES_S
    )
    permits: Permits = request.app.state.permits
    return Permit(permit=permits.issue(permit_id, person, camera, wanted.reason), expires_in_s=PERMIT_LIVES_S)


@router.get(
    "/cameras/{camera}/unmasked.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
async def unmasked(request: Request, camera: str, unmasking: Annotated[Unmasking, unmask_reason()]) -> Response:
    """The newest picture with faces shown, for who holds a permit for this camera; each look is recorded."""
    reason = await run_in_threadpool(unmasking.use, camera, f"/cameras/{camera}/unmasked.jpg")
    source: UnmaskedSource = request.app.state.unmasked
    picture = await source.unblurred(camera, unmasking.person.name, reason)
    if picture is None:
        raise HTTPException(404, f"camera {camera!r} has no picture now", {"Retry-After": "1"})
    return jpeg_answer(picture)
