"""A PostgreSQL server for tests, in a temporary folder, on a free port."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.sources.buckets_kit import free_port

OWNER, PASSWORD = "owner", "s3cret/of:the@owner"
PATIENCE = "60"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "20",
    "logging_collector": "off",
}


@dataclass(kw_only=True)
class Server:
    """A running server. ``databases`` are the ones created so far, named by their encoding."""

    folder: Path
    port: int
    databases: set[str] = field(default_factory=set)

    def url(self, database: str = "postgres", *, user: str = OWNER) -> str:
        """Return the URL of a database, including the password."""
        word = PASSWORD.replace("/", "%2F").replace(":", "%3A").replace("@", "%40")
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in its own transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def readers(self) -> list[int]:
        """Return the IDs of the server processes with a connection from segctl."""
        found = self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'segctl'")
        return [pid for (pid,) in found]

    def is_quiet(self) -> bool:
        """Wait until no process serves segctl. A closed connection is noticed with a delay."""
        end = time.monotonic() + float(PATIENCE)
        while self.readers() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.readers()

    def database(self, encoding: str) -> str:
        """Return the name of a database with an encoding. It is created empty on the first call."""
        name = encoding.lower()
        if name not in self.databases:
            self.databases.add(name)
            self.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        return name

    def stop(self) -> None:
        """Stop the server at once, as a power cut would."""
        _control(self.folder, "stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server."""
        settings = {
            **_SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        words = " ".join(f"-c {name}={value}" for name, value in settings.items())
        _control(self.folder, "start", "-o", words, "-l", str(self.folder / "log"))


@contextmanager
def running() -> Iterator[Server]:
    """Create and start a server, and stop and remove it afterwards."""
    # Not below pytest's folder, which only its owner may enter: root cannot run a server.
    folder = Path(tempfile.mkdtemp(prefix="segctl-postgres-"))
    try:
        if account := _account():
            shutil.chown(folder, account)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        _program(
            "initdb",
            *("--pgdata", str(folder / "data"), "--username", OWNER, "--pwfile", str(secret)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        server = Server(folder=folder, port=free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _account() -> str | None:
    """Return the account for the server if the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _control(folder: Path, command: str, *words: str) -> None:
    _program("pg_ctl", command, "--pgdata", str(folder / "data"), "-w", "-t", PATIENCE, *words)


def _program(name: str, *words: str) -> None:
    """Run one of the server's programs and wait for it."""
    account: Mapping[str, Any] = {}
    if user := _account():
        account = {"user": user, "group": user, "extra_groups": []}
    # Not a pipe: the server would keep its end open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [_path(name), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            check=False,
            **account,
        )
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def _path(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parents[1].name),
    )
    assert versions, f"{name} is not installed: run .ci/postgres"
    return str(versions[-1])
