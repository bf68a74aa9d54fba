"""Rows of SQLite files."""

import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.diagnostics import Location
from segctl.core.identity import IdentityProblem, Kind, find_problem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import CopiedRows, LoadStats, RecordedFiles, SourceError
from segctl.manifests.desired import SqliteSource
from segctl.sources.sqlite import fetch

USERS = """
CREATE TABLE users (email TEXT, tier TEXT, n INTEGER, x, y REAL, z BLOB);
INSERT INTO users VALUES ('a', 'gold', 7, '007', 1.5, x'61'), ('b', 'silver', 8, 8, NULL, NULL),
  ('a', 'gold', NULL, NULL, NULL, NULL), (NULL, 'gold', NULL, NULL, NULL, NULL);
CREATE VIEW "the ""gold"" ones" AS SELECT email FROM users WHERE tier = 'gold' AND email NOT NULL;
"""


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    path = tmp_path / "crm [1].db"
    make_database(path, USERS)
    return path


def make_database(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
        db.commit()
    return path


def fetch_rows(path: Path, *, segment_column: str | None = None, **fields: Any) -> CopiedRows:
    """Copy a source as a manifest declares it."""
    source = SqliteSource(path=path.name, location=Location(file="a.yaml"), **fields)
    number = len(list(path.parent.glob("fetched*")))
    into = path.parent / f"fetched_{number}"
    return fetch(source, path, into, segment_column=segment_column, lock_timeout_seconds=0.05)


def load(engine: DuckEngine, rows: CopiedRows) -> tuple[LoadStats, list[tuple[Kind, str]]]:
    number = engine.load(rows, targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    return diff.loads[number], list(diff.targets[0].sample.add)


@pytest.mark.parametrize(
    "fields",
    [
        {"table": "users", "column": "email"},
        {"sql": "SELECT email AS identity FROM users;"},
        {"sql": 'SELECT "email" AS "Identity" FROM "users" -- "all"'},
        {"sql": "WITH u AS (SELECT * FROM users) SELECT NULL AS guid, email AS identity FROM u"},
    ],
)
def test_members_are_the_text_of_a_table_or_a_query(
    engine: DuckEngine, crm: Path, fields: dict[str, Any]
) -> None:
    stats, members = load(engine, fetch_rows(crm, **fields))
    assert members == [(Kind.IDENTITY, "a"), (Kind.IDENTITY, "b")]
    assert (stats.rows, stats.duplicates, stats.invalid) == (4, 1, {IdentityProblem.NULL: 1})


def test_a_view_of_guids_may_have_any_name(engine: DuckEngine, crm: Path) -> None:
    rows = fetch_rows(crm, table='the "gold" ones', column="email", kind=Kind.GUID)
    assert load(engine, rows)[1] == [(Kind.GUID, "a")]


@pytest.mark.parametrize(
    "fields",
    [{"table": "users", "column": "email"}, {"sql": "SELECT email AS identity, tier FROM users"}],
)
def test_a_column_holds_the_segment_of_a_row(
    engine: DuckEngine, crm: Path, fields: dict[str, Any]
) -> None:
    engine.load(fetch_rows(crm, segment_column="tier", **fields), targets={"gold": 0, "silver": 1})
    for target in (0, 1):
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    diff = engine.diff()
    assert [diff.targets[n].sample.add[0][1] for n in (0, 1)] == ["a", "b"]


def test_a_variable_is_bound_and_never_pasted(engine: DuckEngine, crm: Path) -> None:
    sql = "SELECT email AS identity FROM users WHERE tier = $tier"
    assert load(engine, fetch_rows(crm, sql=sql, parameters={"tier": "x' OR '1'='1"}))[1] == []
    assert fetch_rows(crm, sql=sql, parameters={"tier": "silver", "other": ""}).rows == 1


@settings(max_examples=40)
@given(st.lists(st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace").decode())))
def test_every_text_is_copied_unchanged(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    path = make_database(folder / "t.db", "CREATE TABLE t (identity TEXT)")
    with closing(sqlite3.connect(path)) as db:
        db.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        db.commit()
    engine = DuckEngine(folder, threads=1)
    try:
        stats, members = load(engine, fetch_rows(path, table="t"))
    finally:
        engine.close()
    expected = {value for value in values if find_problem(value) is None}
    assert (stats.rows, [v for _, v in members]) == (len(values), sorted(expected)[:10])


def test_many_rows_are_copied_in_batches(engine: DuckEngine, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (identity TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
        "SELECT i + 1 FROM n WHERE i < 25001) INSERT INTO t SELECT 'u' || i FROM n"
    )
    stats, _ = load(engine, fetch_rows(make_database(tmp_path / "t.db", script), table="t"))
    assert (stats.rows, stats.duplicates) == (25_001, 0)


# Errors


@pytest.mark.parametrize(
    ("value", "text"),
    [("7", "7"), ("'007'", "007"), ("-9223372036854775808", "-9223372036854775808"),
     ("CAST('0012' AS INTEGER)", "12")],
)  # fmt: skip
def test_a_whole_number_is_taken_as_it_is_stored(
    engine: DuckEngine, crm: Path, value: str, text: str
) -> None:
    rows = fetch_rows(crm, sql=f"SELECT {value} AS identity UNION ALL SELECT 'a'")
    assert load(engine, rows)[1] == [(Kind.IDENTITY, text), (Kind.IDENTITY, "a")]


@pytest.mark.parametrize("around", ["{};", "{}; -- it's ;", "{};; /* a ; */ ;", "; {}", "{} /* c"])
def test_semicolons_and_comments_may_surround_a_query(
    engine: DuckEngine, crm: Path, around: str
) -> None:
    sql = "SELECT ';' AS identity, 'a' AS [b;--c]"
    assert load(engine, fetch_rows(crm, sql=around.format(sql)))[1] == [(Kind.IDENTITY, ";")]


IN_SQL = (
    "Use sql instead of table users: CAST({} AS TEXT) AS identity. "
    "10.0 is not 10: cast whole numbers to INTEGER first."
)
ONLY_READ = (
    "the query does more than read data, which is not allowed",
    "A query can only read data with SELECT.",
)


@pytest.mark.parametrize(
    ("fields", "summary", "detail"),
    [
        (
            {"table": "users", "column": "y"},
            'column "y" has values of type REAL, not text',
            IN_SQL.format('"y"'),
        ),
        (
            {"table": "users", "column": "z"},
            'column "z" has values of type BLOB, not text',
            "Identities are text: store them as TEXT.",
        ),
        ({"table": "user"}, "the query failed: no such table: user", ""),
        ({"table": "users", "column": "mail"}, "the query failed: no such column: mail", ""),
        ({"sql": 'SELECT "mail" AS identity FROM users'},
         "the query failed: no such column: mail", ""),
        ({"sql": "SELECT email FROM users"},
         "the query returns neither a column identity nor a column guid",
         "Its columns are: email. Rename one: SELECT … AS identity."),
        ({"sql": "SELECT email AS identity, tier AS Identity FROM users"},
         'the query returns two columns named "identity"', "Remove or rename one of them."),
        ({"sql": "SELECT 'a' AS identity, 'b' AS guid"},
         "the query returns both identity and guid in 1 row",
         "Return NULL for one of them in each row."),
        ({"sql": "SELECT 'a' AS identity; SELECT 'b' AS identity"},
         "the query has more than one statement",
         "Write one SELECT statement. It may begin with WITH."),
        ({"sql": "-- nothing"}, "the query is not a SELECT",
         "Write one SELECT statement. It may begin with WITH."),
        ({"sql": "selec"}, 'the query failed: near "selec": syntax error', ""),
        ({"sql": "SELECT ? AS identity"}, "the query has a parameter without a value",
         "Write a parameter as $NAME, where NAME is a variable of segctl.yaml."),
        ({"sql": "SELECT abs(email) + abs(-9223372036854775808) AS identity FROM users"},
         "the query failed: SQLite reports SQLITE_ERROR",
         "The full message may contain your data. Run the query in sqlite3 to see it."),
        *(({"sql": sql}, *ONLY_READ) for sql in (
            "DELETE FROM users RETURNING email AS identity",
            "INSERT INTO users (email) VALUES ('x') RETURNING email AS identity",
            "CREATE TABLE t AS SELECT 1", "DROP TABLE users", "PRAGMA user_version", "BEGIN",
            "ATTACH 'other.db' AS other", "VACUUM INTO 'copy.db'", "ANALYZE",
            "SELECT load_extension('x') AS identity", "SELECT fts3_tokenizer('simple') AS identity",
            "SELECT name AS identity FROM pragma_table_info('users')",
        )),
    ],
)  # fmt: skip
def test_an_error_is_explained_and_the_database_is_unchanged(
    engine: DuckEngine, crm: Path, fields: dict[str, Any], summary: str, detail: str
) -> None:
    before = crm.read_bytes()
    with pytest.raises(SourceError) as caught:
        engine.load(fetch_rows(crm, **fields), targets=[0])
    assert (caught.value.summary, caught.value.detail) == (summary, detail)
    assert crm.read_bytes() == before
    assert not (Path.cwd() / "copy.db").exists()


def test_a_missing_segment_column_is_an_error(crm: Path) -> None:
    with pytest.raises(SourceError) as caught:
        fetch_rows(crm, sql="SELECT email AS identity, tier FROM users", segment_column="teir")
    assert caught.value.summary == 'the query returns no column "teir"'
    assert caught.value.detail == 'Did you mean "tier"?'


def test_a_file_that_is_not_a_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("identity\na@example.com\n" * 100)
    (tmp_path / "empty.db").touch()
    for name, message in (
        ("a.db", "the file is not a SQLite database"),
        ("empty.db", "the query failed: no such table: t"),
    ):
        with pytest.raises(SourceError) as caught:
            fetch_rows(tmp_path / name, table="t")
        assert caught.value.summary == message


def test_a_damaged_database_is_an_error(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE t (identity TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
        "SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT hex(randomblob(20)) FROM n"
    )
    path = make_database(tmp_path / "t.db", script)
    content = path.read_bytes()
    for damaged in (
        content[: len(content) // 2],
        content[:8192] + b"\xff" * 4096 + content[12288:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(SourceError) as caught:
            fetch_rows(path, table="t")
        assert caught.value.summary == "the database is damaged"


def test_an_error_does_not_quote_text_that_is_not_utf8(tmp_path: Path) -> None:
    script = "CREATE TABLE t (identity TEXT); INSERT INTO t VALUES (CAST(x'736563ff' AS TEXT))"
    with pytest.raises(SourceError) as caught:
        fetch_rows(make_database(tmp_path / "t.db", script), table="t")
    assert caught.value.summary == "a value in the database is not UTF-8"
    assert "sec" not in caught.value.summary + caught.value.detail


def test_a_locked_database_is_an_error_after_the_timeout(crm: Path) -> None:
    with closing(sqlite3.connect(crm, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceError) as caught:
            fetch_rows(crm, table="users", column="email")
    assert caught.value.code == "database-locked"


def test_a_write_ahead_log_is_read_and_none_is_created(tmp_path: Path) -> None:
    path = make_database(tmp_path / "w.db", f"PRAGMA journal_mode = WAL; {USERS}")
    assert [file.name for file in tmp_path.iterdir()] == ["w.db"]
    assert fetch_rows(path, table="users", column="email").rows == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fetched_0", "w.db"]
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO users (email) VALUES ('new')")
        writer.commit()
        assert fetch_rows(path, table="users", column="email").rows == 5


def test_a_signal_ends_a_running_query(crm: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT max(i) AS identity FROM n"
    )
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fetch_rows(crm, sql=endless)
    timer.join()


def test_only_the_owner_can_read_the_copy(crm: Path) -> None:
    assert fetch_rows(crm, table="users", column="email").path.stat().st_mode & 0o777 == 0o600


def test_the_log_of_a_linked_database_is_read(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real = make_database(tmp_path / "there" / "w.db", f"PRAGMA journal_mode = WAL; {USERS}")
    (tmp_path / "w.db").symlink_to(real)
    with closing(sqlite3.connect(real)) as writer:
        writer.execute("DELETE FROM users WHERE email = 'b'")
        writer.commit()
        assert fetch_rows(tmp_path / "w.db", table="users", column="email").rows == 3
