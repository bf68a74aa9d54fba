"""Write members to files, load them into an engine, and read the files that it writes."""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from segctl.core.identity import Kind, SetDigest
from segctl.engine.model import FoldedTarget, InlineRows, RecordedFiles
from segctl.engine.protocols import Engine

Member = tuple[Kind, str]
Delta = set[tuple[int, str, str, str]]
"""Target index, action, kind and value of each change."""


def inline(*values: str) -> InlineRows:
    return InlineRows(kind=Kind.IDENTITY, values=values)


def write_members(path: Path, members: Iterable[Member]) -> Path:
    return _write_parquet(path, ("kind", "value"), sorted(members))


def write_changes(path: Path, changes: Iterable[tuple[str, Kind, str]]) -> Path:
    return _write_parquet(path, ("action", "kind", "value"), changes)


def write_pairs(path: Path, pairs: Iterable[tuple[Kind, str, str, str, float]]) -> Path:
    rows = [(*pair, "") for pair in pairs]
    columns = ("kind", "value", "status", "action", "asked_at", "detail")
    return _write_parquet(path, columns, rows)


def _write_parquet(
    path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]
) -> Path:
    with duckdb.connect() as db:
        types = ", ".join(f"{c} {'DOUBLE' if c == 'asked_at' else 'VARCHAR'}" for c in columns)
        db.execute(f"CREATE TABLE t ({types})")
        placeholders = ", ".join("?" for _ in columns)
        for row in rows:
            values = [value if isinstance(value, float) else str(value) for value in row]
            db.execute(f"INSERT INTO t VALUES ({placeholders})", values)
        db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


def recorded_files(
    folder: Path,
    members: Iterable[Member],
    *,
    name: str = "base",
    pairs: Iterable[tuple[Kind, str, str, str, float]] = (),
) -> RecordedFiles:
    """Write the files of a target with these members and pairs."""
    members, pairs = list(members), list(pairs)
    return RecordedFiles(
        digest=SetDigest.of(members),
        base=write_members(folder / f"{name}.parquet", members) if members else None,
        base_rows=len(members),
        pairs=write_pairs(folder / f"{name}-pairs.parquet", pairs) if pairs else None,
    )


def read_parquet(path: Path | None) -> list[tuple[object, ...]]:
    if path is None:
        return []
    with duckdb.connect() as db:
        return db.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()


def members_after(before: RecordedFiles, folded: FoldedTarget) -> set[tuple[str, str]]:
    """Return the members of a target after outcomes or rejects were folded in."""
    if folded.has_changed and folded.change is None:
        return {(str(kind), str(value)) for kind, value in read_parquet(folded.base)}
    members = {(str(kind), str(value)) for kind, value in read_parquet(before.base)}
    for action, kind, value in read_parquet(folded.change):
        (members.add if action == "ADD" else members.remove)((str(kind), str(value)))
    return members


def write_delta(engine: Engine, keys: list[str], folder: Path) -> Delta:
    """Pack and save the delta of an engine, and return it."""
    engine.pack(keys, counting="strict", settle_seconds=30.0)
    engine.save(folder / "delta.parquet")
    rows = read_parquet(folder / "delta.parquet")
    return {(int(str(r[2])), str(r[3]), str(r[4]), str(r[5])) for r in rows if int(str(r[0])) >= 0}


def read_entries(engine: Engine, folder: Path) -> list[tuple[int, str, str, str]]:
    """Return target index, action, kind and value of each saved change, in sending order."""
    return [
        (target, action, str(kind), value)
        for entry in engine.iter_entries(folder / "delta.parquet")
        for kind, value in entry.users
        for target, action in entry.actions
    ]
