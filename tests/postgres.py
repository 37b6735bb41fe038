"""A PostgreSQL of our own, from the system's package: a cluster in a folder, reached by a Unix socket alone."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from actors.processes import dying_with_us, end

PASSWORD = "only for tests"


def find_binaries() -> Path | None:
    """The newest installed PostgreSQL's programs; Debian keeps them out of PATH."""
    versions = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    found = shutil.which("postgres")
    return Path(found).parent if found else None


class Postgres:
    """A server that can be killed and started again. It refuses root, so as root it runs as the user `postgres`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._as: dict[str, object] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="hoaban-postgres-"))
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._data = self._folder / "data"
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        init = [binaries / "initdb", "-D", self._data, "-U", "hoaban", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        init += ["-A", "scram-sha-256", f"--pwfile={password}"]
        done = subprocess.run(init, capture_output=True, text=True, cwd=self._folder, check=False, **self._as)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start and wait until it answers. One that was killed may need a moment, until its children are gone."""
        command = [self._binaries / "postgres", "-D", self._data, "-k", self._folder]
        command += ["-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=16MB"]
        command += ["-c", "fsync=off"]  # the tests kill processes, not the machine
        ends = time.monotonic() + 60
        while True:
            if self._process is None or self._process.poll() is not None:
                log = (self._folder / "log").open("ab")
                with log:
                    self._process = subprocess.Popen(  # type: ignore[call-overload]
                        command, stdout=log, stderr=log, cwd=self._folder, preexec_fn=dying_with_us(), **self._as
                    )
            with contextlib.suppress(psycopg.OperationalError), self.connect("postgres"):
                return
            assert time.monotonic() < ends, (self._folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._folder), user="hoaban", password=PASSWORD, dbname=database, autocommit=True
        )

    def url(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://hoaban:{password.replace(' ', '%20')}@/{database}?host={self._folder}"

    def create(self, options: str = "", template: str = "template0") -> str:
        """A new database like the template, an empty one by default; its address."""
        name = f"t{secrets.token_hex(6)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {options}")  # type: ignore[arg-type]
        return self.url(name)

    def copy(self, url: str) -> str:
        """A database with all that is in another, to which nobody is connected; its address."""
        return self.create(template=url.partition("@/")[2].partition("?")[0])

    def kill(self) -> None:
        """kill -9 of the postmaster: its children notice, and nothing is written out."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # at once, and tidily: no shared memory is left behind
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)
