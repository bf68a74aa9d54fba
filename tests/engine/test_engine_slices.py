"""The saved delta: complete, in sending order, and the same with any number of threads."""

from functools import partial
from pathlib import Path

import duckdb
import pytest

from segctl.core.identity import Kind
from segctl.engine import placement
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan
from segctl.packing.placing import place
from tests.engine.engine_kit import recorded_files

ROWS = 30_000
SELECT = f"""
SELECT CASE i % 4 WHEN 0 THEN 'ä' ELSE 'u' END || i AS identity,
       's' || (i % 7 + (i // 9000) % 2) AS segment
FROM range({ROWS}) AS t(i) UNION ALL
SELECT 'u' || i, 's6' FROM range(5, {ROWS}, 7) AS t(i)
"""
KEYS = [f"s{n}" for n in range(8)]


@pytest.fixture
def in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "place", partial(place, max_changes=2000))


def plan(folder: Path, threads: int, targets: list[str] = KEYS) -> Path:
    """Compare a table of seven segments with one recorded set, pack and save."""
    folder.mkdir()
    source = folder / "table.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY ({SELECT}) TO '{source}' (FORMAT parquet)")
    engine = DuckEngine(folder, threads=threads)
    scan = FileScan(
        paths=(source,),
        format="parquet",
        column="identity",
        kind=Kind.IDENTITY,
        segment_column="segment",
    )
    engine.load(scan, targets={key: n for n, key in enumerate(targets)})
    before = recorded_files(folder, [(Kind.IDENTITY, f"u{i}") for i in range(3000)])
    for n in range(len(KEYS)):
        engine.set_recorded(n, before, wanted=True)
    engine.diff()
    engine.pack(targets, counting="strict", settle_seconds=30.0)
    engine.save(folder / "delta.parquet")
    engine.close()
    return folder / "delta.parquet"


def rows(select: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as db:
        return db.execute(select).fetchall()


@pytest.mark.usefixtures("in_slices")
def test_a_delta_packed_and_written_in_slices_equals_the_one_of_plain_sql(tmp_path: Path) -> None:
    delta_file = plan(tmp_path / "a", threads=2)
    base = "SELECT 's' || s AS segment, 'u' || i AS identity FROM range(3000) a(i), range(8) b(s)"
    desired = f"SELECT DISTINCT segment, identity FROM ({SELECT})"
    wanted = f"""
        SELECT segment, 'ADD' AS action, identity FROM ({desired} EXCEPT {base}) UNION ALL
        SELECT segment, 'REMOVE', identity FROM ({base} EXCEPT {desired})
    """
    sent = f"""
        SELECT 's' || o.target, o.action, u.value
        FROM (SELECT DISTINCT entry, value FROM '{delta_file}') AS u
        JOIN (SELECT DISTINCT entry, target, action FROM '{delta_file}') AS o USING (entry)
    """
    saved = f"SELECT 's' || target, action, value FROM '{delta_file}'"
    expected = sorted(rows(wanted))
    assert len(expected) > 50_000
    assert sorted(rows(sent)) == expected
    assert sorted(rows(saved)) == expected


@pytest.mark.usefixtures("in_slices")
def test_operations_are_numbered_by_the_keys_of_their_segments(tmp_path: Path) -> None:
    """The requests are the same if the targets have other indexes, and so another order."""
    one = plan(tmp_path / "a", threads=2)
    other = plan(tmp_path / "b", threads=2, targets=KEYS[::-1])
    columns = "request, entry, action, value"
    assert rows(f"SELECT {columns}, target FROM '{one}'") == rows(
        f"SELECT {columns}, 7 - target FROM '{other}'"
    )


@pytest.mark.usefixtures("in_slices")
def test_delta_and_requests_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    one, other = plan(tmp_path / "a", threads=1), plan(tmp_path / "b", threads=4)
    assert rows(f"FROM '{one}'") == rows(f"FROM '{other}'")


def test_entries_are_saved_in_sending_order_and_within_the_limits(tmp_path: Path) -> None:
    file = plan(tmp_path / "a", threads=2)
    places = rows(f"SELECT request, entry FROM '{file}'")
    assert places == sorted(places, key=lambda place: (int(str(place[1])), int(str(place[0]))))
    found = rows(
        "SELECT min(request), count(DISTINCT value), count(DISTINCT (target, action)) "
        f"FROM '{file}' GROUP BY entry ORDER BY entry"
    )
    numbers = [int(str(request)) for request, _, _ in found]
    assert numbers == sorted(numbers)
    totals: dict[int, list[int]] = {}
    for number, (_, users, ops) in zip(numbers, found, strict=True):
        total = totals.setdefault(number, [0, 0])
        total[0] += int(str(users))
        total[1] += int(str(ops))
    assert max(users for users, _ in totals.values()) <= 100
    assert max(ops for _, ops in totals.values()) <= 100


@pytest.mark.parametrize("kinds", [[Kind.IDENTITY], [Kind.GUID], [Kind.IDENTITY, Kind.GUID]])
def test_members_of_different_kinds_are_different_users(tmp_path: Path, kinds: list[Kind]) -> None:
    source = tmp_path / "new.txt"
    source.write_text("anna\nbert\n", encoding="utf-8")
    before = [(kind, "anna") for kind in kinds]
    engine = DuckEngine(tmp_path, threads=1)
    engine.load(
        FileScan(paths=(source,), format="txt", column="identity", kind=Kind.IDENTITY), targets=[0]
    )
    engine.set_recorded(0, recorded_files(tmp_path, before), wanted=True)
    sample = engine.diff().targets[0].sample
    engine.close()
    added = {(Kind.IDENTITY, v) for v in ("anna", "bert")} - set(before)
    assert set(sample.add) == added
    assert set(sample.remove) == set(before) - {(Kind.IDENTITY, "anna")}
