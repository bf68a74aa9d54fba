"""Recorded members that are kept for questions, and not compared."""

from pathlib import Path

from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from tests.engine.engine_kit import inline, recorded_files, write_delta

A, B = (Kind.IDENTITY, "a"), (Kind.IDENTITY, "b")


def test_questions_see_recorded_members_that_are_not_compared(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(inline("a", "c"), targets=[0])
    engine.retain_members(0)
    engine.set_recorded(0, recorded_files(tmp_path, [B], name="compared"), wanted=True)
    engine.retain_recorded(1, recorded_files(tmp_path, [A, B], name="kept"))
    diff = engine.diff()
    assert engine.find_shared([([0], [1])])[0, 1].count == 1
    assert engine.find_outside([(1, 0)])[1, 0].count == 1
    assert diff.targets.keys() == {0}
    changes = write_delta(engine, ["A", "B"], tmp_path)
    assert {(target, action, value) for target, action, _, value in changes} == {
        (0, "ADD", "a"),
        (0, "ADD", "c"),
        (0, "REMOVE", "b"),
    }
