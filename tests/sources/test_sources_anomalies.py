"""Counts of a list, and warnings: values that differ only in case, a header in a txt."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import IdentityProblem, Kind
from segctl.engine import anomalies
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import Anomalies, InlineRows, LoadTargets, RecordedFiles
from segctl.manifests.desired import Role
from tests.profiles import examples
from tests.sources.source_files import read, scan_files, write


def anomalies_of(engine: DuckEngine, root: Path, path: str, **fields: object) -> Anomalies:
    return read(engine, scan_files(root, path, **fields))[0].anomalies


@pytest.mark.parametrize(
    ("values", "variants"),
    [
        (["a@x", "A@x", "a@X", "b", "C", "A@x"], 3),
        (["CT1", "CT2", "ct1", "CT1"], 2),
        (["ada", "bob", "0012"], 0),
        (["CT1", "CT2"], 0),
        (["Ada", "Bob"], 0),
        (["Émil", "émil"], 2),
        (["N/A", "n/a", "a"], 0),
    ],
)
def test_valid_values_that_differ_only_in_case_are_counted(
    engine: DuckEngine, root: Path, values: list[str], variants: int
) -> None:
    write(root / "m.csv", values)
    assert anomalies_of(engine, root, "m.csv").case_variants == variants


def test_guids_and_lists_that_take_away_are_compared_exactly(
    engine: DuckEngine, root: Path
) -> None:
    write(root / "m.csv", ["a", "A"])
    assert anomalies_of(engine, root, "m.csv", kind=Kind.GUID).case_variants == 0
    number = engine.load(scan_files(root, "m.csv"), targets=[0], role="exclude")
    assert engine.diff().loads[number].anomalies.case_variants == 0


def test_a_list_in_a_manifest_is_looked_at_too(engine: DuckEngine) -> None:
    number = engine.load(InlineRows(kind=Kind.IDENTITY, values=("A", "a", "b")), targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    assert engine.diff().loads[number].anomalies.case_variants == 2


def test_of_many_values_with_other_case_a_part_is_looked_at(
    engine: DuckEngine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies, "MAX_ODD_VALUES", 1000)
    write(root / "m.csv", [f"{name}{n}" for n in range(4000) for name in ("ada", "Ada")])
    found = anomalies_of(engine, root, "m.csv")
    assert found.case_share == 4
    assert 7000 < found.case_variants < 9000


@settings(max_examples=examples(20, torture=500))
@given(values=st.lists(st.text("aAbB1", min_size=2, max_size=3), max_size=12))
def test_the_count_is_that_of_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    root = tmp_path_factory.mktemp("w")
    write(root / "m.csv", values)
    engine = DuckEngine(root, threads=1)
    distinct = set(values)
    expected = [v for v in distinct if any(v != w and v.lower() == w.lower() for w in distinct)]
    assert anomalies_of(engine, root, "m.csv").case_variants == len(expected)
    engine.close()


@pytest.mark.parametrize(
    ("lines", "comments", "found"),
    [
        (["email", "a@x"], None, 1),
        (["User-ID", "12"], None, 1),
        (["e-mail"], None, 1),
        (["# asked", "", "Identity", "a@x"], "#", 1),
        (["user", "alice", "a@x"], None, 0),
        (["a@x", "email"], None, 0),
        (["mailer", "a@x"], None, 0),
    ],
)
def test_a_txt_whose_first_line_looks_like_a_header_is_found(
    engine: DuckEngine, root: Path, lines: list[str], comments: str | None, found: int
) -> None:
    write(root / "m.txt.gz", lines)
    assert anomalies_of(engine, root, "m.txt.gz", comments=comments).header_lines == found


def test_each_file_of_a_txt_source_is_looked_at(engine: DuckEngine, root: Path) -> None:
    for name, lines in (("a", ["email", "a@x"]), ("b", ["b@x"]), ("c", ["id", "7"])):
        write(root / f"m/{name}.txt", lines)
    assert anomalies_of(engine, root, "m").header_lines == 2


@pytest.mark.parametrize("role", ["include", "exclude", "intersect", "suppress"])
@pytest.mark.parametrize("targets", [[0], [0, 1], {"gold": 0, "silver": 1}])
def test_an_invalid_row_is_no_duplicate(
    engine: DuckEngine, root: Path, role: Role, targets: LoadTargets
) -> None:
    values = ["a", "a", "null", "null", "N/A", "b", "null"]
    (root / "m.csv").write_text("identity,tier\n" + "".join(f"{v},gold\n" for v in values))
    is_table = not isinstance(targets, list)
    scan = scan_files(root, "m.csv", segment_column="tier" if is_table else None)
    number = engine.load(scan, targets=targets, role="include" if is_table else role)
    for index in (0, 1):
        engine.set_recorded(index, RecordedFiles(), wanted=True)
    counts = engine.diff().loads[number]
    assert (counts.rows, counts.duplicates) == (7, 1)
    assert counts.invalid == {IdentityProblem.PLACEHOLDER: 4}
