"""Queries over files: what they read, and that they can do nothing else."""

from pathlib import Path

import duckdb
import pytest

from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import CheckedQuery, RecordedFiles, SourceError
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare
from tests.sources.source_files import write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "members").mkdir(parents=True)
    (root / "members/a.csv").write_text(
        "identity,day,amount\n00004,2024-01-02,9.5\n7,2024-02-01,1\n"
    )
    (root / "members/b'é.csv").write_text("identity,day,amount\nb,2024-01-02,9.5\n")
    (tmp_path / "secret.csv").write_text("identity\nsecret\n")
    (root / "members/link.csv").symlink_to(tmp_path / "secret.csv")
    return root


def load(engine: DuckEngine, root: Path, sql: str, **parameters: str) -> None:
    select = prepare(sql, parameters, PathPolicy(root=root), engine.parse_select)
    engine.load(select, targets=[0])


def members(engine: DuckEngine) -> list[str]:
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    [counts] = engine.diff().targets.values()
    return [value for _, value in counts.sample.add]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT identity FROM 'members/a.csv'",
        "FROM 'members/a.csv' SELECT identity -- all of them",
        "SELECT identity FROM read_csv('members/a.csv');",
        "SELECT identity FROM read_csv(['members/a.csv'], delim = ',')",
        "WITH t AS (SELECT * FROM 'members/a.csv') SELECT t.identity FROM t",
        "SELECT identity FROM (FROM 'members/a.csv' UNION FROM 'members/a.csv')",
        "SELECT identity FROM 'members/a.csv' WHERE identity IN (SELECT '7') OR identity < '1'",
        "SELECT identity FROM 'members/[a]*.csv'",
        "SELECT identity FROM 'members/a.csv' a JOIN 'members/a.csv' b USING (identity)",
    ],
)
def test_columns_of_a_csv_file_are_text_and_keep_their_zeros(
    engine: DuckEngine, root: Path, sql: str
) -> None:
    load(engine, root, sql)
    assert members(engine) == ["00004", "7"]


def test_a_variable_is_bound_and_never_pasted(engine: DuckEngine, root: Path) -> None:
    hostile = "2024-01-02' OR ''='"
    load(engine, root, "SELECT identity FROM 'members/a.csv' WHERE day = $as_of", as_of=hostile)
    assert members(engine) == []


def test_a_file_name_may_hold_quotes_and_other_letters(engine: DuckEngine, root: Path) -> None:
    load(engine, root, "SELECT 'é' || identity AS identity FROM 'members/b''é.csv'")
    assert members(engine) == ["éb"]


def test_partition_folders_become_text_columns(engine: DuckEngine, root: Path) -> None:
    for day, values in (("007", ["a"]), ("7", ["b", "c"])):
        (root / f"events/day={day}").mkdir(parents=True)
        for suffix in ("csv", "jsonl"):
            write(root / f"events/day={day}/0.{suffix}", values)
        duckdb.sql(f"COPY (SELECT 'p{day}' AS identity) TO '{root}/events/day={day}/0.parquet'")
    for source in ("'events/**/*.csv'", "'events/**/*.jsonl'", "read_csv('events/**/*.csv')"):
        load(engine, root, f"SELECT identity FROM {source} WHERE day = $day", day="7")
    load(engine, root, "SELECT identity || day AS identity FROM 'events/**/*.parquet'")
    assert members(engine) == ["b", "c", "p007007", "p77"]


def test_a_truncated_compressed_file_is_an_error(engine: DuckEngine, root: Path) -> None:
    content = write(root / "a.csv.zst", ["a", "b"]).read_bytes()
    (root / "a.csv.zst").write_bytes(content[:-1])
    with pytest.raises(SourceError) as caught:
        load(engine, root, "SELECT identity FROM 'a.csv.zst'")
    assert caught.value.summary == "the file is incomplete: its compressed data ends too early"


def test_a_file_whose_name_looks_like_a_pattern_is_read(engine: DuckEngine, root: Path) -> None:
    for name in ("a[b].csv", "ab.csv"):
        write(root / name, [name])
    load(engine, root, "SELECT identity FROM 'a[b].csv'")
    assert members(engine) == ["a[b].csv"]


def test_rows_may_have_either_identity_or_guid(engine: DuckEngine, root: Path) -> None:
    load(engine, root, "SELECT 'a' AS identity, NULL AS guid UNION ALL SELECT NULL, 'g'")
    assert members(engine) == ["g", "a"]


FORBIDDEN = [
    ("INSERT in WITH", "WITH x AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM x"),
    ("COPY in WITH", "WITH x AS (COPY (SELECT 1) TO 'members/new.csv') SELECT 1 AS identity"),
    ("DELETE in WITH", "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x"),
    ("read_text", "SELECT content AS identity FROM read_text('members/a.csv')"),
    ("glob", "SELECT file AS identity FROM glob('*')"),
    ("query()", "SELECT * FROM query('SELECT 1')"),
    ("environment", "SELECT getenv('CLEVERTAP_PASSCODE') AS identity"),
    ("settings", "SELECT name AS identity FROM duckdb_settings()"),
    ("current_setting", "SELECT current_setting('temp_directory') AS identity"),
    ("computed name", "SELECT identity FROM read_csv('members/' || 'a.csv')"),
    ("variable name", "SELECT identity FROM read_csv($file)"),
    ("computed in list", "SELECT identity FROM read_csv(['members/a.csv', 'x' || 'y'])"),
    ("show", "SHOW TABLES"),
    ("describe", "DESCRIBE SELECT 1"),
    ("sniff", "SELECT * FROM sniff_csv('members/a.csv')"),
    ("metadata", "SELECT * FROM parquet_metadata('members/a.csv')"),
    ("in a subquery", "SELECT (SELECT content FROM read_text('members/a.csv')) AS identity"),
    ("in a join", "SELECT 1 AS identity FROM 'members/a.csv', read_blob('members/a.csv')"),
]


@pytest.mark.parametrize("sql", [sql for _, sql in FORBIDDEN], ids=[name for name, _ in FORBIDDEN])
def test_a_query_can_only_read_the_files_it_names(engine: DuckEngine, root: Path, sql: str) -> None:
    before = sorted(path.name for path in root.rglob("*"))
    with pytest.raises(SourceError) as caught:
        load(engine, root, sql, file="members/a.csv")
    assert caught.value.code == "query-forbidden"
    assert sorted(path.name for path in root.rglob("*")) == before


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "COPY (SELECT 1) TO 'members/a.csv'",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1; SELECT 2",
        "EXPLAIN SELECT 1",
        "CALL pragma_version()",
        "PRAGMA version",
        "",
    ],
)
def test_a_query_must_be_one_select(engine: DuckEngine, root: Path, sql: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(engine, root, sql)
    assert caught.value.code == "query-not-select"


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "members/link.csv", "/etc/passwd.csv", "members/*.csv", "https://x/y.csv"],
)
def test_a_query_cannot_read_files_outside_the_workspace(
    engine: DuckEngine, root: Path, path: str
) -> None:
    with pytest.raises(SourceError) as caught:
        load(engine, root, f"SELECT identity FROM '{path}'")
    assert caught.value.code == "outside-workspace"


def test_the_sealed_database_opens_only_resolved_files(engine: DuckEngine, root: Path) -> None:
    unchecked = CheckedQuery(
        sql=f"SELECT identity FROM read_csv('{root.parent}/secret.csv')", parameters={}, files=()
    )
    with pytest.raises(SourceError) as caught:
        engine.load(unchecked, targets=[0])
    assert caught.value.code == "query-forbidden"


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT 1; SELECT 'a' AS identity", "the query has more than one statement"),
        ("; -- nothing", "the query is not a SELECT"),
        (
            "SELECT 10.0::DOUBLE AS identity",
            'column "identity" is DOUBLE, not text',
        ),
        (
            "SELECT identity FROM read_csv('members/a.csv', types = {'identity': 'BIGINT'})",
            'column "identity" is BIGINT, not text',
        ),
        (
            "SELECT day FROM 'members/a.csv'",
            "the query returns neither a column identity nor a column guid",
        ),
        (
            "SELECT 'a' AS identity, 'b' AS guid",
            "the query returns both identity and guid in 1 row",
        ),
        ("SELECT identity FROM nowhere", 'the query reads a table "nowhere", which does not exist'),
        ("SELECT identity FROM 'members/none.csv'", "there is no file members/none.csv"),
        ("SELECT identity FROM 'none/*.csv'", "no file matches none/*.csv"),
    ],
)
def test_an_error_in_a_query_is_explained(
    engine: DuckEngine, root: Path, sql: str, summary: str
) -> None:
    with pytest.raises(SourceError) as caught:
        load(engine, root, sql)
    assert caught.value.summary == summary


def test_a_missing_cast_is_explained(engine: DuckEngine, root: Path) -> None:
    with pytest.raises(SourceError) as caught:
        load(engine, root, "SELECT identity FROM 'members/a.csv' WHERE amount > 5")
    assert "explicit cast" in caught.value.summary
    assert caught.value.detail == (
        "Columns of a CSV file are text. Cast them, for example CAST(amount AS DOUBLE)."
    )


def test_an_error_does_not_quote_a_value_that_cannot_be_cast(
    engine: DuckEngine, root: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        load(engine, root, "SELECT identity FROM 'members/a.csv' WHERE CAST(day AS INTEGER) > 1")
    assert "2024" not in caught.value.summary + caught.value.detail
    assert "cannot be converted" in caught.value.summary


ROWS = "".join(f'"user-{n}","Lon, don"\n' for n in range(9))


@pytest.mark.parametrize("table", ["'cut.csv'", "read_csv('cut.csv')"])
@pytest.mark.parametrize("end", ['"user-9","Lon', '"user-9","', '"user', "a,b,c\n", "a\n", '"a"\n'])
def test_a_truncated_csv_file_is_not_read_in_another_dialect(
    engine: DuckEngine, root: Path, table: str, end: str
) -> None:
    (root / "cut.csv").write_text(f'"identity","city"\n{ROWS}{end}')
    with pytest.raises(SourceError) as caught:
        load(engine, root, f"SELECT identity FROM {table}")
    assert caught.value.file == root / "cut.csv"
    assert caught.value.summary == (
        "the query failed: a row of a CSV file does not match its header, "
        "or a quoted value does not end"
    )


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("read_csv('m.csv', delim = ';')", "identity;x\na;1\n"),
        ("read_csv('m.txt', sep = '|')", "identity|x\na|1\n"),
        ("read_csv('m.csv', quote = '~')", "identity,x\n~a~,1\n"),
        ("read_csv('m.csv', skip = 1)", "made today\nidentity,x\na,1\n"),
        ("read_csv('m.csv', header = false, names = ['identity'])", "a\n"),
        ("'m.tsv'", "identity\tx\na\t1,2\n"),
        ("'m.csv'", 'identity,x\r\na,"1\n#2"\r\n'),
        ("'m.csv'", "identity,\na,\n"),
    ],
)
def test_a_query_can_set_csv_options(engine: DuckEngine, root: Path, table: str, text: str) -> None:
    (root / table.split("'")[1]).write_bytes(text.encode())
    load(engine, root, f"SELECT identity FROM {table}")
    assert members(engine) == ["a"]


@pytest.mark.parametrize(
    "sql",
    ["SELECT 9223372036854775807 AS identity", "SELECT 7::UHUGEINT AS identity",
     "SELECT 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::UUID AS identity",
     "SELECT CAST(identity AS INTEGER) AS identity FROM 'members/a.csv' LIMIT 1",
     "SELECT count(*) AS identity FROM 'members/a.csv'"],
)  # fmt: skip
def test_a_query_can_return_whole_numbers_and_uuids(
    engine: DuckEngine, root: Path, sql: str
) -> None:
    load(engine, root, sql)
    [member] = members(engine)
    assert member in ("9223372036854775807", "7", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "4", "2")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("'lists/m.txt'", ["0012", "a"]),
        ("'lists'", ["0012", "a"]),
        ("'tables/'", ["b", "c"]),
        ("'tables/**/*'", ["b", "c"]),
        ("'tables/m.tsv.gz'", ["b"]),
        ("'bom.jsonl'", ["d"]),
        ("read_json('bom.jsonl', columns = {identity: 'VARCHAR'})", ["d"]),
    ],
)
def test_a_query_reads_files_of_every_format_and_folders(
    engine: DuckEngine, root: Path, table: str, found: list[str]
) -> None:
    write(root / "lists/m.txt", ["a", "0012"])
    write(root / "tables/m.tsv.gz", ["b"])
    write(root / "tables/deep/n.tsv", ["c"])
    write(root / "bom.jsonl", ["d"], mark="\ufeff")
    load(engine, root, f"SELECT identity FROM {table}")
    assert members(engine) == found


NO_TABLE = (
    'the query reads a table "all", which does not exist. A query reads files. Write the name of a '
    "file or a folder in single quotes, such as 'members/gold.parquet'."
)
NO_FORMAT = (
    "the format of m.dat cannot be inferred from its name. A query reads files that end in .csv, "
    ".tsv, .parquet, .json, .jsonl, .ndjson or .txt, which .gz or .zst may follow. Else use a "
    "function: read_csv('m.dat')."
)
SPREADSHEET = (
    "the format of m.xlsx cannot be inferred from its name. Spreadsheets are not read. Save the "
    "sheet as CSV UTF-8, and name that file."
)
COMMENTS = (
    "1 line has a # at the beginning or after white space, as comments do. Remove it, or read the "
    "file as a file source, with the field comments."
)
MIXED = (
    "all contains several formats: all/m.csv is csv, all/n.tsv is tsv. Read the files of one "
    "format, with a pattern such as 'FOLDER/*.csv'."
)
NO_MAIL = 'the query failed: there is no column "mail"'
SEMICOLON = (
    ": a header is a single name that contains a semicolon. If it separates values, write "
    "read_csv('FILE', delim = ';')."
)
DID_YOU_MEAN = '. Did you mean "email"? The columns of its files are: email, plan, x.'


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("FROM 'm.txt'", COMMENTS),
        ("FROM 'm.dat'", NO_FORMAT),
        ("FROM 'm.xlsx'", SPREADSHEET),
        ("FROM 'all'", MIXED),
        ('FROM "all"', NO_TABLE),
        ("SELECT mail AS identity FROM 'n.csv'", NO_MAIL + SEMICOLON),
        ("SELECT mail AS identity FROM 'all/m.csv', 'n.jsonl'", NO_MAIL + DID_YOU_MEAN),
        (
            "SELECT mail AS identity FROM 'ids.txt'",
            f"{NO_MAIL}. The columns of its files are: identity.",
        ),
    ],
)
def test_what_a_query_cannot_read_is_said(
    engine: DuckEngine, root: Path, sql: str, message: str
) -> None:
    texts = {"m.txt": "a\nb # c\n", "m.dat": "", "m.xlsx": "", "all/m.csv": "email,plan\n",
             "all/n.tsv": "a\tb\n", "n.csv": "mail;plan\n", "n.jsonl": '{"x": 1}\n',
             "ids.txt": "a\n"}  # fmt: skip
    (root / "all").mkdir()
    for name, text in texts.items():
        (root / name).write_text(text)
    with pytest.raises(SourceError) as caught:
        load(engine, root, sql)
    assert f"{caught.value.summary}. {caught.value.detail}" == message


AROUND = [
    "{};",
    "{}; -- it's ;",
    "{} -- c",
    "{};; /* a ; /* b */ ; */ ;\n",
    "; {}",
    "/* a */;{}\n;",
]


@pytest.mark.parametrize("around", AROUND)
def test_semicolons_and_comments_may_surround_a_query(
    engine: DuckEngine, root: Path, around: str
) -> None:
    load(engine, root, around.format("SELECT ';' AS identity, $$a;b$$ AS \"c;d\""))
    assert members(engine) == [";"]


@pytest.mark.parametrize(
    ("values", "type_", "advice"),
    [
        (
            ['"a"', "1"],
            "JSON",
            "Extract its text: …->>'$' AS identity. A cast would keep the quotes.",
        ),
        (['["a"]'], "VARCHAR[]", "An identity is a single text value. Extract it from the column."),
        (
            ['"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"'],
            "UUID",
            (
                "Cast it: CAST(… AS VARCHAR) AS identity. In JSON, read it as text instead: "
                "read_json('FILE', columns = {identity: 'VARCHAR'})."
            ),
        ),
    ],
)
def test_a_result_that_is_not_text_is_an_error_that_shows_the_cast(
    engine: DuckEngine, root: Path, values: list[str], type_: str, advice: str
) -> None:
    (root / "m.jsonl").write_text("".join(f'{{"identity": {value}}}\n' for value in values))
    with pytest.raises(SourceError) as caught:
        load(engine, root, "SELECT identity FROM 'm.jsonl'")
    assert caught.value.summary == f'column "identity" is {type_}, not text'
    assert caught.value.detail == advice


def test_the_hint_for_json_returns_members_as_written(engine: DuckEngine, root: Path) -> None:
    (root / "m.jsonl").write_text('{"identity": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}\n')
    read = "read_json('m.jsonl', columns = {identity: 'VARCHAR'})"
    load(engine, root, f"SELECT identity FROM {read}")
    (root / "n.jsonl").write_text('{"identity": "a"}\n{"identity": 10}\n')
    load(engine, root, "SELECT identity->>'$' AS identity FROM 'n.jsonl'")
    assert members(engine) == ["10", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a"]


def test_a_query_that_is_nested_too_deeply_is_an_error(engine: DuckEngine, root: Path) -> None:
    sql = "SELECT identity FROM (" * 900 + "SELECT 'a' AS identity" + ")" * 900
    with pytest.raises(SourceError, match="the query is nested too deeply"):
        load(engine, root, sql)


@pytest.mark.parametrize("header", ["email,email", "Email,email", 'x,"EMAIL",email'])
def test_a_name_twice_in_a_header_is_an_error(engine: DuckEngine, root: Path, header: str) -> None:
    (root / "twice.csv").write_text(f"{header}\na,b,c\n", encoding="utf-8")
    with pytest.raises(SourceError, match="the file has two columns named"):
        load(engine, root, "SELECT email AS identity FROM 'twice.csv'")


def test_a_query_with_its_own_header_may_name_columns_twice(engine: DuckEngine, root: Path) -> None:
    (root / "rows.csv").write_text("a,a\nb,b\n", encoding="utf-8")
    sql = "SELECT column0 AS identity FROM read_csv('rows.csv', header = false)"
    load(engine, root, sql)
    assert members(engine) == ["a", "b"]


def test_times_are_in_utc_wherever_a_query_runs(
    engine: DuckEngine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    load(engine, root, "SELECT strftime('2026-01-01 00:00:00Z'::TIMESTAMPTZ, '%H') AS identity")
    assert members(engine) == ["00"]


def test_a_query_runs_in_the_zone_of_the_project(engine: DuckEngine, root: Path) -> None:
    query = prepare(
        "SELECT strftime('2026-01-01 00:00:00Z'::TIMESTAMPTZ, '%H:%M') AS identity",
        {},
        PathPolicy(root=root),
        engine.parse_select,
        time_zone="Asia/Kolkata",
    )
    engine.load(query, targets=[0])
    assert members(engine) == ["05:30"]
