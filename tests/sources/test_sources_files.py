"""Member files of each format, and which files may be read."""

import gzip
import os
from pathlib import Path

import duckdb
import pytest

from segctl.core.identity import IdentityProblem, Kind, find_problem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, InlineRows, LoadStats, RecordedFiles, SourceError
from segctl.manifests.file_formats import Format
from segctl.sources.path_policy import PathPolicy


def load_file(
    engine: DuckEngine, path: Path, format_: Format, *, column: str = "identity"
) -> tuple[LoadStats, list[str]]:
    rows = FileScan(paths=(path,), format=format_, column=column, kind=Kind.IDENTITY)
    number = engine.load(rows, targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    [counts], stats = diff.targets.values(), diff.loads[number]
    return stats, [value for _, value in counts.sample.add]


def error_of(engine: DuckEngine, path: Path, format_: Format) -> str:
    with pytest.raises(SourceError) as caught:
        load_file(engine, path, format_)
    return f"{caught.value.summary} {caught.value.detail}".strip()


FILES: list[tuple[Format, str]] = [
    ("csv", 'x,identity\n1,00004\n2,"a,b"\n'),
    ("csv", 'x,identity\r\n1,00004\r\n2,"a,b"\r\n'),
    ("csv", '\ufeffidentity\n00004\n"a,b"\n'),
    ("csv", 'identity\n00004\n"a,b"'),
    ("tsv", "x\tidentity\n1\t00004\n2\ta,b\n"),
    ("txt", "00004\na,b\n"),
    ("txt", "\ufeff00004\r\na,b"),
    ("jsonl", '{"identity": "00004", "x": 1}\n{"x": [1], "identity": "a,b"}\n'),
]


@pytest.mark.parametrize(("format_", "text"), FILES)
@pytest.mark.parametrize("compressed", [False, True])
def test_members_of_a_file_are_its_text_unchanged(
    engine: DuckEngine, tmp_path: Path, format_: Format, text: str, compressed: bool
) -> None:
    path = tmp_path / (f"m.{format_}.gz" if compressed else f"m.{format_}")
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    stats, members = load_file(engine, path, format_)
    assert members == ["00004", "a,b"]
    assert stats == LoadStats(rows=2, duplicates=0)


def test_members_of_a_parquet_file_are_its_text(engine: DuckEngine, tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    duckdb.sql(f"COPY (SELECT '00004' AS identity UNION ALL SELECT 'é😀') TO '{path}'")
    assert load_file(engine, path, "parquet")[1] == ["00004", "é😀"]


def test_a_whole_number_in_json_is_read_as_written(engine: DuckEngine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"identity": 9007199254740993}\n')
    assert load_file(engine, path, "jsonl")[1] == ["9007199254740993"]


NO_HEADER = (
    'the file has no column "identity" '
    "Its first line looks like a row of data. Write a header line above it."
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "m.csv",
            "id\na\n",
            'the file has no column "identity" Its columns are: id. Name one as `column`.',
        ),
        (
            "m.csv",
            "Identity\na\n",
            'the file has no column "identity" Did you mean "Identity"?',
        ),
        (
            "m.csv",
            "ada@example.com\nbob@example.com\n",
            NO_HEADER,
        ),
        (
            "m.tsv",
            "gold\t0012345\nsilver\t0012346\n",
            NO_HEADER,
        ),
        (
            "m.csv",
            'identity\n"a\n',
            'a quoted value does not end Write a quote inside a quoted value as "".',
        ),
        (
            "m.csv",
            "identity,x\na,b,c\n",
            (
                "a row has more or fewer values than the header "
                "Quote each value that contains the separator or a line break."
            ),
        ),
        (
            "m.jsonl",
            '{"identity": "a"}\nnope\n',
            "a line is not valid JSON Write one JSON object per line.",
        ),
        (
            "m.parquet",
            "identity\na\n",
            (
                "the file is not a Parquet file "
                "Check that the file has the format that its name shows."
            ),
        ),
        (
            "m.csv.gz",
            "identity\na\n",
            (
                "the file is not gzip, although its name ends in .gz "
                "Rename the file, or compress it again."
            ),
        ),
        (
            "m.jsonl",
            '{"identity": 10.0}\n{"identity": true}\n{"identity": "a"}\n',
            (
                'field "identity" has values that are not text: 1 of type BOOLEAN, '
                '1 of type DOUBLE Write identities as strings, such as {"identity": "0012345"}.'
            ),
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(
    engine: DuckEngine, tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    format_: Format = {"csv": "csv", "tsv": "tsv", "jsonl": "jsonl"}.get(
        name.split(".")[1], "parquet"
    )  # type: ignore[assignment]  # a literal
    assert error_of(engine, path, format_) == message


def test_an_error_does_not_quote_text_that_is_not_utf8(engine: DuckEngine, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"identity\nsecret\xff\n")
    assert error_of(engine, path, "csv") == (
        "the file is not UTF-8 Save it as UTF-8, or name its encoding in a file source, such as "
        "encoding: windows-1252."
    )


CAST = "Cast it with a query: SELECT CAST"


@pytest.mark.parametrize(
    ("value", "type_", "advice"),
    [
        ("DATE '2026-01-31'", "DATE", f"{CAST}(\"identity\" AS VARCHAR) AS … FROM '…'."),
        (
            "7::DECIMAL(38, 0)",
            "DECIMAL(38,0)",
            (
                "If all values are whole numbers, cast them with a query: "
                "SELECT CAST(CAST(\"identity\" AS BIGINT) AS VARCHAR) AS … FROM '…'."
            ),
        ),
        (
            "10.0::DOUBLE",
            "DOUBLE",
            (
                "If all values are whole numbers, cast them with a query: "
                "SELECT CAST(CAST(\"identity\" AS BIGINT) AS VARCHAR) AS … FROM '…'."
            ),
        ),
        (
            "'a'::BLOB",
            "BLOB",
            "If it is UTF-8, decode it with a query: SELECT decode(\"identity\") AS … FROM '…'.",
        ),
        ("['a']", "VARCHAR[]", "An identity is a single text value. Extract it with a query."),
        (
            "{'a': 'b'}",
            "STRUCT(a VARCHAR)",
            "An identity is a single text value. Extract it with a query.",
        ),
    ],
)
def test_a_column_that_is_not_text_is_an_error_that_shows_the_cast(
    engine: DuckEngine, tmp_path: Path, value: str, type_: str, advice: str
) -> None:
    path = tmp_path / "m.parquet"
    duckdb.sql(f"COPY (SELECT {value} AS identity) TO '{path}'")
    message = f'column "identity" is {type_}, not text {advice}'
    assert error_of(engine, path, "parquet") == message


UUID = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("(-7)::TINYINT", "-7"),
        ("7::USMALLINT", "7"),
        ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615::UBIGINT", "18446744073709551615"),
        (f"'{UUID}'::UUID", UUID.lower()),
    ],
)
def test_a_whole_number_and_a_uuid_in_parquet_are_taken_as_they_are_written(
    engine: DuckEngine, tmp_path: Path, value: str, text: str
) -> None:
    duckdb.sql(f"COPY (SELECT {value} AS identity) TO '{tmp_path / 'm.parquet'}'")
    assert load_file(engine, tmp_path / "m.parquet", "parquet")[1] == [text]


def test_invalid_rows_are_counted_by_kind_with_the_first_of_each(
    engine: DuckEngine, tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_text('identity,x\nok,1\n,2\n" sp",3\n"",4\nnull,5\nok,6\n')
    stats, members = load_file(engine, path, "csv")
    assert stats.rows == 6
    assert stats.duplicates == 1  # an invalid row is no duplicate
    assert stats.invalid == {
        IdentityProblem.NULL: 2,
        IdentityProblem.PLACEHOLDER: 1,
        IdentityProblem.SPACE: 1,
    }
    assert stats.first_rows == {
        IdentityProblem.NULL: 2,
        IdentityProblem.SPACE: 3,
        IdentityProblem.PLACEHOLDER: 5,
    }
    assert members == ["ok"]


VALUES = [
    *("a", "0012345", "NO", "a b", "é", "😀", "a" * 1023, "\u017f", "İ", "-10", "nanny", "00"),
    *("", " ", "\u00a0", "\u3000\u2003", " a", "a\u00a0", "\ufeffa", "a\u200b"),
    *("a\tb", "\x7f", "a\x85", "a\u2028b", "\n", "a" * 1024, "😀" * 1024),
    *("\\N", "(null)", "<NA>", "[object Object]", "#N/A", "NaT", "#REF!"),
    *("9.19877E+11", "1e-05", "-1,5E+100", '="0012"', '="é"', "1E11", "E+1", "9.1E+1234", "=1"),
    *("null", "NaN", "N/A", "None", "0", "-1", "xxxxxx", "Undefined", "-Infinity"),
]


@pytest.mark.parametrize("value", VALUES)
def test_sql_finds_the_same_problem_in_a_value_as_python(engine: DuckEngine, value: str) -> None:
    number = engine.load(InlineRows(kind=Kind.IDENTITY, values=[value]), targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    stats = engine.diff().loads[number]
    expected = find_problem(value)
    assert stats.invalid == ({expected: 1} if expected else {})


# Which files may be read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "in.csv").write_text("identity\na\n")
    (tmp_path / "out.csv").write_text("identity\nb\n")
    (root / "link.csv").symlink_to(tmp_path / "out.csv")
    (root / "loop").symlink_to(root / "loop")
    (root / "inner").symlink_to(root / "in.csv")
    os.mkfifo(root / "pipe.csv")
    return root


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../out.csv", "../out.csv is outside the workspace"),
        ("link.csv", "link.csv is outside the workspace"),
        ("/etc/passwd", "/etc/passwd is outside the workspace"),
        ("x/../../out.csv", "x/../../out.csv is outside the workspace"),
        ("../none.csv", "../none.csv is outside the workspace"),
        ("none.csv", "there is no file none.csv"),
        (".", ". is a folder"),
        ("pipe.csv", "pipe.csv is not a regular file"),
        ("loop", "loop: a loop of symbolic links"),
        ("a" * 300, f"{'a' * 300}: file name too long"),
        ("a\0b", "the path is empty or contains a NUL character"),
        ("s3://bucket/x.csv", "s3://bucket/x.csv is not a file in the workspace"),
    ],
)
def test_a_path_that_may_not_be_read_is_an_error(root: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        PathPolicy(root=root).resolve(path)
    assert caught.value.summary == message


def test_a_link_inside_the_workspace_is_followed(root: Path) -> None:
    assert PathPolicy(root=root).resolve("inner") == (root / "in.csv").resolve()


@pytest.mark.parametrize("allowed", ["..", "/"])
def test_a_file_in_an_allowed_folder_may_be_read(root: Path, allowed: str) -> None:
    policy = PathPolicy(root=root, allowed=(allowed,))
    assert policy.resolve("link.csv") == (root.parent / "out.csv").resolve()
