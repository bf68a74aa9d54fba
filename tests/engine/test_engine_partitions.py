"""Rows that do not fit in memory are deduplicated in partitions, with the same result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segctl.core.holdout import Holdout
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import Diff, RecordedFiles, TargetMembers
from segctl.engine.partitions import ALL_ROWS, MAX_PARTITIONS, run_in_partitions
from tests.engine.engine_kit import Delta, inline, write_delta

HALF, QUARTER = "hash(value) % 2 = 1", "hash(value) % 4 = 3"


class LowMemoryDatabase:
    """A database that runs out of memory when it deduplicates one of the given partitions."""

    def __init__(self, db: duckdb.DuckDBPyConnection, partitions: Sequence[str]) -> None:
        self._db = db
        self._too_large = [f"{word} {p}" for p in partitions for word in ("AND", "WHERE")]
        self.failures = 0

    def execute(self, statement: str, *parameters: Any) -> Any:
        if "DISTINCT" in statement and any(text in statement for text in self._too_large):
            self.failures += 1
            raise duckdb.OutOfMemoryException("failed to pin block")
        return self._db.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def compare(folder: Path, too_large: Sequence[str] = ()) -> tuple[Diff, Delta, int]:
    """Compare three targets with exclusions, suppression and a hold-out.

    Returns the diff, the delta, and how often memory ran out.
    """
    folder.mkdir()
    engine = DuckEngine(folder)
    db: Any = LowMemoryDatabase(engine._db, too_large)
    engine._db = engine._set_operations._db = db
    users = [f"user-{n}" for n in range(1_000)]
    engine.load(inline(*users, *users[:10]), targets=[0])
    engine.load(inline(*users[900:], "user-x"), targets=[0, 2])
    engine.load(TargetMembers(target_index=0), targets=[1])
    engine.hold_out(1, Holdout(percent=20.0, salt="s"))
    engine.load(inline(*users[:500]), targets=[2])
    engine.load(inline(*users[:30], *users[:5]), targets=[0, 2], role="exclude")
    engine.load(inline(*users[20:60], "user-x"), targets=[], role="suppress")
    for target_index in range(3):
        engine.set_recorded(target_index, RecordedFiles(), wanted=True)
    diff, delta = engine.diff(), write_delta(engine, ["a", "b", "c"], folder)
    engine.close()
    return diff, delta, db.failures


@pytest.mark.parametrize("too_large", [[ALL_ROWS], [ALL_ROWS, HALF], [ALL_ROWS, HALF, QUARTER]])
def test_the_diff_is_the_same_in_partitions(too_large: list[str], tmp_path: Path) -> None:
    *expected, no_failures = compare(tmp_path / "enough")
    *partitioned, failures = compare(tmp_path / "low", too_large)
    assert partitioned == expected
    assert (no_failures, failures > len(too_large)) == (0, True)


def partition_counts(message: str) -> list[int]:
    """Run work that fails every time; return the number of partitions of each attempt."""
    counts: list[int] = []

    def work(partitions: Sequence[str]) -> None:
        counts.append(len(partitions))
        raise duckdb.OutOfMemoryException(message)

    with pytest.raises(duckdb.OutOfMemoryException):
        run_in_partitions(work)
    return counts


def test_each_attempt_has_twice_as_many_partitions() -> None:
    assert partition_counts("failed to pin block") == [1, 2, 4, 8, 16, 32, MAX_PARTITIONS]


def test_a_full_disk_is_not_tried_again() -> None:
    assert partition_counts("failed to offload data block of size 256.0 KiB") == [1]
