"""Exact messages for errors in queries and files."""

from pathlib import Path

import pytest

from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, SourceError
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare


@pytest.mark.parametrize(
    ("sql", "summary", "detail"),
    [
        (
            "select 'a' as identity, 'b' as Identity",
            'the query returns two columns named "identity"',
            "Remove or rename one of them.",
        ),
        (
            "select 'a' as identity where 'x' <> ?",
            "the query has a parameter without a value",
            "Write a parameter as $NAME, where NAME is a variable of segctl.yaml.",
        ),
        (
            "select email as identity from a.csv",
            "the query names a file without quotes",
            "Write it in single quotes, such as 'members/gold.csv'.",
        ),
        (
            "selec a",
            'the query cannot be parsed: syntax error at or near "selec"',
            "The mistake is there or just before it.",
        ),
        (
            "select 'ééééééééééééééé' as identity\nfrom range(2)\nwher x",
            'the query cannot be parsed: syntax error at or near "x", in line 3 of the query',
            "The mistake is there or just before it.",
        ),
        (
            "select 'a' as identity from '/dev/null'",
            "/dev/null is outside the workspace",
            "Move it inside, or add its folder to spec.allowFolders in segctl.yaml.",
        ),
        (
            "select (select 'anna@example.com' from range(2)) as identity",
            "the query failed: DuckDB rejects a value or a function in it (InvalidInput)",
            "The full message may contain your data. Run the query in DuckDB to see it.",
        ),
    ],
)
def test_a_query_that_fails_is_explained(
    engine: DuckEngine, tmp_path: Path, sql: str, summary: str, detail: str
) -> None:
    with pytest.raises(SourceError) as caught:
        engine.load(prepare(sql, {}, PathPolicy(root=tmp_path), engine.parse_select), targets=[0])
    assert (caught.value.summary, caught.value.detail) == (summary, detail)


@pytest.mark.parametrize(
    ("sql", "name", "advice"),
    [
        ("select emial as identity from 'a.csv'", "emial", 'Did you mean "email"? '),
        ("select a.x as identity from 'a.csv' a", "x", ""),
        (
            "select email as identity from 'a.csv' where day = \"May 1\"",
            "May 1",
            "If it is text, write it in single quotes. ",
        ),
    ],
)
def test_an_unknown_column_lists_the_columns(
    engine: DuckEngine, tmp_path: Path, sql: str, name: str, advice: str
) -> None:
    (tmp_path / "a.csv").write_text("email,day\nanna,1\n")
    with pytest.raises(SourceError) as caught:
        engine.load(prepare(sql, {}, PathPolicy(root=tmp_path), engine.parse_select), targets=[0])
    assert caught.value.summary == f'the query failed: there is no column "{name}"'
    assert caught.value.detail == f"{advice}The columns of its files are: email, day."


@pytest.mark.parametrize(
    ("name", "header", "mark"),
    [("a.csv", "email;day", "a semicolon"), ("a.csv", "email\tday", "a tab"),
     ("a.tsv", "email,day", "a comma")],
)  # fmt: skip
def test_a_file_with_another_delimiter_is_explained(
    engine: DuckEngine, tmp_path: Path, name: str, header: str, mark: str
) -> None:
    path = tmp_path / name
    path.write_text(f"{header}\nanna@example.com;1\n")
    scan = FileScan(
        paths=(path,),
        format="tsv" if name == "a.tsv" else "csv",
        column="email",
        kind=Kind.IDENTITY,
    )
    with pytest.raises(SourceError) as caught:
        engine.load(scan, targets=[0])
    assert caught.value.summary == (
        f'the file has no column "email": its header is a single name that contains {mark}'
    )
