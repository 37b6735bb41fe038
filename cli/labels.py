"""`hoaban models export-coco` and `import-coco`: pictures on which models differ or err, to who labels, and back."""

import io
import os
import sys
import zipfile
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import httpx
import typer

from actors.labels import take_in, write_labels
from cli.common import data_folder, new_folder_or_refuse, refuse
from hoaban.coco import FILE, PICTURES
from hoaban.fleet_text import FleetErrors

API_LIMIT_S = 300.0


class EvidenceState(StrEnum):
    """Of the evidence whose stills are asked for."""

    REJECTED = "rejected"
    CONFIRMED = "confirmed"
    OPEN = "open"


def export_coco(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder")],
    reason: Annotated[str, typer.Option(help="why they leave, and to whom; it goes into the audit chain")],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME@VERSION", help="of this candidate; of evidence, the model that saw it"),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="of this camera only")] = None,
    since: Annotated[datetime | None, typer.Option(help="captured from then on, UTC", formats=["%Y-%m-%d"])] = None,
    evidence: Annotated[
        EvidenceState | None,
        typer.Option(help="stills of evidence in this state, not pictures on which models differ"),
    ] = None,
    type: Annotated[str | None, typer.Option(help="of this type of event only; with --evidence")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="the newest so many")] = 500,
    api: Annotated[
        str, typer.Option(envvar="HOABAN_API_URL", help="address of the running system's API")
    ] = "http://127.0.0.1:8000/api/v1",
    data: Annotated[
        Path | None, typer.Option(help="folder of `hoaban up`, whose token is used when HOABAN_API_TOKEN is not set")
    ] = None,
) -> None:
    """Fetch pictures on which models differ, or stills of evidence, with COCO JSON to correct, into a new folder.

    Faces and plates are hidden. The API decides which of them the holder of the token may have. Exit code 1: none.
    """
    new_folder_or_refuse(folder)
    if type is not None and evidence is None:
        refuse("--type is for evidence; name its state with --evidence, such as rejected")
    wanted: dict[str, Any] = {"reason": reason, "model": model, "camera": camera, "limit": limit}
    what = "disagreements"
    if evidence is not None:
        what, wanted = "evidence", wanted | {"state": evidence.value, "type": type}
    if since is not None:
        wanted["since"] = f"{since:%Y-%m-%d}T00:00:00Z"
    headers = {"Authorization": f"Bearer {_token(data)}"}
    try:
        answer = httpx.post(f"{api}/models/{what}/export", json=wanted, headers=headers, timeout=API_LIMIT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        refuse(f"{api}: the API does not answer ({error}); see that the system runs, or name it with --api")
    if answer.status_code == 404:
        print(f"hoaban models: {_detail(answer)}", file=sys.stderr)
        raise typer.Exit(1)
    if answer.status_code != 200:
        refuse(f"{api}: {answer.status_code}: {_detail(answer)}")
    try:
        pictures = _unpack(answer.content, folder)
    except (OSError, zipfile.BadZipFile) as error:
        refuse(f"{folder}: cannot be written: {error}; name a folder that has room and may be written")
    print(f"{folder / FILE}: {pictures} pictures; correct it and give it to `hoaban models import-coco {folder}`")


def import_coco(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="as export-coco wrote it, its labels corrected")],
    suite: Annotated[Path, typer.Option(metavar="FOLDER", help="suite for `hoaban models evaluate --suite`")],
    name: Annotated[str | None, typer.Option(help="of these pictures in the suite; by default that of DIR")] = None,
) -> None:
    """Check corrected labels, and put them with their pictures into a suite. All that is wrong is told at once."""
    name = name or folder.resolve().name
    if PurePosixPath(name).name != name or name.startswith("."):
        refuse(f"--name {name!r} is no name of a folder; give a plain one")
    try:
        taken = take_in(folder, suite, name)
    except FleetErrors as errors:
        print(errors, file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as error:
        refuse(f"{error.filename or suite}: {error.strerror}")
    things = sum(len(picture.things) for picture in taken.pictures)
    print(f"{suite / name}: {len(taken.pictures)} pictures with {things} things in them")


def _token(data: Path | None) -> str:
    if token := os.environ.get("HOABAN_API_TOKEN"):
        return token
    path = data_folder(data) / "token"
    try:
        return path.read_text().strip()
    except OSError as error:
        refuse(f"{path}: {error.strerror}; set HOABAN_API_TOKEN, or name the folder of `hoaban up` with --data")


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail") or answer.json().get("title"))
    except ValueError:
        return "no answer of this API"


def _unpack(data: bytes, folder: Path) -> int:
    """Into a folder that is whole or not there; only names of the format are taken. How many pictures."""
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            if parts[-1:] == (FILE,):
                files[FILE] = archive.read(name)
            elif parts[-2:-1] == (PICTURES,) and parts[-1].endswith(".jpg"):
                files[f"{PICTURES}/{parts[-1]}"] = archive.read(name)
    write_labels(folder, files)
    return sum(name != FILE for name in files)
