"""Files that are no lists are refused with their own words, and every byte of a list is read."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import IdentityProblem, Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.file_contents import LINE_LIMITS, check_files
from segctl.engine.model import (
    FileScan,
    InlineRows,
    LoadStats,
    RecordedFiles,
    Rows,
    SourceError,
)
from segctl.manifests.file_formats import Format
from tests.profiles import examples
from tests.sources.source_files import read, scan_files

TEXT: tuple[Format, ...] = ("csv", "tsv", "txt", "jsonl")
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, 1),
    ".zst": zstandard.ZstdCompressor().compress,
}


def problem(folder: Path, content: bytes, format_: Format, suffix: str = "") -> str:
    """Return the summary and the line of the error for a file, or an empty string."""
    file = folder / f"list.{format_}{suffix}"
    file.write_bytes(COMPRESS[suffix](content))
    try:
        check_files([file], format_)
    except SourceError as error:
        return f"{error.line}: {error.summary}" if error.file == file else "no file"
    return ""


NOT_LISTS = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\xef\xbb\xbf \r\n\n", "the file is empty"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "an HTML or XML document"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "an HTML or XML"),
    "gzip": (gzip.compress(b"identity\n"), "compressed with gzip"),
    "zip": (b"PK\x03\x04\x14\0\0\0", "a zip file or a spreadsheet"),
    "parquet": (b"PAR1\x15\x04", "a Parquet file"),
    "utf-16": ("identity\na\n".encode("utf-16"), "text in UTF-16"),
    "nul tail": (b"identity\na\n" + bytes(5000), "3: the file has a NUL byte"),
    "conflict": (
        b"identity\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n",
        "2: the file has the marks",
    ),
    "half resolved": (b"identity\na\n=======\nb\n", "3: the file has the marks of a merge"),
}


@pytest.mark.parametrize("format_", TEXT)
@pytest.mark.parametrize(("content", "expected"), NOT_LISTS.values(), ids=NOT_LISTS)
def test_a_file_that_is_no_list_is_named(
    content: bytes, expected: str, format_: Format, tmp_path: Path
) -> None:
    assert expected in problem(tmp_path, content, format_)


@pytest.mark.parametrize("format_", ["csv", "tsv", "txt"])
@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        '  File "export.py", line 3, in <module>',
        "psycopg.OperationalError: connection refused",
        "ERROR: relation does not exist",
        "(12 rows)",
        '{"error": "timeout"}',
        "<html><body>504</body></html>",
        "...",
        "\\.",
        "Killed",
    ],
)
def test_a_message_of_a_program_is_no_row(line: str, format_: Format, tmp_path: Path) -> None:
    rows = "identity\n" + "".join(f"user-{n}\n" for n in range(5000))
    found = problem(tmp_path, f"{rows}{line}\n".encode(), format_)
    assert found == "5002: a line is the message of a program, not a row"


@pytest.mark.parametrize("before", range(4060, 4100))
def test_a_part_of_a_line_is_no_message(before: int, tmp_path: Path) -> None:
    line = b"  x Killed\n"
    assert not problem(tmp_path, b"a" * before + b" Killed" + b"b" * 5000 + b"\n", "txt")
    assert not problem(tmp_path, b"b" * 5000 + line + b"a" * (before - 11), "txt")
    assert not problem(tmp_path, b"b" * 5000 + b" Killed\n" + b"\n" * (before - 2), "txt")


def test_a_row_in_quotes_of_a_txt_in_a_query_has_the_limit_of_csv(tmp_path: Path) -> None:
    """DuckDB reads it as csv there, where line ends within quotes end no row."""
    file = tmp_path / "list.txt"
    file.write_bytes(b'identity\na\n"' + b"x\n" * 1_000_001 + b'"')
    with pytest.raises(SourceError, match="line is longer than 2 MB, the limit for CSV"):
        check_files([file], None)


def test_json_is_no_csv(tmp_path: Path) -> None:
    assert "JSON, not a list" in problem(tmp_path, b'{"error": "denied"}\n', "txt")


def test_a_parquet_file_without_its_end_is_incomplete(tmp_path: Path) -> None:
    assert "incomplete" in problem(tmp_path, b"PAR1" + b"x" * 100, "parquet")
    assert "Git LFS" in problem(tmp_path, NOT_LISTS["lfs"][0], "parquet")


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("format_", TEXT)
@pytest.mark.parametrize("is_last", [True, False])
def test_a_line_beyond_the_limit_is_an_error(
    format_: Format, suffix: str, is_last: bool, tmp_path: Path
) -> None:
    limit = 16 if format_ == "jsonl" else 2
    long = b"x" * (limit * 1_000_000 + 1)
    lines = [b"identity", b"a", b"b", *([] if is_last else [b"c"])]
    lines.insert(3, long)
    found = problem(tmp_path, b"\n".join(lines), format_, suffix)
    name = {"jsonl": "JSON Lines", "txt": "txt"}.get(format_, format_.upper())
    assert found == f"4: line is longer than {limit} MB, the limit for {name}"
    assert not problem(tmp_path, b"\n".join([*lines[:3], long[:-3]]), format_, suffix)


def test_a_row_with_line_ends_in_quotes_is_one_line(tmp_path: Path) -> None:
    row = b'"' + b"x\n" * 1_200_000 + b'"\n'
    assert "line is longer than 2 MB" in problem(tmp_path, b"identity\n" + row, "csv")
    rows = (b'"' + b"x\n" * 500_000 + b'"\n') * 4
    assert not problem(tmp_path, b"identity\n" + rows, "csv")


def test_a_quote_within_an_unquoted_value_begins_none(tmp_path: Path) -> None:
    rows = b"".join(b'O"Brien-%d\n' % n for n in range(200_001))
    assert not problem(tmp_path, b"identity\n" + rows, "csv")


@settings(max_examples=examples(20, torture=300), deadline=None)
@given(
    lines=st.lists(st.sampled_from(['a"b', '"a\nb"', '"a""\n"', "x,y", "", "u"]), max_size=40),
    format_=st.sampled_from(TEXT),
)
def test_short_rows_are_no_problem_however_they_are_quoted(
    lines: list[str], format_: Format, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = "\n".join(["identity", *lines]).encode()
    assert not problem(tmp_path_factory.mktemp("contents"), content, format_)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckEngine]:
    engine = DuckEngine(tmp_path)
    yield engine
    engine.close()


def load_txt(
    engine: DuckEngine, folder: Path, text: str, comments: str | None = None
) -> tuple[LoadStats, list[str]]:
    file = folder / "list.txt"
    file.write_text(text, encoding="utf-8")
    rows = FileScan(
        paths=(file,), format="txt", column="identity", kind=Kind.IDENTITY, comments=comments
    )
    return read(engine, rows)


@pytest.mark.parametrize("text", ["# opted out\nann\n", "ann # by phone\n", "ann\n  # x\n"])
def test_a_comment_in_a_txt_is_an_error(text: str, engine: DuckEngine, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="1 line has a # at the beginning or after white space"):
        load_txt(engine, tmp_path, text)


def test_comments_are_left_out_if_a_source_says_so(engine: DuckEngine, tmp_path: Path) -> None:
    text = "# opted out\nann # by phone\nbob#1\n\t# x\n"
    assert load_txt(engine, tmp_path, text, "#")[1] == ["ann", "bob#1"]


def test_a_line_may_begin_with_a_number_sign(engine: DuckEngine, tmp_path: Path) -> None:
    assert load_txt(engine, tmp_path, "#1\nann #2\n", "")[1] == ["#1", "ann #2"]


@pytest.mark.parametrize("rows_from", ["file", "list"])
def test_a_value_that_does_not_match_its_pattern_is_invalid(
    rows_from: str, engine: DuckEngine, tmp_path: Path
) -> None:
    values = ["12345678", "1234567", "null", "x"]
    file = tmp_path / "list.txt"
    file.write_text("\n".join(values), encoding="utf-8")
    rows: Rows = InlineRows(kind=Kind.IDENTITY, values=values)
    if rows_from == "file":
        rows = FileScan(paths=(file,), format="txt", column="x", kind=Kind.IDENTITY)
    number = engine.load(rows, targets=[0], patterns={Kind.IDENTITY: "[0-9]{8}"})
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    stats = diff.loads[number]
    assert stats.invalid == {IdentityProblem.PATTERN: 2, IdentityProblem.PLACEHOLDER: 1}
    assert (stats.users, diff.targets[0].add) == (1, 1)
    if rows_from == "file":
        assert stats.first_rows[IdentityProblem.PATTERN] == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
@pytest.mark.parametrize("kind", ["csv", "tsv", "txt"])
def test_a_row_of_the_longest_length_can_be_read(
    engine: DuckEngine, root: Path, kind: str, end: str
) -> None:
    header = {"csv": "x,identity", "tsv": "x\tidentity", "txt": "a"}[kind]
    mark, first_end = header[1:2], end or "\n"
    row = "y" * (LINE_LIMITS[kind] - len("\r\n") - len(mark) - 1) + f"{mark}b"
    (root / f"m.{kind}").write_bytes(f"{header}{first_end}{row}{end}".encode())
    assert read(engine, scan_files(root, f"m.{kind}"))[0].rows == 1 + (kind == "txt")
