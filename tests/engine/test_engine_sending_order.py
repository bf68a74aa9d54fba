"""The saved delta of one operation: the requests are those of the packer."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from segctl.core.identity import Kind
from segctl.core.request_limits import Counting, Limits
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import (
    InlineRows,
    PackingSummary,
    SavedPlanError,
    SavedPlanFiles,
)
from segctl.packing.placing import place
from tests.engine.engine_kit import recorded_files

USERS = tuple(f"u{number:04}" for number in range(250))
Row = tuple[object, ...]


def save(
    folder: Path, users: tuple[str, ...], recorded: tuple[str, ...], counting: Counting
) -> PackingSummary:
    """Pack and save the changes of one segment; ``users`` are desired."""
    engine = DuckEngine(folder, threads=2)
    engine.load(InlineRows(kind=Kind.IDENTITY, values=(*users[::-1], *users)), targets=[0])
    before = [(Kind.IDENTITY, user) for user in recorded]
    engine.set_recorded(0, recorded_files(folder, before), wanted=True)
    engine.diff()
    summary = engine.pack(["A"], counting=counting, settle_seconds=30.0)
    engine.save(folder / "delta.parquet")
    engine.close()
    return summary


def read(file: Path, columns: str = "request, entry, action, value") -> list[Row]:
    with duckdb.connect() as db:
        return db.execute(f"SELECT {columns} FROM '{file}'").fetchall()


@pytest.mark.parametrize("counting", ["strict", "distinct", "pairs"])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
@pytest.mark.parametrize("action", ["ADD", "REMOVE"])
@pytest.mark.parametrize("max_changes", [50, 1000])
def test_the_requests_of_one_operation_are_those_of_the_packer(
    tmp_path: Path, action: str, count: int, counting: Counting, max_changes: int
) -> None:
    users = USERS[:count]
    desired, recorded = (users, ()) if action == "ADD" else ((), users)
    summary = save(tmp_path, desired, recorded, counting)
    placing = place(
        np.arange(count, dtype=np.int32),
        np.zeros(count, np.int32),
        removal=np.array([action == "REMOVE"]),
        limits=Limits(counting=counting),
        max_changes=max_changes,
    )
    assert read(tmp_path / "delta.parquet") == [
        (placing.request[entry], entry, action, user)
        for user, entry in zip(users, placing.entry.tolist(), strict=True)
    ]
    assert (summary.requests, summary.naive, summary.floor, summary.settle_from) == (
        placing.requests,
        placing.naive,
        placing.floor,
        placing.requests,
    )


def test_an_empty_delta_is_saved_without_rows(tmp_path: Path) -> None:
    assert save(tmp_path, ("anna",), ("anna",), "strict").requests == 0
    assert read(tmp_path / "delta.parquet") == []


ORDERS = {
    "the last request first": "FROM t ORDER BY request DESC, entry",
    "one entry in two requests": "SELECT * REPLACE (0 AS entry) FROM t",
    "an entry that comes back": "SELECT * REPLACE ((entry + (value = 'u0000')::INTEGER)::INTEGER "
    "AS entry) FROM t",
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_entries_in_another_order_are_refused(tmp_path: Path, order: str) -> None:
    save(tmp_path, USERS, (), "strict")
    file = tmp_path / "delta.parquet"
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE t AS FROM '{file}'")
        db.execute(f"COPY ({order}) TO '{file}' (FORMAT parquet)")
    engine = DuckEngine(tmp_path, threads=2)
    with pytest.raises(SavedPlanError, match="not in the order of their requests"):
        engine.prove_saved_plan(
            SavedPlanFiles(
                delta=file,
                keys=("A",),
                requests=3,
                settle_from=3,
                counting="strict",
                values=(),
                segments=(0,),
            )
        )
    engine.close()
