"""Values that differ in case are counted alike, whether or not the state says what it has."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import Kind
from segctl.engine import letter_case
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, RecordedFiles

NAMES = st.lists(st.sampled_from(["ann", "Ann", "ANN", "bob", "Bob", "eve"]), max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("case")


def scan_of(file: Path, names: list[str]) -> FileScan:
    file.write_text("".join(f"{name}\n" for name in ["identity", *names]), encoding="utf-8")
    return FileScan(paths=(file,), format="csv", column="identity", kind=Kind.IDENTITY)


def variants(folder: Path, scan: FileScan, recorded: RecordedFiles, rows_per_file: int) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letter_case, "ROWS_PER_INSPECTED_FILE", rows_per_file)
        engine = DuckEngine(folder)
        number = engine.load(scan, targets=[0, 1])
        for target in (0, 1):
            engine.set_recorded(target, recorded, wanted=True)
        found = engine.diff().loads[number].anomalies.case_variants
        engine.close()
    return found


@given(before=NAMES, after=NAMES)
def test_what_the_state_says_of_case_changes_no_count(
    folder: Path, before: list[str], after: list[str]
) -> None:
    engine = DuckEngine(folder)
    _, folded = engine.write_list(scan_of(folder / "before.csv", before))
    engine.close()
    assert folded is not None
    recorded = RecordedFiles(digest=folded.digest, base=folded.base, base_rows=folded.digest.count)
    scan = scan_of(folder / "after.csv", after)
    inspected, looked_at = (variants(folder, scan, recorded, rows) for rows in (0, 10**9))
    assert inspected == looked_at


def test_a_list_of_lower_case_members_is_not_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DuckEngine(folder)
    scan = scan_of(folder / "list.csv", ["ann", "bob"])
    _, folded = engine.write_list(scan)
    engine.close()
    assert folded is not None
    recorded = RecordedFiles(digest=folded.digest, base=folded.base, base_rows=2)
    monkeypatch.delattr(letter_case, "add_case_variants")
    assert variants(folder, scan, recorded, 0) == 0
