"""``validate`` says of files and queries what a plan would say, without reading rows."""

import gzip
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from segctl.core.diagnostics import Severity
from segctl.core.errors import InvalidInput
from segctl.engine import beginnings, file_contents
from segctl.manifests.workspace import LoadedWorkspace
from segctl.workflows.validate import validate_workspace
from tests.planning.unchanged_kit import Workspace

CSV = "email,tier\na@example.com,gold\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
SPEC = "{connections: {crm: {env: CRM}}, allowCommands: [bq], variables: {day: {default: x}}}"


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    shop = Workspace(tmp_path / "shop")
    shop.project(SPEC)
    shop.write("m.csv", CSV)
    return shop


def validate(shop: Workspace, *sources: dict[str, Any], offline: bool = False) -> LoadedWorkspace:
    """Validate a segment with these sources."""
    spec = {"displayName": "G", "members": list(sources)}
    gold = {"apiVersion": "segctl/v1", "kind": "Segment", "metadata": {"name": "gold"}}
    shop.write("gold.yaml", json.dumps({**gold, "spec": spec}))
    return validate_workspace(shop.context(), variables={}, offline=offline)


def file(path: str, column: str = "email", **more: str) -> dict[str, Any]:
    return {"file": {"path": path, "column": column, **more}}


def query(sql: str) -> dict[str, Any]:
    return {"query": {"sql": sql}}


BAD_FILES: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "missing": ("", file("no.csv")),
    "no column": (CSV, file("x.csv", "mail")),
    "a column twice": ("email,email\na,b\n", file("x.csv")),
    "another delimiter": (CSV.replace(",", ";"), file("x.csv")),
    "no header": ("", file("x.csv")),
    "an open quote": ('email,"tier\na,b"\n', file("x.csv")),
    "a NUL": ("email\na\0b\n", file("x.csv", "mail")),
    "no line end": ("email" + "x" * 2_000_000, file("x.csv")),
    "no line end in gzip": (gzip.compress(b"email" + b"x" * 2_000_000), file("x.csv.gz")),
    "no line end in jsonl": ('{"email": "' + "x" * 16_000_000, file("x.jsonl")),
    "a pointer": (POINTER, file("x.csv")),
    "a pointer in txt": (POINTER, {"file": {"path": "x.txt"}}),
    "a pointer in Parquet": (POINTER, file("x.parquet")),
    "not gzip": (CSV, file("x.csv.gz")),
    "no column in gzip": (gzip.compress(CSV.encode()), file("x.csv.gz", "mail")),
    "UTF-16": (CSV.encode("utf-16"), file("x.csv")),
    "a web page": ("<!doctype html><p>Sign in", {"file": {"path": "x.txt"}}),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_has_the_problem_that_a_plan_reports(shop: Workspace, name: str) -> None:
    content, source = BAD_FILES[name]
    if name != "missing":
        shop.write(source["file"]["path"], content)
    loaded = validate(shop, source)
    assert loaded.desired is None
    with pytest.raises(InvalidInput) as refused:
        shop.plan()
    assert loaded.diagnostics == refused.value.diagnostics


def test_queries_have_the_problems_that_a_plan_reports(shop: Workspace) -> None:
    shop.write("lfs.csv", POINTER)
    shop.write("q.sql", "\nSELECT mail AS identity FROM 'm.csv'")
    loaded = validate(
        shop,
        query("SELEC 1"),
        query("DELETE FROM x"),
        query("SELECT email FROM 'm.csv'"),
        query("SELECT mail AS identity FROM 'm.csv'"),
        query("SELECT 1.5 AS identity FROM 'm.csv'"),
        query("SELECT email AS identity FROM 'no.csv'"),
        query("SELECT email AS identity FROM 'lfs.csv'"),
        query("SELECT email AS identity, email AS identity FROM 'm.csv'"),
        {"query": {"sql": {"file": "q.sql"}}},
        {"sqlite": {"path": "no.db", "table": "users"}},
    )
    assert len(loaded.diagnostics) == 10
    with pytest.raises(InvalidInput) as refused:
        shop.plan()
    assert set(loaded.diagnostics) == set(refused.value.diagnostics)


def test_the_sql_of_sqlite_is_prepared_and_not_run(shop: Workspace) -> None:
    with closing(sqlite3.connect(shop.root / "crm.db")) as db:
        db.executescript("CREATE TABLE users (email TEXT)")

    def of(**source: str) -> dict[str, Any]:
        return {"sqlite": {"path": "crm.db", **source}}

    bad = [
        of(table="user", column="email"),
        of(table="users", column="mail"),
        of(sql="SELEC 1"),
        of(sql="SELECT mail AS identity FROM users"),
        of(sql="DELETE FROM users"),
        of(sql="SELECT 1; SELECT 2"),
    ]
    good = [
        of(table="users", column="email"),
        of(sql="SELECT email AS identity FROM users WHERE email > $day; -- all"),
        of(
            sql="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
            "SELECT max(i) AS identity FROM n"
        ),
    ]
    assert validate(shop, *good).diagnostics == ()
    loaded = validate(shop, *bad)
    assert len(loaded.diagnostics) == len(bad)
    with pytest.raises(InvalidInput) as refused:
        shop.plan()
    assert set(loaded.diagnostics) == set(refused.value.diagnostics)


def test_what_a_plan_reads_is_valid(shop: Workspace) -> None:
    shop.write("bom.csv", b"\xef\xbb\xbf" + CSV.encode())
    shop.write("quoted.csv", '"e-mail","email"\r\n"a","b"\r\n')
    shop.write("x.csv.gz", gzip.compress(CSV.encode(), mtime=0))
    shop.write("day=1/a.jsonl", '\n{"id": "x", "email": "a"}\n')
    shop.write("one.jsonl", '{"email": "a"}')
    shop.write("list.txt", "a\n")
    loaded = validate(
        shop,
        file("m.csv"),
        file("bom.csv"),
        file("quoted.csv"),
        file("x.csv.gz"),
        file("day=1", "day"),
        file("day=1"),
        file("one.jsonl"),
        {"file": {"path": "list.txt"}},
        query("SELECT email AS identity FROM 'm.csv' WHERE tier = $day"),
        query("SELECT v AS identity FROM (VALUES ('a')) t(v)"),
    )
    assert (loaded.diagnostics, loaded.desired is not None) == ((), True)


def test_rows_are_not_read(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "_HEADER_BYTES", 64)
    monkeypatch.setattr(file_contents, "_CHUNK", 64)
    shop.write("m.csv", CSV + "a\0b,\n" * 100)
    assert validate(shop, file("m.csv")).diagnostics == ()


def test_nothing_outside_is_reached(shop: Workspace) -> None:
    loaded = validate(
        shop,
        file("s3://no-such-bucket/a.csv"),
        query("SELECT email AS identity FROM 's3://no-such-bucket/a.csv'"),
        {"postgres": {"connection": "crm", "sql": "no SQL at all"}},
        {"command": ["bq", "query"]},
        {"segment": "other"},
        {"identities": ["a"]},
    )
    assert [d.code for d in loaded.diagnostics] == ["unknown-segment"]


def test_a_query_over_a_bucket_is_parsed(shop: Workspace) -> None:
    loaded = validate(shop, query("SELEC email FROM 's3://no-such-bucket/a.csv'"))
    assert [d.code for d in loaded.diagnostics] == ["query-syntax"]


def test_offline_looks_at_no_file_and_no_query(shop: Workspace) -> None:
    loaded = validate(shop, file("no.csv"), query("SELEC 1"), offline=True)
    assert (loaded.diagnostics, loaded.desired is not None) == ((), True)


@pytest.mark.parametrize(
    ("first", "advice"),
    [
        ('{"emial": "a"}', 'Did you mean "emial"?'),
        ('{"id": "a", "d": 1}', "Its keys are: id, d."),
        ("{}", "It has no key."),
    ],
)
def test_a_first_line_without_the_key_is_a_warning(
    shop: Workspace, first: str, advice: str
) -> None:
    shop.write("x.jsonl", first + '\n{"email": "b"}\n')
    [problem] = validate(shop, file("x.jsonl")).diagnostics
    assert problem.severity is Severity.WARNING
    assert problem.summary == 'x.jsonl:1: the first line has no key "email".'
    assert problem.detail == advice


@pytest.mark.parametrize("first", ["[1]", "no JSON", '"email"'])
def test_a_first_line_that_is_no_object_is_left_to_the_plan(shop: Workspace, first: str) -> None:
    shop.write("x.jsonl", f"{first}\n")
    assert validate(shop, file("x.jsonl")).diagnostics == ()


def test_a_query_over_a_file_without_lines_is_told(shop: Workspace) -> None:
    shop.write("x.csv", "x" * 2_000_001)
    [problem] = validate(shop, query("SELECT email AS identity FROM 'x.csv'")).diagnostics
    assert "line is longer than 2 MB" in problem.summary


def test_one_bad_file_of_many_is_named(shop: Workspace) -> None:
    shop.write("m/a.csv", CSV)
    shop.write("m/b.csv", "mail\nx\n")
    [problem] = validate(shop, file("m")).diagnostics
    assert problem.summary == 'm/b.csv: the file has no column "email"'


def test_a_table_needs_its_segment_column(shop: Workspace) -> None:
    table = {
        "apiVersion": "segctl/v1",
        "kind": "SegmentTable",
        "metadata": {"name": "t"},
        "spec": {
            "source": file("m.csv"),
            "segmentColumn": "teir",
            "segments": {"gold": {"displayName": "G"}},
        },
    }
    shop.write("table.yaml", json.dumps(table))
    [problem] = validate_workspace(shop.context(), variables={}).diagnostics
    assert problem.summary == 'm.csv: the file has no column "teir"'


def test_each_environment_is_looked_at_and_the_same_source_once(shop: Workspace) -> None:
    shop.project(
        "{variables: {f: {default: m.csv}}, environments: {a: {state: {path: a}}, "
        "b: {state: {path: b}, variables: {f: no.csv}}}}"
    )
    loaded = validate(shop, file("${var.f}"), file("m.csv", "mail"))
    assert [(d.code, d.summary.split(":")[0]) for d in loaded.diagnostics] == [
        ("missing-file", "there is no file no.csv"),
        ("missing-column", "m.csv"),
    ]
    assert loaded.desired is None


def test_a_pull_request_cannot_look_into_a_folder_that_it_allows_itself(
    shop: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "secret.csv").write_text("token-of-the-runner\n")
    shop.project("{allowFolders: ['..']}")
    shop.environment.update(GITHUB_ACTIONS="true", GITHUB_EVENT_NAME="pull_request")
    loaded = validate(shop, file("../secret.csv"))
    assert "token" not in str(loaded.diagnostics)
    assert loaded.desired is not None


def test_a_pipe_is_not_opened(shop: Workspace) -> None:
    os.mkfifo(shop.root / "pipe.csv")
    [problem] = validate(shop, file("pipe.csv")).diagnostics
    assert problem.code == "unreadable-file"
