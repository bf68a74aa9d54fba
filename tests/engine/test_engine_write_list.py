"""Writing a list as a base file is the same as comparing it with nothing and writing the adds."""

from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import Kind, SetDigest, find_problem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan

VALUES = st.lists(
    st.sampled_from(["ann", "Ann", "bob", "dé@x.example", "a b", "E5", "null", "", " x", "2E+11"]),
    max_size=12,
)


def scan_of(file: Path, values: list[str | None], kind: Kind = Kind.IDENTITY) -> FileScan:
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT unnest($1::VARCHAR[]) AS key) TO '{file}' (FORMAT parquet)", [values]
        )
    return FileScan(paths=(file,), format="parquet", column="key", kind=kind)


def written(file: Path) -> list[tuple[str, str]]:
    with duckdb.connect() as db:
        return db.execute(f"FROM read_parquet('{file}')").fetchall()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


@given(values=VALUES, kind=st.sampled_from(Kind))
def test_a_written_list_has_each_valid_value_once_in_order(
    folder: Path, values: list[str], kind: Kind
) -> None:
    engine = DuckEngine(folder)
    stats, folded = engine.write_list(scan_of(folder / "list.parquet", list(values), kind))
    engine.close()
    assert stats.rows == len(values)
    if any(find_problem(value) for value in values):
        assert folded is None
        assert sum(stats.invalid.values()) == sum(bool(find_problem(value)) for value in values)
        return
    assert folded is not None
    distinct = sorted({value.encode() for value in values})
    members = [(kind, value.decode()) for value in distinct]
    assert folded.digest == SetDigest.of(members)
    assert stats.duplicates == len(values) - len(distinct)
    assert (written(folded.base) if folded.base else []) == members


def test_values_that_differ_in_case_are_counted(tmp_path: Path) -> None:
    engine = DuckEngine(tmp_path)
    stats, _ = engine.write_list(scan_of(tmp_path / "list.parquet", ["ann", "Ann", "bob"]))
    engine.close()
    assert stats.anomalies.case_variants == 2


def test_a_null_in_a_list_is_named_by_its_row(tmp_path: Path) -> None:
    engine = DuckEngine(tmp_path)
    stats, folded = engine.write_list(scan_of(tmp_path / "list.parquet", ["ann", None, None]))
    engine.close()
    assert folded is None
    assert (stats.invalid, stats.first_rows) == ({"null": 2}, {"null": 2})
