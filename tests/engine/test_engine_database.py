"""The engines of a run share a database, and nothing of one is left for the next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.core.identity import Kind
from segctl.core.resources import ResourceLimits
from segctl.engine.database import Database
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import InlineRows
from segctl.session.engine_session import engine_session


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path, threads=1)
    yield database
    database.close()


def query(engine: DuckEngine, text: str) -> object:
    return engine._db.execute(text).fetchall()


def test_the_next_engine_finds_no_table_no_variable_and_the_same_settings(
    database: Database, tmp_path: Path
) -> None:
    first = DuckEngine(tmp_path, database=database)
    first_tables = query(first, "SHOW TABLES")
    query(first, "CREATE TABLE delta AS SELECT 1")
    query(first, "CREATE TEMP TABLE pairs AS SELECT 1")
    query(first, "SET VARIABLE wanted = 1")
    query(first, "SET preserve_insertion_order = true")
    first.close()
    second = DuckEngine(tmp_path, database=database)
    assert query(second, "SHOW TABLES") == first_tables
    assert query(second, "SELECT getvariable('wanted')") == [(None,)]
    assert query(second, "SELECT current_setting('preserve_insertion_order')") == [(False,)]
    assert len(second._db.execute("FROM duckdb_databases() WHERE NOT internal").fetchall()) == 2
    second.close()


def test_an_engine_frees_its_memory(database: Database, tmp_path: Path) -> None:
    engine = DuckEngine(tmp_path, database=database)
    query(engine, "CREATE TABLE members AS SELECT range::VARCHAR AS value FROM range(300_000)")
    query(engine, "CREATE TEMP TABLE others AS FROM members")
    used = "SELECT sum(memory_usage_bytes) > 0 FROM duckdb_memory()"
    assert query(engine, used) == [(True,)]
    engine.close()
    assert database._root.execute(used).fetchall() == [(False,)]


def test_a_session_opens_one_database_for_all_its_engines(tmp_path: Path) -> None:
    with engine_session(ResourceLimits(), tmp_path) as session:
        databases = []
        for value in ("ada", "grace"):
            engine = session.open_engine()
            engine.load(InlineRows(kind=Kind.IDENTITY, values=[value]), targets=[0])
            databases.append(session._database)
        assert databases[0] is databases[1] is not None
    assert session._database is None
