"""Parquet files with damaged pages and an intact footer."""

from pathlib import Path

import duckdb
import pytest

from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import SourceError
from segctl.sources.path_policy import PathPolicy
from segctl.sources.query import prepare
from tests.sources.source_files import read, scan_files


def write_damaged(path: Path) -> None:
    """Write a file with zeros in its pages. Its statistics are still right."""
    with duckdb.connect() as db:
        users = "SELECT 'user' || i AS identity FROM range(100000) t(i)"
        db.execute(f"COPY ({users}) TO '{path}' (FORMAT parquet)")
    content = bytearray(path.read_bytes())
    content[1000:50_000] = bytes(49_000)
    path.write_bytes(content)


def test_a_damaged_page_is_an_error_of_its_source(engine: DuckEngine, root: Path) -> None:
    write_damaged(root / "m.parquet")
    with pytest.raises(SourceError) as caught:
        read(engine, scan_files(root, "m.parquet"))
    message = f"{caught.value.summary} {caught.value.detail}"
    assert message == "the file cannot be read: it seems to be damaged Write the file again."


def test_the_error_names_the_damaged_one_of_several_files(engine: DuckEngine, root: Path) -> None:
    write_damaged(root / "2.parquet")
    duckdb.sql(f"COPY (SELECT 'a' AS identity) TO '{root}/1.parquet'")
    with pytest.raises(SourceError) as caught:
        read(engine, scan_files(root, "*.parquet"))
    assert caught.value.file == root / "2.parquet"


def test_the_error_of_a_query_names_the_damaged_file(engine: DuckEngine, root: Path) -> None:
    write_damaged(root / "m.parquet")
    sql = "SELECT identity FROM 'm.parquet'"
    with pytest.raises(SourceError) as caught:
        engine.load(prepare(sql, {}, PathPolicy(root=root), engine.parse_select), targets=[0])
    summary = "the query failed: the file cannot be read: it seems to be damaged"
    assert (caught.value.summary, caught.value.file) == (summary, root / "m.parquet")
