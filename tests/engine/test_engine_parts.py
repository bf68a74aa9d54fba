"""What does not fit into memory at once is told apart in parts, with the same result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segctl.core.holdout import Holdout
from segctl.engine.duckdb import DuckEngine
from segctl.engine.memory_limit import EVERYTHING, MOST_PARTS, in_parts
from segctl.engine.model import Diff, RecordedFiles, TargetMembers
from tests.engine.engine_kit import delta, identities

HALF, QUARTER = "hash(value) % 2 = 1", "hash(value) % 4 = 3"


class Scarce:
    """A database without the memory to tell the rows apart that meet any of some conditions."""

    def __init__(self, db: duckdb.DuckDBPyConnection, conditions: Sequence[str]) -> None:
        self._db = db
        self._too_much = [f"{word} {c}" for c in conditions for word in ("AND", "WHERE")]
        self.refused = 0

    def execute(self, statement: str, *parameters: Any) -> Any:
        if "DISTINCT" in statement and any(text in statement for text in self._too_much):
            self.refused += 1
            raise duckdb.OutOfMemoryException("failed to pin block")
        return self._db.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def compared(folder: Path, *too_much: str) -> tuple[Diff, object, int]:
    """Fill a segment from two sources, and another from that one with a hold-out."""
    folder.mkdir()
    engine = DuckEngine(folder)
    db: Any = Scarce(engine._db, too_much)
    engine._db = engine._algebra._db = db
    users = [f"user-{n}" for n in range(1_000)]
    engine.load(identities(*users, *users[:10]), targets=[0])
    engine.load(identities(*users[900:], "user-x"), targets=[0, 2])
    engine.load(TargetMembers(target_index=0), targets=[1])
    engine.hold_out(1, Holdout(percent=20.0, salt="s"))
    engine.load(identities(*users[:500]), targets=[2])
    engine.load(identities(*users[:30], *users[:5]), targets=[0, 2], role="exclude")
    engine.load(identities(*users[20:60], "user-x"), targets=[], role="suppress")
    for target in range(3):
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    diff, rows = engine.diff(), delta(engine, ["a", "b", "c"], folder)
    engine.close()
    return diff, rows, db.refused


@pytest.mark.parametrize(
    "too_much", [[EVERYTHING], [EVERYTHING, HALF], [EVERYTHING, HALF, QUARTER]]
)
def test_the_diff_is_the_same_in_parts(too_much: list[str], tmp_path: Path) -> None:
    *plenty, never = compared(tmp_path / "plenty")
    *scarce, refused = compared(tmp_path / "scarce", *too_much)
    assert scarce == plenty
    assert (never, refused > len(too_much)) == (0, True)


def test_work_begins_anew_with_twice_as_many_parts() -> None:
    seen: list[int] = []

    def work(conditions: Sequence[str]) -> None:
        seen.append(len(conditions))
        raise duckdb.OutOfMemoryException("failed to pin block")

    with pytest.raises(duckdb.OutOfMemoryException):
        in_parts(work)
    assert seen == [1, 2, 4, 8, 16, 32, MOST_PARTS]


def test_a_full_disk_is_no_reason_to_try_again() -> None:
    seen: list[int] = []

    def work(conditions: Sequence[str]) -> None:
        seen.append(len(conditions))
        raise duckdb.OutOfMemoryException("failed to offload data block of size 256.0 KiB")

    with pytest.raises(duckdb.OutOfMemoryException):
        in_parts(work)
    assert seen == [1]
