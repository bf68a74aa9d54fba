"""A PostgreSQL that refuses, breaks, hangs or dies: clear words, and never a short list."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segctl.engine.base import SourceError
from segctl.manifests.desired import Connection
from segctl.sources.postgres import database, fetch
from tests.sources.postgres_kit import PASSWORD, Server
from tests.sources.postgres_reader import Reader, query


@pytest.fixture
def reader(postgres: Server, tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(postgres, tmp_path)
    yield reader
    reader.engine.close()


def test_a_database_whose_url_is_not_in_the_environment_is_refused() -> None:
    declared = {"warehouse": Connection(variable="WAREHOUSE_URL")}
    with pytest.raises(SourceError) as caught:
        database("warehouse", declared, {"WAREHOUSE_URL": " "})
    assert f"{caught.value.summary}. {caught.value.detail}" == (
        "WAREHOUSE_URL is not set in the environment. Set it to "
        "postgresql://USER:PASSWORD@HOST:5432/DATABASE, or change "
        "spec.connections.warehouse.env in segctl.yaml."
    )


_LOGIN = (
    "connection-failed: the server refuses the login. Check user and password in WAREHOUSE_URL."
)
_HOST = (
    "connection-failed: its host is not known. Check the host in WAREHOUSE_URL; "
    "a password in front of it has %XX for special characters."
)
_URL = (
    "connection-url: what WAREHOUSE_URL holds is no URL of a PostgreSQL database. "
    "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with special characters as %XX."
)

REFUSED: list[tuple[Callable[[Server], str], str]] = [
    (lambda server: server.url().replace("s3cret", "guessed"), _LOGIN),
    (lambda server: server.url(user="nobody"), _LOGIN),
    (
        lambda server: server.url("elsewhere"),
        "connection-failed: the server has no such database. Check the database in WAREHOUSE_URL.",
    ),
    (lambda server: server.url().replace("127.0.0.1", "warehouse.invalid"), _HOST),
    (
        lambda server: f"postgresql://owner:{PASSWORD}@127.0.0.1:{server.port}/postgres",
        _HOST,
    ),
    (
        lambda server: server.url().replace(str(server.port), "1"),
        (
            "connection-failed: nothing listens there. "
            "Check host and port in WAREHOUSE_URL; is the server running?"
        ),
    ),
    (
        lambda server: f"host={server.folder}/none user=owner password={PASSWORD}",
        "connection-failed: nothing listens there. Check the socket's folder in WAREHOUSE_URL.",
    ),
    (
        lambda server: f"{server.url()}?sslmode=require",
        "connection-failed: TLS fails. Check sslmode and sslrootcert in WAREHOUSE_URL.",
    ),
    (
        lambda server: f"{server.url()}?sslmode=verify-full&sslrootcert={server.folder}/none",
        "connection-failed: TLS fails. Check sslmode and sslrootcert in WAREHOUSE_URL.",
    ),
    (
        lambda server: f"{server.url()}?sslmode=perhaps",
        "connection-failed: TLS fails. Check sslmode and sslrootcert in WAREHOUSE_URL.",
    ),
    (lambda _: f"{PASSWORD} and more", _URL),
    (lambda _: "postgresql://owner:a word@localhost/x", _URL),
    (
        lambda _: "service=secret",
        'connection-failed: the connection fails. psql "$WAREHOUSE_URL" shows why.',
    ),
]


@pytest.mark.parametrize(("url", "said"), REFUSED)
def test_a_connection_that_fails_is_explained_without_its_url(
    reader: Reader, url: Callable[[Server], str], said: str
) -> None:
    source = query("SELECT 'a' AS identity")
    assert reader.refused(source, url=url(reader.server)) == said


def test_a_query_that_takes_too_long_is_ended_by_the_server(reader: Reader) -> None:
    source = query("SELECT pg_sleep(60)::text AS identity")
    assert reader.refused(source, timeout_seconds=0.3) == (
        "query-timeout: the query runs longer than 0.3 seconds. "
        "Make it faster, or raise spec.connections.warehouse.timeoutSeconds in segctl.yaml."
    )
    assert reader.server.is_quiet()


ENDLESS = """SELECT repeat('x', 200) || n AS identity
    FROM (SELECT generate_series(1, 1000000000) AS n) AS endless"""


@contextmanager
def in_mid_copy(reader: Reader, act: Callable[[int], object]) -> Iterator[None]:
    """Act on the server's process once rows have come to the file."""
    over = threading.Event()

    def wait() -> None:
        while not (reader.file.exists() and reader.file.stat().st_size > 1_000_000):
            if over.wait(0.01):
                return
        [pid] = reader.server.readers()
        act(pid)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


LOST = "Nothing of them was used. Run the same command again."


def test_a_connection_that_is_ended_half_way_is_no_short_list(reader: Reader) -> None:
    with in_mid_copy(reader, lambda pid: reader.server.run(f"SELECT pg_terminate_backend({pid})")):
        said = reader.refused(query(ENDLESS))
    assert said == f"connection-lost: the connection broke while rows were read. {LOST}"


def test_a_server_that_is_killed_half_way_is_no_short_list(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        with in_mid_copy(reader, lambda _: reader.server.stop()):
            said = reader.refused(query(ENDLESS))
    finally:
        reader.server.start()
    assert caplog.text == ""
    assert said == f"connection-lost: the connection broke while rows were read. {LOST}"


def test_a_query_that_somebody_cancels_is_no_short_list(reader: Reader) -> None:
    with in_mid_copy(reader, lambda pid: reader.server.run(f"SELECT pg_cancel_backend({pid})")):
        said = reader.refused(query(ENDLESS))
    assert said == "query-failed: somebody canceled the query. Run the same command again."


def test_a_server_that_hangs_is_left(reader: Reader) -> None:
    stopped: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)

    soon = reader.database(timeout_seconds=1.0)
    try:
        with in_mid_copy(reader, stop), pytest.raises(SourceError) as caught:
            fetch(query(ENDLESS), soon, reader.file, grace_seconds=0.5)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert caught.value.summary == "the server hangs"


def test_an_error_in_the_last_row_leaves_nothing_of_the_first(reader: Reader) -> None:
    source = query("SELECT (1 / (100000 - n))::text AS identity FROM generate_series(1, 100000) n")
    assert reader.refused(source) == (
        "query-failed: the query fails: division by zero (22012). "
        "Its own words may quote your data; run the query in psql to see them."
    )


def test_rows_that_are_lost_after_the_copy_are_noticed(reader: Reader) -> None:
    rows = fetch(
        query("SELECT n::text AS identity FROM generate_series(1, 9) AS n"),
        reader.database(),
        reader.file,
    )
    text = reader.file.read_bytes()
    reader.file.write_bytes(text[: text.rindex(b"9")])
    with pytest.raises(SourceError) as caught:
        reader.engine.load(rows, targets=[0])
    assert caught.value.summary == "the server sent 9 rows, and 8 could be read"


def test_without_the_library_it_says_how_to_install_it(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert reader.refused(query("SELECT 'a' AS identity")) == (
        "missing-library: reading from PostgreSQL needs the library psycopg, which is not "
        "installed. Install it: pip install 'segctl[postgres]'."
    )
