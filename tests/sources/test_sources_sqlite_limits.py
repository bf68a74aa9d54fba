"""A SQLite file whose query, view or log takes too much is an error that says so."""

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.engine.model import SourceError
from segctl.manifests.desired import QueryLimits, SqliteSource
from segctl.sources.sqlite_process import SqliteProcess

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
ENDLESS = NUMBERS + "SELECT CAST(i AS TEXT) AS identity FROM n WHERE i < 0"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE users (email TEXT)")
        db.executemany("INSERT INTO users VALUES (?)", [("ann",), ("bob\t1",), (None,)])
        db.execute(f"CREATE VIEW endless AS {ENDLESS}")
        db.commit()
    return path


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SqliteProcess]:
    process = SqliteProcess(tmp_path)
    yield process
    process.close()


def fetch(
    process: SqliteProcess, database: Path, *, sql: str = "", table: str = "", **limits: float
) -> int:
    """Fetch rows and return their number."""
    source = SqliteSource(
        path="crm.db",
        sql=sql,
        table=table,
        column="identity" if table == "endless" else "email",
        kind=Kind.IDENTITY,
        parameters={},
        location=Location(file="x.yaml"),
    )
    into = database.with_name(f"copy-{len(list(database.parent.iterdir()))}")
    given = QueryLimits(**limits)  # type: ignore[arg-type]  # numbers by name
    return process.fetch(source, database, into, limits=given).rows


def test_one_process_reads_several_sources(process: SqliteProcess, database: Path) -> None:
    assert fetch(process, database, table="users") == 3
    assert fetch(process, database, sql="SELECT email AS identity FROM users") == 3
    with pytest.raises(SourceError, match="no such table: nobody"):
        fetch(process, database, table="nobody")
    assert fetch(process, database, table="users") == 3


@pytest.mark.parametrize("source", [{"sql": ENDLESS}, {"table": "endless"}])
def test_a_query_that_takes_too_long_is_ended(
    source: dict[str, str], process: SqliteProcess, database: Path
) -> None:
    with pytest.raises(SourceError, match="stopped after 1 s, its time limit"):
        fetch(process, database, timeout_seconds=1, **source)  # type: ignore[arg-type]
    assert sorted(f.name for f in database.parent.iterdir()) == ["crm.db"]
    assert fetch(process, database, table="users") == 3


HUNGRY = {
    "one value": "SELECT hex(zeroblob(400000000)) AS identity",
    "many values": NUMBERS + "SELECT hex(zeroblob(1000000)) || i AS identity FROM n",
    "sort": NUMBERS + "SELECT hex(zeroblob(400)) || i AS identity FROM n ORDER BY identity",
    "result": NUMBERS + "SELECT 'u' || hex(zeroblob(400)) || i AS identity FROM n",
}


@pytest.mark.parametrize("sql", HUNGRY.values(), ids=HUNGRY)
def test_a_query_that_takes_too_much_memory_or_disk_is_ended(
    sql: str, process: SqliteProcess, database: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(
            process, database, sql=sql, memory=256_000_000, scratch=50_000_000, timeout_seconds=60
        )
    assert "than it may use" in caught.value.summary
    left = [f for f in database.parent.rglob("*") if f.is_file() and f != database]
    assert not left


def test_a_database_that_vanished_says_so(process: SqliteProcess, database: Path) -> None:
    database.unlink()
    with pytest.raises(SourceError, match="no such file or directory"):
        fetch(process, database, table="users")


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_log_that_is_a_pipe_is_refused(
    suffix: str, process: SqliteProcess, database: Path
) -> None:
    os.mkfifo(f"{database}{suffix}")
    with pytest.raises(SourceError, match=f"crm.db{suffix} is not a regular file"):
        fetch(process, database, table="users", timeout_seconds=20)


def test_a_signal_ends_a_query_at_once(process: SqliteProcess, database: Path) -> None:
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fetch(process, database, sql=ENDLESS)
    timer.join()
