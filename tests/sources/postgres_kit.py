"""A PostgreSQL server of the tests' own: in a folder for temporary files, on a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

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
    """A running server; ``databases`` were made on demand, by their encoding."""

    folder: Path
    port: int
    databases: set[str] = field(default_factory=set)

    def url(self, database: str = "postgres", *, user: str = OWNER) -> str:
        """Give the URL of a database, with the password in it."""
        word = PASSWORD.replace("/", "%2F").replace(":", "%3A").replace("@", "%40")
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Give the rows of a query."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def readers(self) -> list[int]:
        """Give the processes that serve segctl."""
        found = self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'segctl'")
        return [pid for (pid,) in found]

    def is_quiet(self) -> bool:
        """Wait until nobody serves segctl; a process takes a moment to see that it is left."""
        end = time.monotonic() + float(PATIENCE)
        while self.readers() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.readers()

    def database(self, encoding: str) -> str:
        """Give the name of a database with an encoding; it is empty at first."""
        name = encoding.lower()
        if name not in self.databases:
            self.databases.add(name)
            self.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        return name

    def stop(self) -> None:
        """End the server at once, as a power cut would."""
        _control(self.folder, "stop", "-m", "immediate")

    def start(self) -> None:
        """Start it, again or for the first time."""
        settings = {
            **_SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        words = " ".join(f"-c {name}={value}" for name, value in settings.items())
        _control(self.folder, "start", "-o", words, "-l", str(self.folder / "log"))


@contextmanager
def running() -> Iterator[Server]:
    """Make a server and start it; end it and remove it afterwards, whatever happens."""
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
        server = Server(folder=folder, port=_free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account() -> str | None:
    """Give who runs the server where we are root: the user that Debian's package makes."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _control(folder: Path, command: str, *words: str) -> None:
    _program("pg_ctl", command, "--pgdata", str(folder / "data"), "-w", "-t", PATIENCE, *words)


def _program(name: str, *words: str) -> None:
    """Run one of the server's programs to its end."""
    account: Mapping[str, Any] = {}
    if user := _account():
        account = {"user": user, "group": user, "extra_groups": []}
    # To a file, not a pipe: the server would keep its end of one open.
    with tempfile.TemporaryFile() as said:
        ended = subprocess.run(
            [_path(name), *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            check=False,
            **account,
        )
        said.seek(0)
        assert ended.returncode == 0, said.read().decode()


def _path(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parents[1].name),
    )
    assert versions, f"there is no {name}: run .ci/postgres"
    return str(versions[-1])
