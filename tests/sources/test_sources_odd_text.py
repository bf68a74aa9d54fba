"""Unusual text files are read completely, or cause an error."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, SourceError
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare
from tests.sources.source_files import read, scan_files


@pytest.mark.parametrize(
    "header",
    ["identity,,", "x,X,identity", "identity,Identity", "x,x,x (1),identity", "identity,p"],
)
def test_other_columns_may_have_any_names(engine: DuckEngine, root: Path, header: str) -> None:
    cells = ["a" if name == "identity" else "x" for name in header.split(",")]
    (root / "m.csv").write_text(f"{header}\n{','.join(cells)}\n")
    assert read(engine, scan_files(root, "m.csv"))[1] == ["a"]


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_in_quotes_may_differ_from_the_others(
    engine: DuckEngine, root: Path, end: str, inside: str
) -> None:
    (root / "m.csv").write_bytes(f'identity,x{end}a,"1{inside}2"{end}b,3{end}'.encode())
    assert read(engine, scan_files(root, "m.csv"))[1] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        '"x\ny",identity\r\nq,a\r\n',
        '\ufeffidentity,"x\ny"\na,q\n',
        ' ",identity\nq,a\n',
        'x"y,identity\nq,a\n',
        '\ufeff"x,",identity\nq,a\n',
        '\ufeff"x, ""y",identity\nq,a\n',
        "\nidentity,x\na,q\n",
        f"{'x' * 200_000},identity\nq,a\n",
    ],
)
def test_a_header_whose_end_is_ambiguous_is_an_error(
    engine: DuckEngine, root: Path, text: str
) -> None:
    (root / "m.csv").write_bytes(text.encode())
    with pytest.raises(SourceError) as caught:
        read(engine, scan_files(root, "m.csv"))
    assert caught.value.summary == "the header line cannot be read"


NAMES = st.sampled_from(["", "x", "X", "é", "q,z", 'a"b', "x,", "n\nl", " "])
VALUES = st.text(st.sampled_from('ab,"\n\té😀 '), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    others=st.lists(NAMES, min_size=1, max_size=2),
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=4),
    first=st.booleans(),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_csv_from_a_program_is_read_row_by_row_or_is_an_error(
    engine: DuckEngine,
    root: Path,
    *,
    others: list[str],
    rows: list[tuple[str, str]],
    first: bool,
    mark: str,
    end: str,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["identity", *others] if first else [*others, "identity"])
    for value, other in rows:
        cells = [other] * len(others)
        writer.writerow([value, *cells] if first else [*cells, value])
    (root / "m.csv").write_bytes((mark + text.getvalue()).encode())
    summary = None
    try:
        select = engine._reader.select_in_order(scan_files(root, "m.csv"))
    except SourceError as error:
        summary = error.summary
    event(f"error: {summary}")
    if summary:
        odd = any("\n" in name or "," in name for name in others)
        assert (odd, summary) == (
            True,
            "the header line cannot be read",
        )
        return
    members = engine._db.execute(f"SELECT coalesce(value, '') FROM ({select})").fetchall()
    assert sorted(members) == sorted((value,) for value, _ in rows)


def test_line_ends_in_quotes_are_not_rows_when_threads_share_a_file(
    engine: DuckEngine, root: Path
) -> None:
    stats, members = read(engine, scan_large_file(root, ""))
    assert (stats.rows, members) == (30_000, ["a"])


def test_a_large_file_that_ends_inside_quotes_is_an_error(engine: DuckEngine, root: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(engine, scan_large_file(root, '1,b,"'))
    assert caught.value.summary == "a quoted value does not end"


def scan_large_file(root: Path, end: str) -> FileScan:
    """Write a file larger than one thread reads, with quoted lines that look like rows."""
    note = "\n".join(["1,no-member,x"] * 100)
    (root / "m.csv").write_text("n,identity,note\n" + f'1,a,"{note}"\n' * 30_000 + end)
    return scan_files(root, "m.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"a"', "a line is not a JSON object"),
        ("123", "a line is not a JSON object"),
        ('["a", "b"]', "a line is not a JSON object"),
        ('[{"identity": "b"}]', "a line is not a JSON object"),
        ('{"identity": "b", "identity": "c"}', "a line has a key twice"),
        ('{"identity": "b"}{"identity": "c"}', "a line is not valid JSON"),
        ('{"identity": "b"', "a line is not valid JSON"),
        ("x", "a line is not valid JSON"),
    ],
)
@pytest.mark.parametrize("before", [0, 2])
def test_the_error_names_the_line_that_is_not_a_json_object(
    engine: DuckEngine, root: Path, line: str, before: int, message: str
) -> None:
    (root / "m.jsonl").write_text('{"identity": "a"}\n' * before + f"{line}\n")
    with pytest.raises(SourceError) as caught:
        read(engine, scan_files(root, "m.jsonl"))
    assert (caught.value.summary, caught.value.line) == (message, before + 1)


def test_the_error_of_a_query_over_a_large_file_says_what_to_do(
    engine: DuckEngine, root: Path
) -> None:
    scan_large_file(root, "")
    select = prepare("SELECT identity FROM 'm.csv'", {}, PathPolicy(root=root), engine.parse_select)
    with pytest.raises(SourceError) as caught:
        engine.load(select, targets=[0])
    assert caught.value.detail == "Read it as a file source, or write it as Parquet."
