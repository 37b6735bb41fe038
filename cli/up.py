"""`hoaban up`: the whole system on this machine, or its control parts beside a Ray cluster."""

import fcntl
import os
import shutil
import signal
import ssl
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import structlog
import typer
from platformdirs import user_data_path

from actors.access_file import AccessFileError, load_access
from actors.cluster import ClusterAwayError
from actors.fleet_file import Texts, fleet_of, read_texts
from actors.last_good import LastGoodError, LastGoodFile
from actors.processes import port_taken
from cli.common import file_names, one_line, refuse, say
from cli.system import StoppedError, System
from cli.trouble import TroubleError
from hoaban.fleet_text import FleetErrors
from hoaban.models.backend import ModelError

if TYPE_CHECKING:
    from serve.deployment import Tls

log = structlog.get_logger(__name__)

LEAST_FREE_BYTES = 64 * 2**20
"""below it the stores cannot even begin"""


def up(
    fleet: Annotated[list[Path] | None, typer.Argument(metavar="[FLEET]", help="fleet file(s); none: the demo")] = None,
    data: Annotated[Path | None, typer.Option(help="folder for the stores, spools and tokens")] = None,
    ray_address: Annotated[str | None, typer.Option(help="a running Ray cluster; none: a local one is started")] = None,
    api_port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    dashboard_port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard")] = False,
    no_api: Annotated[bool, typer.Option("--no-api", help="Serve runs it by a file: see docs/kubernetes.md")] = False,
    tls_certificate: Annotated[Path | None, typer.Option(metavar="PEM", help="the API speaks https with it")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="the certificate's key")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="end a system that already runs in the cluster")] = False,
    last_good: Annotated[
        bool, typer.Option("--last-good", help="a refused fleet file gives way to the last good one in --data")
    ] = False,
    for_s: Annotated[float | None, typer.Option("--for", min=0, metavar="SECONDS", help="stop by itself")] = None,
) -> None:
    """Run a fleet: cameras, models, store, API and dashboard. Ctrl-C stops all of it."""
    data = (data or user_data_path("hoaban")).resolve()
    texts = _fleet_to_run(fleet, LastGoodFile(data) if last_good else None) if fleet else ()
    if not no_dashboard and api_port == dashboard_port:
        refuse(f"API and dashboard cannot share port {api_port}; give --api-port and --dashboard-port different ones")
    tls = _tls(tls_certificate, tls_key)
    from actors.integrations.file import load_integrations

    try:
        access = load_access()
        integrations = load_integrations()
    except AccessFileError as error:
        refuse(str(error))
    lock = _take(data)
    ports = {"--api-port": None if no_api else api_port, "--dashboard-port": None if no_dashboard else dashboard_port}
    for option, port in ports.items():
        if port is not None and port_taken(port):
            refuse(f"port {port} is taken; choose another with {option}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    system = System(data, stop, access, integrations, tls, with_api=not no_api)
    code, unfit = 0, ""
    try:
        system.start(fleet or [], texts, ray_address, api_port, None if no_dashboard else dashboard_port, replace)
        system.wait(for_s)
    except StoppedError:
        pass
    except typer.Exit as refused:
        code = refused.exit_code
    except (TroubleError, ClusterAwayError, ModelError) as error:
        unfit = str(error)
    except Exception as error:  # of Ray, Valkey, Serve: what they say, and not through how many calls it came
        say(f"hoaban up: could not go on: {type(error).__name__}: {one_line(error)}; see the logs in {data}")
        log.debug("could not go on", exc_info=True)
        code = 1
    finally:
        # A second Ctrl-C must not leave half of it running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        system.stop()
        lock.close()
    if unfit:
        refuse(unfit)
    raise typer.Exit(code)


def _fleet_to_run(files: Sequence[Path], kept: LastGoodFile | None) -> Texts:
    """The fleet files as they are written, or all that is wrong with them and exit code 2.

    kept: where nobody is there to mend them, the last good ones are run instead, and are among what is returned.
    """
    texts: Texts = ()
    try:
        texts = read_texts(files)
        fleet_of(texts)
    except FleetErrors as errors:
        print(errors, file=sys.stderr)
        if kept is None:
            raise typer.Exit(2) from None
    else:
        return texts
    try:
        found = kept.find(file_names(files))
        found.fleet(os.environ)
    except LastGoodError as error:
        refuse(f"{error}; mend the fleet file")
    say(f"the last good fleet, of {found.when}, runs until the file is mended")
    return [*found.files, *texts]


def _take(data: Path) -> IO[str]:
    """The data folder, made and locked for this process. Refuses one that is held, cannot be written or has no room."""
    other = "name another folder with --data"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "lock").open("w")
        free = shutil.disk_usage(data).free
    except OSError as error:
        refuse(f"{data}: cannot be made or written: {error.strerror}; give this user the right to, or {other}")
    if free < LEAST_FREE_BYTES:
        refuse(f"{data}: {free // 2**20} MiB are free, {LEAST_FREE_BYTES // 2**20} are least; make room, or {other}")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        refuse(f"{data}: another `hoaban up` runs on this folder; stop it, or {other}")
    return lock


def _tls(certificate: Path | None, key: Path | None) -> "Tls | None":
    """Both files, looked at before anything starts; exit code 2 for what is no certificate and its key."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        refuse("--tls-certificate and --tls-key belong together; give both")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or str(error)
        refuse(f"{certificate}, {key}: not a certificate in PEM and its key ({why}); check the two files")
    from serve.deployment import Tls

    return Tls(certificate.resolve(), key.resolve())
