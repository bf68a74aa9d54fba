"""Rows of a real PostgreSQL server: what is read, and that a query can only read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.core.identity import IdentityProblem, Kind
from segctl.engine.model import SourceError
from segctl.manifests.desired import PostgresSource
from segctl.sources.postgres import fetch
from tests.sources.postgres_kit import Server
from tests.sources.postgres_reader import Reader, identities, query, table


@pytest.fixture
def users(postgres: Server) -> Iterator[None]:
    postgres.run(
        'CREATE SCHEMA "Crm"',
        'CREATE TABLE "Crm".users '
        '(email text, "Nick name" varchar(20), n int, tier char(8), x float)',
        """INSERT INTO "Crm".users VALUES ('a@example.com', 'ann', 1, 'gold'),
           ('0012345', 'bob', 2, 'gold'), (NULL, 'cy', 3, 'lead'), ('', 'di', 4, 'lead'),
           ('a@example.com', NULL, 5, 'gold')""",
    )
    yield
    postgres.run('DROP SCHEMA "Crm" CASCADE')


@pytest.mark.usefixtures("users")
def test_a_column_of_a_table_is_read_and_null_differs_from_empty(reader: Reader) -> None:
    stats, members = reader.read(table("Crm.users", "email"))
    assert members == identities("0012345", "a@example.com")
    assert stats.rows == 5
    assert stats.duplicates == 1
    assert stats.invalid == {IdentityProblem.NULL: 1, IdentityProblem.EMPTY: 1}


@pytest.mark.usefixtures("users")
def test_guids_of_a_table_fill_the_segments_in_its_segment_column(reader: Reader) -> None:
    source = table("Crm.users", "Nick name", Kind.GUID)
    stats, members = reader.read(source, segment_column="tier")
    assert members == [(Kind.GUID, "ann"), (Kind.GUID, "bob")]
    assert stats.invalid == {IdentityProblem.NULL: 1}
    assert (stats.undeclared, stats.undeclared_rows) == (1, 2)


def test_a_query_returns_identities_and_guids(reader: Reader) -> None:
    sql = "SELECT NULL AS guid, 'a' AS identity UNION ALL SELECT 'g', NULL; "
    assert reader.read(query(sql))[1] == [(Kind.GUID, "g"), (Kind.IDENTITY, "a")]


def test_a_row_with_both_identity_and_guid_is_an_error(reader: Reader) -> None:
    with pytest.raises(SourceError) as caught:
        reader.read(query("SELECT 'g' AS guid, 'a' AS identity"))
    assert caught.value.summary == "the query returns both identity and guid in 1 row"


AWKWARD = [
    *("\\", "\\N", "\\\\N", "\\n", "a\\tb", '"', '""', "'", "a,b", "\ufeffbom", "é😀", "\\."),
    *("a\tb", "a\nb", "a\r\nb", "\b\f\v", "a\x85b\u2028c", "null\x01", "\x1f", "{}", "%s", "%"),
]


def test_every_character_is_copied_unchanged(reader: Reader) -> None:
    names = {f"v{number}": value for number, value in enumerate(AWKWARD)}
    rows = " UNION ALL ".join(f"SELECT ${name} AS identity" for name in names)
    copied = fetch(query(rows, **names), reader.database(), reader.file)
    select = reader.engine._reader.prepare(copied, 0)
    read = reader.engine._db.execute(f"SELECT value FROM ({select})").fetchall()
    assert sorted(value for (value,) in read) == sorted(AWKWARD)
    assert not reader.file.exists()


def test_text_in_another_encoding_becomes_utf8(reader: Reader, postgres: Server) -> None:
    database = postgres.database("LATIN1")
    sql = "SELECT convert_from('\\xe9'::bytea, 'LATIN1') AS identity"
    assert reader.read(query(sql), database=database)[1] == identities("é")


def test_text_that_cannot_become_utf8_is_an_error(reader: Reader, postgres: Server) -> None:
    database = postgres.database("SQL_ASCII")
    postgres.run(
        "CREATE TABLE IF NOT EXISTS raw AS SELECT E'secret\\xe9'::text AS identity",
        database=database,
    )
    assert reader.error(table("raw", "identity"), url=postgres.url(database)) == (
        "not-utf8: a value cannot be converted to UTF-8. "
        "Fix the value, or leave its row out with a query."
    )


def test_every_text_type_is_read(reader: Reader, postgres: Server) -> None:
    postgres.run("DROP TYPE IF EXISTS mood", "CREATE TYPE mood AS ENUM ('happy')")
    sql = """SELECT 'v'::varchar AS identity UNION ALL SELECT 'c'::char(5)
             UNION ALL SELECT 'n'::name"""
    assert reader.read(query(sql))[1] == identities("c", "n", "v")
    reader.file = reader.file.with_name("more.copy")
    enum = fetch(query("SELECT 'happy'::mood AS identity"), reader.database(), reader.file)
    assert enum.rows == 1


AROUND = ["{};", "{}; -- it's ;", "{};; /* a ; /* b */ ; */ ;\n", "/* a */{} -- c\n;"]


@pytest.mark.parametrize("around", AROUND)
def test_semicolons_and_comments_may_surround_a_query(reader: Reader, around: str) -> None:
    sql = "SELECT ';' AS identity, $$a;b$$ AS \"c;d\", E'\\';' AS e"
    assert reader.read(query(around.format(sql)))[1] == identities(";")


def test_whole_numbers_and_uuids_are_taken_as_they_are_written(reader: Reader) -> None:
    uuid = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"
    sql = f"""SELECT 7::smallint AS identity, NULL::uuid AS guid UNION ALL SELECT -8, NULL
              UNION ALL SELECT NULL, '{uuid}'"""
    expected = [(Kind.GUID, uuid.lower()), *identities("-8", "7")]
    assert reader.read(query(sql))[1] == expected


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            table("Crm.users", "x"),
            (
                'column-not-text: column "x" is double precision, not text. Use sql instead of '
                'table Crm.users: CAST("x" AS TEXT) AS identity.'
            ),
        ),
        (
            query("SELECT 1.5 AS identity"),
            (
                'column-not-text: column "identity" is numeric, not text. '
                "Cast it: CAST(… AS TEXT) AS identity."
            ),
        ),
        (
            query("SELECT 7::numeric(38, 0) AS guid"),
            (
                'column-not-text: column "guid" is numeric, not text. '
                "Cast it: CAST(… AS TEXT) AS guid."
            ),
        ),
        (
            query("SELECT 'a' AS email, 1 AS n"),
            (
                "query-columns: the query returns neither a column identity nor a column guid. "
                "Its columns are: email, n. Rename one: SELECT … AS identity."
            ),
        ),
        (
            query("SELECT"),
            (
                "query-columns: the query returns neither a column identity nor a column guid. "
                "Rename one: SELECT … AS identity."
            ),
        ),
        (
            query("SELECT 'a' AS identity, 'b' AS \"Identity\""),
            (
                'query-columns: the query returns two columns named "identity". '
                "Remove or rename one of them."
            ),
        ),
        (
            table("Crm.nope", "email"),
            'query-failed: the query failed: relation "Crm.nope" does not exist. ',
        ),
        (
            table("Crm.users", "mail"),
            (
                'query-failed: the query failed: column "mail" does not exist. '
                'Perhaps you meant to reference the column "users.email".'
            ),
        ),
        (
            query('SELECT emial AS identity FROM "Crm".users'),
            (
                'query-failed: the query failed: column "emial" does not exist. '
                'Perhaps you meant to reference the column "users.email".'
            ),
        ),
    ],
)
def test_a_column_that_is_missing_or_not_text_is_an_error(
    reader: Reader, source: PostgresSource, message: str
) -> None:
    assert reader.error(source) == message
    assert not reader.file.exists()


def test_a_query_without_the_segment_column_is_an_error(reader: Reader) -> None:
    source = query("SELECT 'a' AS identity, 'gold' AS tir")
    assert reader.error(source, segment_column="tier") == (
        'missing-column: the query returns no column "tier". Did you mean "tir"?'
    )


# Only one SELECT

_ONE = "Write one SELECT statement. It may begin with WITH."


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT 'a' AS identity; DROP TABLE victim",
            f"query-not-select: the query has more than one statement. {_ONE}",
        ),
        (
            "SELECT 'a' AS identity) TO PROGRAM 'touch /tmp/segctl-was-here'; --",
            f'query-syntax: the query is not a valid SELECT: syntax error at or near ")". {_ONE}',
        ),
        (
            "SELECT 'a' AS identity) TO STDOUT; DROP TABLE victim; COPY (SELECT 'b'",
            f'query-syntax: the query is not a valid SELECT: syntax error at or near ")". {_ONE}',
        ),
        (
            "DELETE FROM victim RETURNING identity",
            (
                "query-syntax: the query is not a valid SELECT: "
                f'syntax error at or near "DELETE". {_ONE}'
            ),
        ),
        (
            "WITH gone AS (DELETE FROM victim RETURNING identity) SELECT identity FROM gone",
            (
                "query-syntax: the query is not a valid SELECT: "
                f"DECLARE CURSOR must not contain data-modifying statements in WITH. {_ONE}"
            ),
        ),
        (
            "SELECT identity INTO other FROM victim",
            (
                "query-syntax: the query is not a valid SELECT: "
                f"SELECT ... INTO is not allowed here. {_ONE}"
            ),
        ),
        (
            "",
            f"query-syntax: the query is not a valid SELECT: syntax error at end of input. {_ONE}",
        ),
        (
            "SELECT identity FROM victim FOR UPDATE",
            (
                "query-forbidden: the query writes or locks data, which is not allowed. "
                "Queries run in a read-only transaction. Write a query that only reads."
            ),
        ),
        (
            "SELECT nextval('counter')::text AS identity",
            (
                "query-forbidden: the query writes or locks data, which is not allowed. "
                "Queries run in a read-only transaction. Write a query that only reads."
            ),
        ),
        (
            "SELECT set_config('transaction_read_only', 'off', false) AS identity",
            (
                "query-failed: the query failed: active sql transaction (25001). "
                "The full message may contain your data. Run the query in psql to see it."
            ),
        ),
    ],
)
def test_a_query_can_only_read(reader: Reader, postgres: Server, sql: str, message: str) -> None:
    postgres.run(
        "DROP TABLE IF EXISTS victim",
        "DROP SEQUENCE IF EXISTS counter",
        "CREATE TABLE victim AS SELECT 'v'::text AS identity",
        "CREATE SEQUENCE counter",
    )
    assert reader.error(query(sql)) == message
    assert postgres.ask("SELECT identity FROM victim") == [("v",)]
    assert not Path("/tmp/segctl-was-here").exists()  # noqa: S108 - it is not created


def test_comments_and_quotes_cannot_hide_the_end_of_the_query(reader: Reader) -> None:
    sql = "SELECT 'a)' || $x || $$;)$$ AS identity /* ) /* ' */ */ -- )"
    assert reader.read(query(sql, x="b"))[1] == identities("a)b;)")


@pytest.mark.parametrize(
    "value",
    [
        "'); DROP TABLE victim; --",
        "\\'; SELECT 1; --",
        "a'b\\",
        "$x",
        "%s %(x)s",
        "\ud83d\ude00",
        "",
    ],
)
def test_any_text_of_a_variable_is_only_a_value(reader: Reader, value: str) -> None:
    value = value.encode("utf-16", "surrogatepass").decode("utf-16")
    sql = "SELECT 'is' AS identity WHERE $x = ($x) AND length($x) = length($x || '')"
    assert reader.read(query(sql, x=value))[1] == identities("is")


def test_a_variable_takes_the_type_of_what_it_is_compared_with(reader: Reader) -> None:
    sql = "SELECT 'a' AS identity WHERE date '2026-01-31' = $day LIMIT $most"
    assert reader.read(query(sql, day="2026-01-31", most="1"))[1] == identities("a")


@pytest.mark.parametrize("value", ["a\0b", "\udcff"])
def test_a_variable_that_is_not_valid_text_is_an_error(reader: Reader, value: str) -> None:
    assert reader.error(query("SELECT $x AS identity", x=value)) == (
        'bad-variable: the value of the variable "x" contains NUL or is not UTF-8. '
        "Set another value."
    )


def test_an_error_does_not_quote_the_failing_value(reader: Reader) -> None:
    sql = "SELECT (email::int)::text AS identity FROM (VALUES ('secret@example.com')) AS t(email)"
    assert reader.error(query(sql)) == (
        "query-failed: the query failed: invalid text representation (22P02). "
        "The full message may contain your data. Run the query in psql to see it."
    )


@pytest.mark.parametrize("state", ["P0001", "42501", "42P01", "0A000"])
def test_an_error_of_a_function_during_planning_is_not_quoted(
    reader: Reader, postgres: Server, state: str
) -> None:
    postgres.run(
        "CREATE OR REPLACE FUNCTION fails() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'secret@example.com' USING ERRCODE = '{state}', HINT = 'secret'; "
        "END $$"
    )
    message = reader.error(query("SELECT fails() AS identity"))
    assert message.startswith("query-failed: the query failed: ")
    assert message.endswith(
        f"({state}). The full message may contain your data. Run the query in psql to see it."
    )
    assert "secret" not in message


def test_rows_hidden_by_row_level_security_are_an_error_if_the_url_asks_for_it(
    reader: Reader, postgres: Server
) -> None:
    postgres.run(
        "DROP TABLE IF EXISTS hidden",
        "CREATE TABLE hidden AS SELECT 'a'::text AS identity",
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        "DO $$ BEGIN CREATE ROLE guest; EXCEPTION WHEN duplicate_object THEN END $$",
        "GRANT SELECT ON hidden TO guest",
    )
    as_guest = f"{postgres.url()}?options=-c%20role%3Dguest"
    source = table("hidden", "identity")
    assert fetch(source, reader.database(url=as_guest), reader.file).rows == 0
    reader.file.unlink()
    assert reader.error(source, url=f"{as_guest}%20-c%20row_security%3Doff") == (
        "query-failed: the query failed: query would be affected by row-level security policy for "
        'table "hidden". Add a policy that lets the role see all rows.'
    )


def test_a_query_runs_in_a_read_only_snapshot_as_segctl(reader: Reader) -> None:
    sql = """SELECT current_setting(name) AS identity FROM unnest(ARRAY['application_name',
        'transaction_isolation', 'transaction_read_only', 'default_transaction_read_only',
        'client_encoding', 'statement_timeout']) AS t(name)"""
    assert reader.read(query(sql))[1] == identities(
        "20s", "UTF8", "on", "repeatable read", "segctl"
    )


def test_only_the_owner_can_read_the_scratch_file(reader: Reader) -> None:
    before = os.umask(0)
    try:
        fetch(query("SELECT 'a' AS identity"), reader.database(), reader.file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(reader.file.stat().st_mode) == 0o600
