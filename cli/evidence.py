"""`hoaban evidence`: is a package what was signed? Works offline, on folders, zips and tars."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_data_path
from sqlalchemy.exc import SQLAlchemyError

from actors.erasure_log import save
from actors.proof.archive import Files, NotAPackageError, open_package
from actors.proof.files import PackageFiles
from actors.proof.keys import FOLDER, PUBLIC, Keys, read_public
from actors.retention import RESTORED, Eraser
from actors.store import EvidenceRecords, RetentionStore
from cli.common import data_folder, print_json, refuse, store_or_refuse
from cli.recording import recorded
from hoaban.evidence import manifest as m
from hoaban.evidence.erasures import Record, broken
from hoaban.evidence.signing import SigningKeyError, Trusted
from hoaban.evidence.verify import Problem, Verification
from hoaban.evidence.verify import verify as look

app = typer.Typer(no_args_is_help=True, help="Evidence packages: verify them, show and change the signing key.")
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
KEYS_ENV = "HOABAN_EVIDENCE_KEYS"
DataDir = Annotated[Path | None, typer.Option(help="the system's data folder")]


@app.command()
def verify(
    package: Annotated[Path, typer.Argument(help="a folder, zip or tar: evidence, an export, an erasure record")],
    keys: Annotated[
        Path | None,
        typer.Option(help=f"public key(s), a PEM file or a folder of them; default ${KEYS_ENV}, or --data's"),
    ] = None,
    data: DataDir = None,
    tsa_roots: Annotated[Path | None, typer.Option(help="root certificates of timestamp authorities, PEM")] = None,
    require_timestamp: Annotated[
        bool, typer.Option("--require-timestamp", help="a package without a checked timestamp is not good enough")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Whether nothing was changed, removed or added since it was signed, and by whose key. Exit 0: whole; 1: not."""
    trusted = _trusted(keys, data)
    roots = [] if tsa_roots is None else [_read(tsa_roots)]
    if require_timestamp and not roots:
        refuse("--require-timestamp: an authority can only be checked against its root; name it with --tsa-roots")
    try:
        files: Files = open_package(package)
    except OSError as error:
        refuse(f"{package}: cannot be read: {error.strerror or error}; name a folder, a zip or a tar")
    except NotAPackageError as error:
        if package.suffix not in (".zip", ".tar", ".tgz", ".gz"):
            refuse(f"{package}: {error}; name a folder, a zip or a tar of an evidence package")
        found = Verification([Problem("unreadable", "", str(error))])
    else:
        found = look(files, trusted, roots)
    if require_timestamp and (found.stamp is None or not found.stamp.checked) and found.ok:
        found.problems.append(Problem("timestamp", m.STAMP, "there is no timestamp"))
    if json:
        print_json({"package": str(package), **found.as_dict()})
    else:
        _say(package, found)
    raise typer.Exit(0 if found.ok else 1)


@app.command("verify-erasures")
def verify_erasures(
    data: DataDir = None,
    keys: Annotated[Path | None, typer.Option(help="public key(s), a PEM file or a folder; default: --data's")] = None,
    head: Annotated[
        str | None, typer.Option(metavar="SHA256", help="of a record that was once the newest, noted elsewhere")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Whether no record of an erasure was changed, taken out or put in, and what they name is gone.

    Exit 0: so; 1: not.
    """
    trusted = _trusted(keys, data)
    events = store_or_refuse(data_folder(data))
    try:
        kept = RetentionStore(events.engine).records()
        cases = EvidenceRecords(events.engine)
        records = [Record(one.number or 0, one.id, one.manifest or b"", one.signature or b"") for one in kept]
        wrong = broken(records, trusted, head)
        named = {one["id"]: row for row in kept for one in row.plan if one["what"] == "evidence"}
        erased = {case.id for case in cases.erased()}
        wrong += [f"case {id} is erased, and no record says so" for id in sorted(erased - named.keys())]
        done = {id for id, row in named.items() if row.done_s is not None}
        wrong += [f"case {id} is not erased, and a record says it is" for id in sorted(done - erased)]
    except SQLAlchemyError as error:
        refuse(f"the store cannot be read: {str(error).splitlines()[0]}")
    finally:
        events.close()
    newest = m.digest(records[-1].manifest) if records else None
    if json:
        print_json({"sound": not wrong, "records": len(records), "head": newest, "wrong": wrong})
    else:
        print("\n".join(wrong) or f"sound: {len(records)} records; the newest is {newest or 'none'}")
    raise typer.Exit(1 if wrong else 0)


@app.command("save-erasures")
def save_erasures(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="is replaced; keep it apart from database and evidence")],
    data: DataDir = None,
) -> None:
    """Write the signed records of all erasures into a file, for `hoaban restore --erasures`. Each day, say."""
    events = store_or_refuse(data_folder(data))
    try:
        saved = save(RetentionStore(events.engine).records(), out)
    except OSError as error:
        refuse(f"{out}: {error.strerror or error}; name a file in a folder that can be written")
    except SQLAlchemyError as error:
        refuse(f"the store cannot be read: {str(error).splitlines()[0]}")
    finally:
        events.close()
    print(f"{out}: {saved} records")


@app.command("vouch-erasure")
def vouch_erasure(
    erasure: Annotated[str, typer.Argument(metavar="ID", help="as `hoaban_duty_sound` and GET /health/duties name it")],
    plan: Annotated[
        str | None, typer.Option(metavar="SHA256", help="of what you looked at; none: it is shown, and nothing signed")
    ] = None,
    reason: Annotated[str, typer.Option(help="how it is known who began it, in words: it is recorded")] = "",
    data: DataDir = None,
) -> None:
    """Sign an erasure that an earlier version began and did not sign, so that it is finished. Look at it first."""
    if plan is not None and not reason.strip():
        refuse("--reason: empty; say how it is known who began it")
    folder = data_folder(data)
    events = store_or_refuse(folder)
    store, cases = RetentionStore(events.engine), EvidenceRecords(events.engine)
    try:
        eraser = Eraser(store, cases, PackageFiles(str(folder / "evidence")), Keys(folder))
        if plan is None:
            seen = store.erasure(erasure)
            about = {"id": seen.id, "rule": seen.rule, "basis": seen.basis, "by": seen.by_name, "erases": seen.plan}
            print_json(about | {"sha256": seen.sha256})
            refuse(f"{erasure}: nothing is signed; if it is right, the same with --plan {seen.sha256} --reason WHY")
        store.erasure(erasure)
        with recorded(folder, "evidence.vouch_erasure", erasure, reason=reason, plan_sha256=plan):
            eraser.vouch(erasure, plan)
    except KeyError:
        refuse(f"{erasure}: there is no such erasure")
    except (ValueError, OSError) as error:
        refuse(f"{erasure}: {error}")
    except SQLAlchemyError as error:
        refuse(f"the store does not take it: {str(error).splitlines()[0]}")
    finally:
        events.close()
    print(f"{erasure}: signed; the system finishes it")


@app.command("confirm-restore")
def confirm_restore(
    reason: Annotated[str, typer.Option(help="how it is known that the holds are as they were: it is recorded")],
    data: DataDir = None,
) -> None:
    """Let terms erase again after a restore: once the legal holds are there that were placed since the backup."""
    if not reason.strip():
        refuse("--reason: empty; say how it is known that all legal holds are there")
    folder = data_folder(data)
    if not (folder / RESTORED).exists():
        refuse(f"{folder}: no restore waits there to be confirmed; name the folder of `hoaban up` with --data")
    try:
        with recorded(folder, "backup.confirm_restore", str(folder), reason=reason):
            (folder / RESTORED).unlink()
    except OSError as error:
        refuse(f"{folder / RESTORED}: {error.strerror or error}; see that the folder can be written")
    print("terms erase again, within the hour")


@app.command("set-owner")
def set_owner(
    camera: Annotated[str, typer.Argument(help="that left the fleet")],
    agency: Annotated[str, typer.Argument(help="whose it was")],
    reason: Annotated[str, typer.Option(help="how that is known, in words: it is recorded")],
    viewers: Annotated[
        list[str] | None, typer.Option("--viewer", help="role or agency that may see its pictures, too; several times")
    ] = None,
    data: DataDir = None,
) -> None:
    """Say whose evidence is that was sealed before owners were kept. Its owner's people see it, and no others.

    What has an owner keeps it. Exit 2: there is none without.
    """
    for name in (agency, *(viewers or ())):
        if not _ID.fullmatch(name):
            refuse(f"{name!r}: no agency's id: small letters, digits, - and _; write it as the fleet file did")
    if not reason.strip():
        refuse("--reason: empty; say how it is known whose the camera was")
    folder = data_folder(data)
    events = store_or_refuse(folder)
    try:
        records = EvidenceRecords(events.engine)
        if not records.unowned(camera):
            refuse(f"camera {camera!r}: no evidence of it is without an owner; look at its id")
        detail = {"owner": agency, "viewers": viewers or []}
        with recorded(folder, "evidence.owner", camera, reason=reason, **detail):
            kept = records.keep_owner(camera, agency, viewers or [])
    except SQLAlchemyError as error:
        refuse(f"the store does not take it: {str(error).splitlines()[0]}")
    finally:
        events.close()
    print(f"{kept} packages of {camera} are {agency}'s")


@app.command("keys")
def show_keys(data: DataDir = None) -> None:
    """The public keys of a system, in PEM: give them to those who are to verify its packages."""
    for name, pem in Keys(_data(data)).public().items():
        print(f"{name}\n{pem.decode()}")


@app.command("rotate-key")
def rotate_key(data: DataDir = None) -> None:
    """Sign with a new key from now on. The old public key stays, so that what it signed can be verified."""
    try:
        print(Keys(_data(data)).rotate().id)
    except (SigningKeyError, OSError) as error:
        refuse(str(error))


def _data(data: Path | None) -> Path:
    data = data or user_data_path("hoaban")
    if not data.is_dir():
        refuse(f"{data}: there is no such folder; name the system's with --data")
    return data


def _trusted(keys: Path | None, data: Path | None) -> Trusted:
    given = keys or (Path(os.environ[KEYS_ENV]) if os.environ.get(KEYS_ENV) and data is None else None)
    path = given or (data or user_data_path("hoaban")) / FOLDER / PUBLIC
    try:
        trusted = Trusted(read_public(path).values())
    except OSError as error:
        refuse(f"{path}: no public keys: {error.strerror or error}; name them with --keys")
    except SigningKeyError as error:
        refuse(f"{path}: {error}; name public keys in PEM with --keys")
    if not trusted.ids:
        refuse(f"{path}: no public keys in it (*.pem); name them with --keys")
    return trusted


def _read(path: Path) -> bytes:
    try:
        pem = path.read_bytes()
    except OSError as error:
        refuse(f"{path}: cannot be read: {error.strerror}; name a PEM file")
    if b"BEGIN CERTIFICATE" not in pem:
        refuse(f"{path}: no certificate in PEM; name the authority's root")
    return pem


def _say(package: Path, found: Verification) -> None:
    body = {} if found.manifest is None else found.manifest.body
    if found.ok:
        print(f"{package}: whole; {body['kind']} {body['id']}, signed with the key {body['key']}")
        print(_stamp_in_words(found))
        for name in found.erased:
            print(f"{name}: erased since, by a signed record ({m.ERASED})")
        if "evidential" in body and not body["evidential"]:
            print(f"not evidential: {'; '.join(body.get('not_evidential_because') or [])}")
        for one in body.get("erased") or []:
            print(f"erased: {one}")
    else:
        print(f"{package}: NOT what was signed")
    for problem in found.problems:
        print(f"  {problem.code} {problem.file}: {problem.message}")


def _stamp_in_words(found: Verification) -> str:
    if found.stamp is None:
        return "no timestamp: its times are the system's own word"
    against = "" if found.stamp.checked else "; the authority was not checked, give its root with --tsa-roots"
    return f"timestamp {found.stamp.time.isoformat()}{against}"
