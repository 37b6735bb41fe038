"""`hoaban doctor`: the faults that most often keep a system from running, looked for one by one, each with its cure."""

import contextlib
import fcntl
import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil
import redis
import sqlalchemy as sa
import typer
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from platformdirs import user_data_path

import actors.store
from actors.access_file import AccessFileError, load_access
from actors.bus import EventBus
from actors.cluster import ClusterAwayError, reach
from actors.embedded_redis import running_url
from actors.fleet_file import load_fleet
from actors.models import ModelError, find_model
from actors.processes import port_taken
from cli.common import print_json
from cli.trouble import TroubleError, check_redis, shown_store, store_troubles
from hoaban.fleet import Fleet
from hoaban.fleet_text import FleetErrors

LEAST_FREE_BYTES = 5 * 2**30
LEAST_FREE_SHARE = 0.05
MOST_DRIFT_S = 1.0
REPORT_AGE_S = 4.0
"""cameras report once a second: a node whose newest report seems older has a clock that is behind"""
CAMERA_BYTES, MODELS_BYTES = 147 * 2**20, 134 * 2**20
"""measured: see docs/benchmarks.md, what a camera costs before it analyses anything"""
DECODERS, ENCODERS = ("h264", "hevc", "mjpeg", "mpeg4"), ("libx264", "mjpeg")


State = Literal["ok", "fault", "skipped"]
OK: State = "ok"
FAULT: State = "fault"
SKIPPED: State = "skipped"
"""there was nothing to look at"""
Found = Iterator[tuple[State, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. message: for a fault, what is wrong and after a semicolon what to do."""

    check: str
    state: State
    message: str


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at. fleet: None where no file was named, or it has errors."""

    files: tuple[Path, ...]
    data: Path
    ray_address: str | None
    ports: dict[str, int]
    gpu: bool
    fleet: Fleet | None = None

    @property
    def running(self) -> bool:
        """Whether `hoaban up` runs on the data folder."""
        with contextlib.suppress(OSError), (self.data / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


Check = Callable[[Patient], Found]


def doctor(
    fleet: Annotated[list[Path] | None, typer.Argument(metavar="[FLEET]", help="fleet file(s) that are to run")] = None,
    data: Annotated[Path | None, typer.Option(help="data folder of `hoaban up`")] = None,
    ray_address: Annotated[str | None, typer.Option(help="a running Ray cluster; none: this machine alone")] = None,
    api_port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    dashboard_port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    gpu: Annotated[bool, typer.Option("--gpu", help="models must run on a GPU of this machine")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Look for the likeliest faults and say the cure of each. Exit code 1 when there is one. Changes nothing."""
    folder = (data or user_data_path("hoaban")).resolve()
    ports = {"--api-port": api_port, "--dashboard-port": dashboard_port}
    known = None
    with contextlib.suppress(FleetErrors):
        known = load_fleet(fleet) if fleet else None
    patient = Patient(tuple(fleet or ()), folder, ray_address, ports, gpu, known)
    findings = [finding for check in CHECKS for finding in _examine(check, patient)]
    faults = sum(finding.state == "fault" for finding in findings)
    if as_json:
        print_json({"ok": not faults, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print(f"{finding.state.upper() if finding.state == 'fault' else finding.state:8}{finding.message}")
        print(f"{faults} fault{'s' * (faults != 1)}.")
    raise typer.Exit(1 if faults else 0)


def _examine(check: Check, patient: Patient) -> Iterator[Finding]:
    name = check.__name__.removeprefix("_")
    try:
        for state, message in check(patient):
            yield Finding(name, state, message)
    except _NothingThereError as why:
        yield Finding(name, SKIPPED, str(why))
    except (TroubleError, ClusterAwayError, ModelError) as fault:
        yield Finding(name, FAULT, str(fault))


class _NothingThereError(Exception):
    """There is nothing to look at; the message says why."""


@contextlib.contextmanager
def _live_store(patient: Patient, what: str) -> Iterator[str]:
    """The address of the running system's, for reading from it. Raises _NothingThereError."""
    url = running_url(patient.data / "valkey")
    if url is None or (not patient.running and "HOABAN_REDIS_URL" not in os.environ):
        raise _NothingThereError(f"{what}: no live store runs")
    try:
        check_redis(url).close()
        yield url
    except (TroubleError, redis.RedisError):
        raise _NothingThereError(f"{what}: the live store does not answer") from None


def _fleet(patient: Patient) -> Found:
    if not patient.files:
        yield SKIPPED, "fleet: no file was named"
        return
    try:
        found = load_fleet(patient.files)
    except FleetErrors as errors:
        for error in errors.errors:
            yield FAULT, f"{error}"
        return
    yield OK, f"fleet: {len(found.cameras)} cameras, nothing wrong"


def _fleet_in_force(patient: Patient) -> Found:
    """Whether the running system took the fleet file as it is now, and which one it runs otherwise."""
    from actors.board import Board

    with _live_store(patient, "fleet in force") as url:
        view = Board(url).get_json("fleet")
    if view is None:
        yield SKIPPED, "fleet in force: no supervisor has read one yet"
        return
    taken = "none is known" if view.get("digest") is None else f"that of {view.get('taken_at') or 'before'} is"
    if errors := view["errors"]:
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        why = errors[0].replace(";", ",")
        yield FAULT, f"fleet in force: {taken}, since the file is refused: {why}{more}; mend it, it is taken by itself"
    else:
        yield OK, f"fleet in force: {taken}, the file as it is now"


def _disk(patient: Patient) -> Found:
    folder = next(path for path in (patient.data, *patient.data.parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield FAULT, f"{folder}: no folder that this user may write; name another with --data"
        return
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.1f} are free in {folder}"
    if usage.free < LEAST_FREE_BYTES or usage.free < usage.total * LEAST_FREE_SHARE:
        yield FAULT, f"disk: {free}; make room, or name another folder with --data"
        return
    yield OK, f"disk: {free}"


def _store(patient: Patient) -> Found:
    url = os.environ.get("HOABAN_STORE_URL") or f"sqlite:///{patient.data / 'hoaban.db'}"
    with store_troubles(url):
        where = sa.make_url(url)
        file = Path(where.database) if where.get_backend_name() == "sqlite" and where.database else None
        if file is not None and not file.exists():
            yield SKIPPED, f"store {shown_store(url)}: not there yet; `hoaban up` makes it"
            return
        limit = {"timeout": 2} if file else {"connect_timeout": 5}
        engine = sa.create_engine(url, connect_args=limit)
        try:
            with engine.connect() as connection:
                if file:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                have = MigrationContext.configure(connection).get_current_heads()
                connection.rollback()
        finally:
            engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(Path(actors.store.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    revision = ", ".join(have) or "none"
    if set(have) == set(script.get_heads()):
        yield OK, f"store {shown_store(url)}: answers, its tables are this version's"
    elif all(name in {known.revision for known in script.walk_revisions()} for name in have):
        cure = "make a backup, then start `hoaban up`, which brings them up to date"
        yield FAULT, f"store {shown_store(url)}: its tables are old (revision {revision}); {cure}"
    else:
        cure = "run that version, or name another store"
        yield FAULT, f"store {shown_store(url)}: its tables were made by a newer hoaban (revision {revision}); {cure}"


def _redis(patient: Patient) -> Found:
    url = os.environ.get("HOABAN_REDIS_URL")
    if not url:
        yield SKIPPED, "live store: `hoaban up` starts a Valkey of its own"
        return
    check_redis(url).close()
    yield OK, "live store: answers"


def _events(patient: Patient) -> Found:
    """What could not be stored and waits for a person."""
    with _live_store(patient, "events") as url:
        letters = len(EventBus(url).dead())
    if letters:
        yield FAULT, f"events: {letters} could not be stored and were put aside; see `hoaban events dead list`"
    else:
        yield OK, "events: none was put aside"


def _duties(patient: Patient) -> Found:
    """Whether evidence is sealed and what is over erased: an erasure that cannot be finished is told here."""
    from actors.board import Board
    from actors.duties import State as Going
    from actors.duties import states

    with _live_store(patient, "sealing and erasing") as url:
        found = states(Board(url), time.time())
    for one in found:
        if one.state is Going.FAILING:
            yield (
                FAULT,
                f"{one.duty}: it fails: {(one.why or '').replace(';', ',')}; mend that, it is tried again by itself",
            )
        elif one.state is Going.SILENT and patient.running:
            yield FAULT, f"{one.duty}: nothing is heard of it; see that `hoaban up` runs, and its log"
        else:
            yield OK, f"{one.duty}: {one.state}"


def _clocks(patient: Patient) -> Found:
    """Every node's clock against that of the live store's machine, from what its cameras reported just now."""
    from actors.board import Board

    url = os.environ.get("HOABAN_REDIS_URL")
    if not url:
        yield SKIPPED, "clocks: without HOABAN_REDIS_URL there is one machine"
        return
    try:
        client = check_redis(url)
    except TroubleError:
        yield SKIPPED, "clocks: the live store does not answer"
        return
    seconds, micros = client.time()
    store_s = seconds + micros / 1e6
    clocks = {"this machine": time.time() - store_s}
    statuses = Board(url).statuses().values()
    for status in statuses:
        if not status.get("node"):
            continue  # told by the supervisor, of a camera that does not run
        node = f"node {status['node'][:8]}"
        clocks[node] = max(clocks.get(node, float("-inf")), status["reported_s"] - store_s)
    for whose, ahead_s in clocks.items():
        behind_s = MOST_DRIFT_S if whose == "this machine" else REPORT_AGE_S
        if not -behind_s <= ahead_s <= MOST_DRIFT_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            yield FAULT, f"{whose}: its clock is {abs(ahead_s):.1f} s {way} the live store's; set both by NTP"
        else:
            yield OK, f"{whose}: its clock agrees with the live store's"
    for status in statuses:
        if reason := (status.get("faults") or {}).get("wrong_time"):
            yield FAULT, f"camera {status['camera']}: {reason.replace(';', ',')}; set its clock by NTP"


def _ray(patient: Patient) -> Found:
    if patient.ray_address is None:
        yield SKIPPED, "Ray: `hoaban up` starts one of its own"
        return
    reach(patient.ray_address)
    yield OK, f"Ray: the cluster at {patient.ray_address} answers"


def _models(patient: Patient) -> Found:
    if patient.fleet is None:
        yield SKIPPED, "models: no sound fleet file was named"
        return
    wanted = {name for camera in patient.fleet.cameras for name in (camera.model, camera.face_model) if name}
    for name in sorted(wanted):
        try:
            card = find_model(name).card
            for part in (card.faces.detector, card.faces.embedder) if card.faces else ():
                find_model(part)
        except ModelError as error:
            yield FAULT, f"{error}"
        else:
            yield OK, f"model {name}: here, and as its card says"


def _gpu(patient: Patient) -> Found:
    import onnxruntime

    there = glob.glob("/dev/nvidia[0-9]*")
    usable = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if there and not usable:
        yield FAULT, "GPU: there is one, but this onnxruntime has no CUDA; install onnxruntime-gpu"
        return
    if patient.gpu and not there:
        yield FAULT, "GPU: this machine shows none; install NVIDIA's driver, or run without --gpu"
        return
    yield OK, f"GPU: {'models run on it' if there else 'none, models run on the processor'}"


def _ports(patient: Patient) -> Found:
    if patient.running:
        yield SKIPPED, "ports: a system runs on this data folder"
        return
    for option, port in patient.ports.items():
        if port_taken(port):
            yield FAULT, f"port {port} is taken; end who holds it, or choose another with {option}"
        else:
            yield OK, f"port {port}: free"


def _viewers(_: Patient) -> Found:
    """Behind a front proxy all viewers have its address, and share what one address may try."""
    try:
        proxies = load_access().dashboard_proxies
    except AccessFileError as error:
        yield FAULT, str(error)
        return
    if proxies is None:
        yield (
            SKIPPED,
            (
                "viewers: not known how many proxies stand before the dashboard; behind one all viewers count as one "
                "address: set dashboard_proxies in the file that HOABAN_ACCESS names"
            ),
        )
        return
    yield OK, f"viewers: {proxies} proxies stand before the dashboard"


def _codecs(patient: Patient) -> Found:
    import av

    missing = []
    for name, mode in (*((name, "r") for name in DECODERS), *((name, "w") for name in ENCODERS)):
        try:
            av.Codec(name, mode)
        except ValueError:  # UnknownCodecError
            missing.append(name)
    if missing:
        yield FAULT, f"FFmpeg in PyAV lacks {', '.join(missing)}; install the package av from PyPI"
        return
    yield OK, f"FFmpeg: has {', '.join((*DECODERS, *ENCODERS))}"


def _memory(patient: Patient) -> Found:
    cameras = 0 if patient.fleet is None else sum(camera.enabled for camera in patient.fleet.cameras)
    need, free = MODELS_BYTES + cameras * CAMERA_BYTES, psutil.virtual_memory().available
    told = f"{free / 2**30:.1f} GiB are free, {cameras} cameras and their models take about {need / 2**30:.1f} to begin"
    if need > free and not patient.running and patient.ray_address is None:
        yield FAULT, f"memory: {told}; add memory, or spread the cameras over a cluster with --ray-address"
        return
    yield OK, f"memory: {told}"


CHECKS: tuple[Check, ...] = (
    _fleet, _fleet_in_force, _disk, _store, _redis, _events, _duties, _clocks, _ray, _models, _gpu, _ports, _viewers,
    _codecs, _memory,
)  # fmt: skip
