"""A SQL file is read under the rules for member files, and its problems are told at their lines."""

import os
from pathlib import Path

import pytest

from segctl.core.errors import InvalidInput
from segctl.manifests.sql_files import MAX_BYTES, UnreadableSqlFile
from segctl.sources.sql_files import read_sql_file
from tests.planning.unchanged_kit import Workspace

GOLD = (
    "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\n"
    "spec: {displayName: G, members: [{query: {sql: {file: q/gold.sql}}}]}\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a workspace whose entries no source may read, with a folder next to it."""
    folder = tmp_path / "shop"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git/config").write_text("x")
    (tmp_path / "outside.sql").write_text("SELECT 1")
    (folder / "link.sql").symlink_to(tmp_path / "outside.sql")
    (folder / "folder.sql").mkdir()
    os.mkfifo(folder / "pipe.sql")
    return folder


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../outside.sql", "outside-workspace"),
        ("link.sql", "outside-workspace"),
        (".git/config", "private-path"),
        ("folder.sql", "unreadable-file"),
        ("pipe.sql", "unreadable-file"),
        ("no.sql", "missing-file"),
        ("s3://bucket/q.sql", "outside-workspace"),
        ("a\0b", "bad-path"),
    ],
)
def test_a_file_that_no_source_may_read_is_refused(root: Path, path: str, code: str) -> None:
    with pytest.raises(UnreadableSqlFile) as refused:
        read_sql_file(path, root=root, allowed=(), is_trusted=True)
    assert refused.value.code == code


def test_an_allowed_folder_counts_if_it_is_trusted(root: Path) -> None:
    read = read_sql_file("../outside.sql", root=root, allowed=("..",), is_trusted=True)
    assert read == b"SELECT 1"
    with pytest.raises(UnreadableSqlFile) as refused:
        read_sql_file("../outside.sql", root=root, allowed=("..",), is_trusted=False)
    assert refused.value.code == "untrusted"


def test_no_more_is_read_than_shows_that_a_file_is_too_large(root: Path) -> None:
    with (root / "large.sql").open("wb") as stream:
        stream.truncate(1 << 40)
    content = read_sql_file("large.sql", root=root, allowed=(), is_trusted=True)
    assert len(content) == MAX_BYTES + 1


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("\n SELECT a AS identity\nFRM 'm.csv'", "q/gold.sql:3:1: the query cannot be parsed"),
        ("\n  SELEC 1", "q/gold.sql:2:3: the query cannot be parsed"),
        (
            "\n\nSELECT b AS identity\nFROM 'm.csv'",
            "q/gold.sql:3: the query failed",
        ),
        ("SELECT identity FROM 'no.csv'", "q/gold.sql: there is no file no.csv"),
        ("SELECT identity AS a FROM 'm.csv'", "q/gold.sql: the query returns neither"),
        ("COPY m TO 'x'", "q/gold.sql: the query is not a SELECT"),
        ("SELECT getenv('HOME') AS identity", "q/gold.sql: the query calls getenv()"),
    ],
)
def test_a_problem_with_a_query_is_reported_at_its_place_in_the_file(
    tmp_path: Path, sql: str, message: str
) -> None:
    shop = Workspace(tmp_path / "shop")
    shop.write("gold.yaml", GOLD)
    shop.write("q/gold.sql", sql)
    shop.write("m.csv", "identity\na\n")
    with pytest.raises(InvalidInput) as refused:
        shop.plan()
    [problem] = refused.value.diagnostics
    assert f"{problem.location}: {problem.summary}".startswith(message)
    assert problem.detail.endswith("gold.yaml:4:34 uses this file.")
