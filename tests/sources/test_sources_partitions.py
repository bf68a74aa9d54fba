"""Partition folders such as ``day=2026-01-31``: their columns, and which files are opened."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import LoadStats, RecordedFiles, SourceError
from segctl.sources.files import partition_values
from tests.sources.source_files import FORMATS, read, scan_files, write


@pytest.fixture
def tiers(root: Path) -> Path:
    """Two days of two tiers, in every format."""
    for format_ in FORMATS:
        for day in ("2026-01-30", "2026-01-31"):
            write(root / f"{format_}/day={day}/tier=gold/0.{format_}", ["a", f"late-{day[-1]}"])
            write(root / f"{format_}/day={day}/tier=007/0.{format_}", ["b"])
    return root


def load_table(
    engine: DuckEngine, root: Path, path: str, targets: Mapping[str, int], **fields: object
) -> tuple[LoadStats, dict[int, list[str]]]:
    """Load a table with the segment column ``tier``. Return the members of each target."""
    rows = scan_files(root, path, segment_column="tier", **fields)
    number = engine.load(rows, targets=targets)
    for target in targets.values():
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    diff = engine.diff()
    members = {n: [value for _, value in d.sample.add] for n, d in diff.targets.items()}
    return diff.loads[number], members


@pytest.mark.parametrize("format_", FORMATS)
def test_a_partition_column_holds_the_segment_of_a_row(
    engine: DuckEngine, tiers: Path, format_: str
) -> None:
    stats, members = load_table(engine, tiers, f"{format_}/", {"gold": 0, "007": 1})
    assert members == {0: ["a", "late-0", "late-1"], 1: ["b"]}
    assert (stats.rows, stats.duplicates) == (6, 2)


@pytest.mark.parametrize("format_", FORMATS)
def test_where_selects_the_files_of_one_partition(
    engine: DuckEngine, tiers: Path, format_: str
) -> None:
    (tiers / f"{format_}/day=2026-01-30/tier=gold/0.{format_}").write_bytes(b"\xff broken")
    where = {"day": "2026-01-31", "tier": "gold"}
    stats, members = read(engine, scan_files(tiers, f"{format_}/**/*.{format_}", where=where))
    assert (stats.rows, members) == (2, ["a", "late-1"])


@pytest.mark.parametrize("format_", FORMATS)
def test_members_can_be_partition_values(engine: DuckEngine, tiers: Path, format_: str) -> None:
    rows = scan_files(tiers, f"{format_}/", column="tier", where={"day": "2026-01-30"})
    assert read(engine, rows)[1] == ["007", "gold"]


def test_a_partition_takes_precedence_over_a_column_of_the_file(
    engine: DuckEngine, root: Path
) -> None:
    (root / "t/tier=gold").mkdir(parents=True)
    duckdb.sql(f"COPY (SELECT 'a' AS identity, 5 AS tier) TO '{root}/t/tier=gold/0.parquet'")
    assert load_table(engine, root, "t", {"gold": 0})[1] == {0: ["a"]}


def test_partitions_of_other_columns_are_ignored(engine: DuckEngine, root: Path) -> None:
    write(root / "identity=1/x=2/a.parquet", ["a"], column="email")
    write(root / "identity=1/x=2/b.parquet", ["b"], column="x")
    assert read(engine, scan_files(root, "identity=1/x=2/a.parquet", column="email"))[1] == ["a"]


def test_partition_values_are_decoded_and_null_is_none() -> None:
    name = "e/day=2026-01-31%2010%3A00/city=K%C3%B6ln/x=__HIVE_DEFAULT_PARTITION__/a=b=c/=1/f.csv"
    assert partition_values(name) == {
        "day": "2026-01-31 10:00",
        "city": "Köln",
        "x": None,
        "a": "b=c",
    }


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20))
def test_a_partition_written_by_duckdb_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    folder = tmp_path_factory.mktemp("hive")
    with duckdb.connect() as db:
        db.execute("CREATE TABLE t AS SELECT 'a' AS identity, $1 AS p", [value])
        db.execute(f"COPY t TO '{folder}' (FORMAT parquet, PARTITION_BY (p), OVERWRITE)")
    [file] = folder.rglob("*.parquet")
    read_back = partition_values(file.relative_to(folder).as_posix())["p"]
    assert read_back == value


@pytest.mark.parametrize(
    ("path", "fields", "summary", "detail"),
    [
        (
            "csv/",
            {"where": {"dya": "x"}},
            'csv/ has no partition column "dya"',
            'Did you mean "day"?',
        ),
        (
            "csv/",
            {"where": {"country": "x"}},
            'csv/ has no partition column "country"',
            "Its partition columns are: day, tier.",
        ),
        (
            "flat.csv",
            {"where": {"day": "x"}},
            'flat.csv has no partition column "day"',
            "Name its folders like day=2026-01-31, or remove the field where.",
        ),
        (
            "csv/",
            {"where": {"day": "2026-02-01"}},
            "no file of csv/ is in a folder day=2026-02-01",
            "day has 2 values, from 2026-01-30 to 2026-01-31.",
        ),
        (
            "mixed/",
            {"column": "day"},
            "mixed/b.csv is not in a folder day=…, unlike other files",
            "Move it into one, or change the path so that it does not match the file.",
        ),
        (
            "packed/",
            {},
            "packed/a.parquet.gz is a compressed Parquet file",
            "Decompress it. Parquet files are already compressed inside.",
        ),
    ],
)
def test_a_wrong_partition_is_an_error(
    tiers: Path, path: str, fields: dict[str, object], summary: str, detail: str
) -> None:
    write(tiers / "flat.csv", ["a"])
    write(tiers / "mixed/day=1/a.csv", ["a"])
    write(tiers / "mixed/b.csv", ["a"])
    (tiers / "packed").mkdir()
    (tiers / "packed/a.parquet.gz").touch()
    with pytest.raises(SourceError) as caught:
        scan_files(tiers, path, **fields)
    assert (caught.value.summary, caught.value.detail) == (summary, detail)
