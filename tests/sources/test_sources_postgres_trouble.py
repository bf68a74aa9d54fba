"""A PostgreSQL server that refuses, fails or hangs causes an error, never a partial list."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from segctl.engine.model import SourceError
from segctl.manifests.desired import Connection
from segctl.sources.postgres import fetch, find_database
from tests.sources.postgres_kit import PASSWORD, Server
from tests.sources.postgres_reader import Reader, query


def test_a_connection_without_a_url_in_the_environment_is_an_error() -> None:
    declared = {"warehouse": Connection(variable="WAREHOUSE_URL")}
    with pytest.raises(SourceError) as caught:
        find_database("warehouse", declared, {"WAREHOUSE_URL": " "})
    assert f"{caught.value.summary}. {caught.value.detail}" == (
        "WAREHOUSE_URL is not set in the environment. Set it to "
        "postgresql://USER:PASSWORD@HOST:5432/DATABASE, or change "
        "spec.connections.warehouse.env in segctl.yaml."
    )


def test_a_url_that_ends_in_a_line_break_is_said_and_not_shown() -> None:
    declared = {"warehouse": Connection(variable="WAREHOUSE_URL")}
    with pytest.raises(SourceError) as caught:
        find_database("warehouse", declared, {"WAREHOUSE_URL": "postgresql://u:s3cret@h/d\n"})
    assert caught.value.summary == "WAREHOUSE_URL ends in a line break"
    assert "s3cret" not in caught.value.detail


_LOGIN = (
    "connection-failed: the server rejected the login. "
    "Check the user and the password in WAREHOUSE_URL."
)
_TLS = (
    "connection-failed: the TLS connection cannot be set up. "
    "Check sslmode and sslrootcert in WAREHOUSE_URL."
)
_HOST = (
    "connection-failed: the host name cannot be resolved. Check the host in WAREHOUSE_URL. "
    "Write special characters of the password as %XX."
)
_URL = (
    "connection-url: the value of WAREHOUSE_URL is not the URL of a PostgreSQL database. "
    "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with special characters as %XX."
)

FAILED: list[tuple[Callable[[Server], str], str]] = [
    (lambda server: server.url().replace("s3cret", "guessed"), _LOGIN),
    (lambda server: server.url(user="nobody"), _LOGIN),
    (
        lambda server: server.url("elsewhere"),
        (
            "connection-failed: the database does not exist on the server. "
            "Check the database in WAREHOUSE_URL."
        ),
    ),
    (lambda server: server.url().replace("127.0.0.1", "warehouse.invalid"), _HOST),
    (
        lambda server: f"postgresql://owner:{PASSWORD}@127.0.0.1:{server.port}/postgres",
        _HOST,
    ),
    (
        lambda server: server.url().replace(str(server.port), "1"),
        (
            "connection-failed: the connection was refused. "
            "Check the host and the port in WAREHOUSE_URL, the network, and that the server runs."
        ),
    ),
    (
        lambda server: f"host={server.folder}/none user=owner password={PASSWORD}",
        (
            "connection-failed: the server's socket does not exist. "
            "Check the socket's folder in WAREHOUSE_URL."
        ),
    ),
    (
        lambda server: f"{server.url()}?sslmode=require",
        _TLS,
    ),
    (
        lambda server: f"{server.url()}?sslmode=verify-full&sslrootcert={server.folder}/none",
        _TLS,
    ),
    (
        lambda server: f"{server.url()}?sslmode=perhaps",
        _TLS,
    ),
    (lambda _: f"{PASSWORD} and more", _URL),
    (lambda _: "postgresql://owner:a word@localhost/x", _URL),
    (
        lambda _: "service=secret",
        ('connection-failed: the connection failed. Run psql "$WAREHOUSE_URL" to see the reason.'),
    ),
]


@pytest.mark.parametrize(("url", "message"), FAILED)
def test_a_failed_connection_is_explained_without_its_url(
    reader: Reader, url: Callable[[Server], str], message: str
) -> None:
    source = query("SELECT 'a' AS identity")
    assert reader.error(source, url=url(reader.server)) == message


def test_the_server_ends_a_query_at_its_time_limit(reader: Reader) -> None:
    source = query("SELECT pg_sleep(60)::text AS identity")
    assert reader.error(source, timeout_seconds=0.3) == (
        "query-timeout: the query ran longer than 0.3 seconds. "
        "Make it faster, or raise spec.connections.warehouse.timeoutSeconds in segctl.yaml."
    )
    assert reader.server.is_quiet()


ENDLESS = """SELECT repeat('x', 200) || n AS identity
    FROM (SELECT generate_series(1, 1000000000) AS n) AS endless"""


@contextmanager
def during_copy(reader: Reader, act: Callable[[int], object]) -> Iterator[None]:
    """Call ``act`` with the ID of the server's process when some rows are in the file."""
    done = threading.Event()

    def wait() -> None:
        while not (reader.file.exists() and reader.file.stat().st_size > 1_000_000):
            if done.wait(0.01):
                return
        [pid] = reader.server.readers()
        act(pid)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


LOST = "The incomplete data is not used. Run the same command again."


def test_a_connection_that_ends_during_the_copy_is_an_error(reader: Reader) -> None:
    with during_copy(reader, lambda pid: reader.server.run(f"SELECT pg_terminate_backend({pid})")):
        message = reader.error(query(ENDLESS))
    assert message == f"connection-lost: the connection was lost while rows were read. {LOST}"


def test_a_server_that_dies_during_the_copy_is_an_error(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        with during_copy(reader, lambda _: reader.server.stop()):
            message = reader.error(query(ENDLESS))
    finally:
        reader.server.start()
    assert caplog.text == ""
    assert message == f"connection-lost: the connection was lost while rows were read. {LOST}"


def test_a_query_that_is_canceled_is_an_error(reader: Reader) -> None:
    with during_copy(reader, lambda pid: reader.server.run(f"SELECT pg_cancel_backend({pid})")):
        message = reader.error(query(ENDLESS))
    assert message == "query-failed: the server canceled the query. Run the same command again."


def test_a_server_that_hangs_is_an_error(reader: Reader) -> None:
    stopped: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    database = reader.database(timeout_seconds=1.0)
    try:
        with during_copy(reader, stop), pytest.raises(SourceError) as caught:
            fetch(query(ENDLESS), database, reader.file, grace_seconds=0.5)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert caught.value.summary == "the server stopped responding"


def test_an_error_in_the_last_row_is_an_error_of_the_source(reader: Reader) -> None:
    source = query("SELECT (1 / (100000 - n))::text AS identity FROM generate_series(1, 100000) n")
    assert reader.error(source) == (
        "query-failed: the query failed: division by zero (22012). "
        "The full message may contain your data. Run the query in psql to see it."
    )


def test_rows_that_are_lost_after_the_copy_are_an_error(reader: Reader) -> None:
    rows = fetch(
        query("SELECT n::text AS identity FROM generate_series(1, 9) AS n"),
        reader.database(),
        reader.file,
    )
    text = reader.file.read_bytes()
    reader.file.write_bytes(text[: text.rindex(b"9")])
    with pytest.raises(SourceError) as caught:
        reader.engine.load(rows, targets=[0])
    assert caught.value.summary == "the database sent 9 rows, but 8 could be read"


def test_a_missing_library_is_an_error_that_says_how_to_install_it(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert reader.error(query("SELECT 'a' AS identity")) == (
        "missing-library: reading from PostgreSQL needs the library psycopg, which is not "
        "installed. Install it: pip install 'segctl[postgres]'."
    )
