"""The running system of `hoaban up`: its parts started one after another, watched, and ended."""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from actors import NAMESPACE
from actors.cluster import ON_HEAD, join_cluster
from actors.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from actors.fleet_file import Texts, read_texts, secrets_of
from cli.common import file_names, fleet_or_refuse, say
from cli.demo.person import DEMO_SIGN_IN, demo_person, end_demo
from cli.ending import CAMERAS_S, Ending, Stage
from cli.trouble import TroubleError, check_redis, open_store
from hoaban.access.settings import AccessSettings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from actors.store import PeopleStore
    from hoaban.access import Role
    from hoaban.integrations import IntegrationSettings
    from serve.deployment import Tls

CONFIGURED = ("HOABAN_STORE_URL", "HOABAN_REDIS_URL", "HOABAN_ACCESS")
"""whoever set one of them runs no demo"""


class StoppedError(Exception):
    """Ctrl-C came while starting."""


class System:
    """Everything `up` started, with how each is ended."""

    def __init__(
        self,
        data: Path,
        stop: threading.Event,
        access: AccessSettings,
        integrations: "tuple[IntegrationSettings, dict[str, SecretStr]]",
        tls: "Tls | None",
        *,
        with_api: bool = True,
    ) -> None:
        self._with_api = with_api
        self._data, self._stop, self._access, self._tls = data, stop, access, tls
        self._integrations = integrations
        # A dashboard that is started elsewhere is given the same one.
        self._viewer_secret = os.environ.get("HOABAN_VIEWER_SECRET") or secrets.token_urlsafe(32)
        self._scheme = "https" if tls else "http"
        self._ending = Ending()
        self._began_s = time.monotonic()
        self._board: Any = None
        self._renewal: Any = None
        self._valkey: Any = None

    def start(
        self,
        fleet: list[Path],
        texts: Texts,
        ray_address: str | None,
        api_port: int,
        dashboard_port: int | None,
        replace: bool,
    ) -> None:
        """fleet: files that were looked at; none: the demo. texts: those in which the names of their secrets stand."""
        fleet_given = bool(fleet)
        if not fleet:
            self._step("demo clips and RTSP server")
            from cli.demo.prepare import prepare

            demo_fleet, server = prepare(self._data)
            self._ending.later(Stage.CAMERAS_AND_DOORS, "RTSP server", server.stop)
            fleet = [demo_fleet]
            fleet_or_refuse(fleet)
            texts = read_texts(fleet)
        redis_url, store_url = self._stores()
        demo = not fleet_given and not any(os.environ.get(name) for name in CONFIGURED)
        intake_token, demo_sign_in = self._tokens(store_url, demo)
        self._ray(ray_address)
        self._make_room(replace)
        files = file_names(fleet)
        from actors.board import Board
        from cli.renewal import Renewal

        self._board = Board(redis_url)
        deploy = self._api(redis_url, store_url, api_port, dashboard_port, files, alone=ray_address is None)
        redeploy = partial(deploy, again=True) if self._with_api else None
        self._renewal = Renewal(self._board, redeploy, say, files)
        self._actors(files, texts, redis_url, store_url)
        if self._with_api:
            self._step("API")
            deploy()
        if dashboard_port is not None:
            self._dashboard(api_port, dashboard_port, intake_token, demo_sign_in)
        say(f"fleet file   {', '.join(str(path) for path in fleet)}")
        say(f"API          {self._scheme}://127.0.0.1:{api_port}/api/v1   token in {self._data / 'token'}")
        if dashboard_port is not None:
            say(f"dashboard    http://127.0.0.1:{dashboard_port}")

    def wait(self, for_s: float | None) -> None:
        """Until Ctrl-C or the time is over; says when the cameras come to life."""
        ends_s = None if for_s is None else time.monotonic() + for_s
        shown = ""
        first_told = False
        while not self._stop.wait(1.0) and (ends_s is None or time.monotonic() < ends_s):
            if self._valkey is not None and not self._valkey.alive:
                say("the embedded Valkey died; it is started again, with what it had taken")
                try:
                    self._valkey.start()
                except EmbeddedRedisError as error:  # the cameras' journals keep what it cannot take
                    say(f"{error}; it is tried again")
            if self._renewal is not None:
                with contextlib.suppress(redis.RedisError):
                    self._renewal.look()
            with contextlib.suppress(Exception):
                statuses = self._board.statuses().values()
                states = [status["state"] for status in statuses]
                line = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
                if line and line != shown:
                    say(f"[{self._elapsed():5.1f} s] cameras: {line}")
                    shown = line
                if not first_told and any(status["tracks"] for status in statuses):
                    say(f"[{self._elapsed():5.1f} s] first detections")
                    first_told = True

    def stop(self) -> None:
        """End all of it."""
        self._ending.now()

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_s

    def _step(self, text: str) -> None:
        if self._stop.is_set():
            raise StoppedError
        say(f"[{self._elapsed():5.1f} s] {text}")

    def _stores(self) -> tuple[str, str]:
        store_url = os.environ.get("HOABAN_STORE_URL") or f"sqlite:///{self._data / 'hoaban.db'}"
        if redis_url := os.environ.get("HOABAN_REDIS_URL"):
            check_redis(redis_url)
            return redis_url, store_url
        self._step("embedded Valkey")
        server = EmbeddedRedis(self._data / "valkey")
        redis_url = server.start()
        self._ending.later(Stage.LIVE_STORE, "Valkey", server.stop)
        self._valkey = server
        return redis_url, store_url

    def _tokens(self, store_url: str, demo: bool) -> tuple[str, str | None]:
        """That of the page for citizens, and in the demo how its person signs in.

        Two tokens are kept in files that only this user can read: that one, and one for the commands of who started
        the system.
        """
        from actors.audit_anchor import Anchor, begin
        from actors.store import AuditStore, PeopleStore
        from hoaban.access import Role

        self._step("store")
        store = open_store(store_url)
        people, audit = PeopleStore(store.engine), AuditStore(store.engine)
        try:
            begin(audit, anchor := Anchor(self._data))
            if not anchor.begun:
                say("the audit chain has no anchor: see `hoaban audit verify`, then `hoaban audit anchor --reason …`")
            # Who starts the system runs it: all that needs no second person beside them.
            self._token(people, "token", "embedded", Role.ADMIN, Role.OPERATOR, Role.OFFICER)
            intake = self._token(people, "intake-token", "page for citizens", Role.INTAKE)
            demo_sign_in = demo_person(people, audit) if demo else end_demo(people, audit)
            if not demo and not people.has_admin():
                say("nobody can sign in as admin yet: hoaban people add NAME --role admin")
            return intake, demo_sign_in
        finally:
            store.close()

    def _token(self, people: "PeopleStore", file: str, name: str, *roles: "Role") -> str:
        path = self._data / file
        try:
            secret = path.read_text(errors="replace").strip() if path.exists() else ""
            if not secret or people.verify(secret) is None:
                _, secret = people.create_token(name, *roles)
                path.touch(mode=0o600)
                path.write_text(secret)
        except OSError as error:
            raise TroubleError(
                f"{path}: {error.strerror}; remove it, so that a new token is made, and see that its disk has room"
            ) from None
        return secret

    def _ray(self, address: str | None) -> None:
        if address is not None and not (os.environ.get("HOABAN_REDIS_URL") and os.environ.get("HOABAN_STORE_URL")):
            raise TroubleError(
                "a cluster's nodes cannot reach servers embedded here: set HOABAN_REDIS_URL and HOABAN_STORE_URL "
                "to servers that every node reaches"
            )
        self._step("Ray")
        import ray

        from actors.local_ray import start_local

        with_logs = bool(os.environ.get("HOABAN_ACTOR_LOGS"))
        if address is None:
            start_local(log_to_driver=with_logs)
        else:
            join_cluster(address, log_to_driver=with_logs)
        self._ending.later(Stage.RAY, "Ray", ray.shutdown)

    def _make_room(self, replace: bool) -> None:
        """A cluster holds one system: another one's actors have other stores, and would be taken for ours by name.

        Raises TroubleError when one is there and may not be ended, or when Serve runs something else: the two would
        share one address.
        """
        import ray
        from ray import serve

        from serve.deployment import APP_NAME

        everyone = ray.util.list_named_actors(all_namespaces=True)
        ours = {entry["name"] for entry in everyone if entry["namespace"] == NAMESPACE}
        serving = self._with_api and any(e["namespace"] == "serve" for e in everyone)
        served = serve.status().applications if serving else {}
        if others := sorted(set(served) - {APP_NAME}):
            raise TroubleError(
                f"Ray Serve in this cluster runs {', '.join(others)} already; give Hoa Ban its own cluster"
            )
        if not ours and not served:
            return
        if not replace:
            raise TroubleError("a Hoa Ban system runs in this cluster already; stop it first, or end it with --replace")
        self._step("ending the system that ran here")
        parts = {"supervisor": "shutdown", "keeper": "stop", "writer": "stop", "evidence": "stop", "courier": "stop"}
        for name, method in parts.items():
            if name in ours:
                _end(ray.get_actor(name, NAMESPACE), method)
        for name in ours - set(parts):  # left by a supervisor that is dead
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, NAMESPACE))
        if self._with_api:
            serve.shutdown()

    def _actors(self, fleet_files: tuple[str, ...], texts: Texts, redis_url: str, store_url: str) -> None:
        self._step("supervisor, inference, cameras")
        import ray

        from actors.courier import CourierActor
        from actors.incidents import KeeperActor
        from actors.proof.sealer import EvidenceActor
        from actors.supervisor import SupervisorActor, SystemSettings
        from actors.writer import WriterActor

        evidence_url = os.environ.get("HOABAN_EVIDENCE_URL") or str(self._data / "evidence")
        settings = SystemSettings(
            secrets.token_hex(8), redis_url, str(self._data), fleet_files, evidence_url, secrets_of(texts)
        )
        common: dict[str, Any] = {
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "max_restarts": -1,
            "num_cpus": 0,
            "resources": ON_HEAD,
        }
        writer = WriterActor.options(name="writer", **common).remote(
            redis_url, store_url, evidence_url, str(self._data)
        )
        self._ending.later(Stage.STORING, "writer", partial(_end, writer, "stop"))
        sealer = EvidenceActor.options(name="evidence", **common).remote(
            store_url, evidence_url, str(self._data), redis_url
        )
        self._ending.later(Stage.STORING, "evidence", partial(_end, sealer, "stop"))
        keeper = KeeperActor.options(name="keeper", **common).remote(redis_url, store_url)
        self._ending.later(Stage.STORING, "keeper", partial(_end, keeper, "stop"))
        parts = [writer, sealer, keeper]
        outside, secrets_outside = self._integrations
        if outside.targets:
            courier = CourierActor.options(name="courier", **common).remote(
                outside, secrets_outside, redis_url, store_url
            )
            self._ending.later(Stage.STORING, "courier", partial(_end, courier, "stop"))
            parts.append(courier)
        supervisor = SupervisorActor.options(name="supervisor", max_concurrency=4, **common).remote(settings)
        self._ending.later(Stage.CAMERAS_AND_DOORS, "supervisor", partial(_end, supervisor, "shutdown", CAMERAS_S))
        ray.get([part.ready.remote() for part in (*parts, supervisor)], timeout=60)

    def _api(
        self,
        redis_url: str,
        store_url: str,
        port: int,
        dashboard_port: int | None,
        fleet_files: tuple[str, ...],
        *,
        alone: bool,
    ) -> Callable[..., Any]:
        """What starts the API; with again=True, it replaces the one that runs."""
        from serve.deployment import deploy, shutdown
        from serve.settings import ApiSettings

        origins = tuple(f"http://{host}:{dashboard_port}" for host in ("127.0.0.1", "localhost") if dashboard_port)
        settings = ApiSettings(
            store_url,
            redis_url,
            secrets.token_urlsafe(32),
            origins,
            data_dir=str(self._data),
            evidence_url=os.environ.get("HOABAN_EVIDENCE_URL"),
            fleet_files=fleet_files,
            access=self._access,
            viewer_secret=self._viewer_secret,
        )
        if self._with_api and not alone:  # a Ray of our own takes Serve with it when it ends
            self._ending.later(Stage.CAMERAS_AND_DOORS, "API", shutdown)
        return partial(deploy, settings, port=port, tls=self._tls)

    def _dashboard(self, api_port: int, port: int, intake_token: str, demo_sign_in: str | None) -> None:
        self._step("dashboard")
        from actors.processes import end, start
        from dashboards.launch import command

        environment = os.environ | {
            "HOABAN_API_URL": f"{self._scheme}://127.0.0.1:{api_port}/api/v1",
            "HOABAN_INTAKE_TOKEN": intake_token,
            "HOABAN_VIEWER_SECRET": self._viewer_secret,
            "HOABAN_DASHBOARD_PROXIES": str(self._access.dashboard_proxies or 0),
        }
        environment.pop(DEMO_SIGN_IN, None)
        if demo_sign_in is not None:
            environment[DEMO_SIGN_IN] = demo_sign_in
        if self._tls is not None:
            environment["HOABAN_API_CERTIFICATE"] = str(self._tls.certificate)
        process = start(command(port), self._data / "dashboard.log", environment)
        self._ending.later(Stage.CAMERAS_AND_DOORS, "dashboard", partial(end, process, limit_s=2.0))


def _end(actor: Any, method: str, *arguments: Any) -> None:
    import ray

    with contextlib.suppress(Exception):
        ray.get(getattr(actor, method).remote(*arguments), timeout=20)
    ray.kill(actor)
