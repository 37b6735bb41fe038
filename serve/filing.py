"""How a report is filed, by an officer or by a citizen's own hand: what it may say, its photo, and whose it is."""

import threading

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator

from actors.report_photo import PhotoCleaner, PhotoError
from actors.store import NewReport, Report, ReportStore
from hoaban.access import Person
from hoaban.incidents.reports import grouped, nearest
from serve import cases
from serve.auditing import recorded
from serve.cases import now_s
from serve.times import Instant

MOST_TEXT = 4000
AHEAD_S = 300.0
DISTRICT_WITHIN_M = 20_000.0
"""where no camera is within reach, the nearest one up to here tells the district"""


class Contact(BaseModel):
    """How the citizen can be reached. Kept sealed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    name: str | None = Field(None, max_length=200)
    phone: str | None = Field(None, max_length=50)
    email: str | None = Field(None, max_length=200)


class Filing(BaseModel):
    """A report. Where it happened is told by lat and lon, or by a landmark, or by both."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)
    text: str = Field(min_length=5, max_length=MOST_TEXT)
    lat: float | None = Field(None, ge=-90, le=90)
    lon: float | None = Field(None, ge=-180, le=180)
    landmark: str | None = Field(None, min_length=3, max_length=200)
    district: str | None = Field(None, max_length=64)
    happened_at: Instant | None = Field(None, description="by default now")
    contact: Contact = Contact()
    photo: Base64Bytes | None = Field(None, description="JPEG, PNG or WebP, as base64")

    @model_validator(mode="after")
    def _has_a_place(self) -> "Filing":
        if (self.lat is None) != (self.lon is None):
            raise ValueError("lat and lon come together")
        if self.lat is None and self.landmark is None:
            raise ValueError("say where: lat and lon, or a landmark")
        return self


class Filed(BaseModel):
    """What the citizen keeps. The access code is shown this once and kept nowhere."""

    tracking: str
    access_code: str
    number: int | None = Field(None, description="for officers alone")


class Intake:
    """What filing needs beside the store: the cleaner of photos."""

    def __init__(self, store: ReportStore) -> None:
        self.store, self.photos = store, PhotoCleaner()
        self.cleaning = threading.BoundedSemaphore(2)
        """decoded photos take much memory: so many at once"""


async def filing(request: Request) -> Filing:
    """The report in the request's body, read only as far as the largest that is allowed. 413, 422."""
    settings = (await run_in_threadpool(cases.ground, request)).settings.reports
    most = int(settings.photo_mib * 2**20)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most * 4 // 3 + 64 * 1024:
            raise HTTPException(413, f"the photo is larger than {settings.photo_mib:g} MiB; make it smaller")
    try:
        wanted = Filing.model_validate_json(bytes(body))
    except ValidationError as invalid:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'report'}: {e['msg']}" for e in invalid.errors(include_input=False)
        )
        raise HTTPException(422, problems[:2000]) from None
    if wanted.photo is not None and len(wanted.photo) > most:
        raise HTTPException(413, f"the photo is larger than {settings.photo_mib:g} MiB; make it smaller")
    return wanted


def file(request: Request, wanted: Filing, person: Person, channel: str) -> tuple[Report, str]:
    """Keep a report; it and its access code. 422 for a photo or a time that cannot be."""
    intake: Intake = request.app.state.intake
    at_s = now_s()
    happened_s = wanted.happened_at.timestamp() if wanted.happened_at else at_s
    if happened_s > at_s + AHEAD_S:
        raise HTTPException(422, "happened_at lies in the future")
    photo = None
    if wanted.photo is not None:
        try:
            with intake.cleaning:
                photo = intake.photos.clean(wanted.photo)
        except PhotoError as error:
            raise HTTPException(422, f"photo: {error}") from None
    camera, district = _where(request, wanted)
    contact = {key: value for key, value in wanted.contact.model_dump().items() if value}
    new = NewReport(
        text=wanted.text,
        happened_s=happened_s,
        channel=channel,
        contact=contact,
        lat=wanted.lat,
        lon=wanted.lon,
        landmark=wanted.landmark,
        district=district,
        camera=camera,
        photo=photo,
    )
    with recorded(request, person, "report.file", channel, camera=camera) as more:
        report, code = intake.store.file(new, person, at_s)
        more["number"] = report.number
    return report, code


def filed(report: Report, code: str, number: int | None = None) -> Filed:
    return Filed(tracking=grouped(report.tracking), access_code=grouped(code), number=number)


def _where(request: Request, wanted: Filing) -> tuple[str | None, str | None]:
    """The nearest camera within reach, and the district: the citizen's, else that of the nearest camera at all."""
    ground = cases.ground(request)
    district = wanted.district if wanted.district in set(ground.districts.values()) else None
    if wanted.lat is None or wanted.lon is None:
        return None, district
    cameras = nearest((wanted.lat, wanted.lon), ground.places)
    if not cameras:
        return None, district
    camera, metres = cameras[0]
    if metres <= ground.settings.reports.cameras_within_m:
        return camera, ground.districts[camera]
    return None, district or (ground.districts[camera] if metres <= DISTRICT_WITHIN_M else None)
