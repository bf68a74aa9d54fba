"""Ways to put members into an engine and to look at what it wrote."""

from collections.abc import Iterable
from pathlib import Path

import duckdb

from segctl.core.identity import Kind, SetDigest
from segctl.engine.model import InlineRows, RecordedFiles
from segctl.engine.protocols import Engine

Member = tuple[Kind, str]


def identities(*values: str) -> InlineRows:
    return InlineRows(kind=Kind.IDENTITY, values=values)


def members_file(path: Path, members: Iterable[Member]) -> Path:
    return _write(path, ("kind", "value"), sorted(members))


def changes_file(path: Path, changes: Iterable[tuple[str, Kind, str]]) -> Path:
    return _write(path, ("action", "kind", "value"), changes)


def pairs_file(path: Path, pairs: Iterable[tuple[Kind, str, str, str, float]]) -> Path:
    rows = [(*pair, "") for pair in pairs]
    return _write(path, ("kind", "value", "status", "action", "asked_at", "detail"), rows)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Path:
    db = duckdb.connect()
    types = ", ".join(f"{c} {'DOUBLE' if c == 'asked_at' else 'VARCHAR'}" for c in columns)
    db.execute(f"CREATE TABLE t ({types})")
    for row in rows:
        marks = ", ".join("?" for _ in row)
        db.execute(
            f"INSERT INTO t VALUES ({marks})", [v if isinstance(v, float) else str(v) for v in row]
        )
    db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    db.close()
    return path


def recorded(
    folder: Path,
    members: Iterable[Member],
    *,
    name: str = "base",
    pairs: Iterable[tuple[Kind, str, str, str, float]] = (),
) -> RecordedFiles:
    members, pairs = list(members), list(pairs)
    return RecordedFiles(
        digest=SetDigest.of(members),
        base=members_file(folder / f"{name}.parquet", members) if members else None,
        base_rows=len(members),
        pairs=pairs_file(folder / f"{name}-pairs.parquet", pairs) if pairs else None,
    )


def read(path: Path | None) -> list[tuple[object, ...]]:
    if path is None:
        return []
    db = duckdb.connect()
    try:
        return db.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
    finally:
        db.close()


def delta(engine: Engine, keys: list[str], folder: Path) -> set[tuple[int, str, str, str]]:
    engine.pack(keys, counting="strict", settle_seconds=30.0)
    engine.save(folder / "delta.parquet", folder / "batches.parquet")
    rows = read(folder / "delta.parquet")
    return {(int(str(r[1])), str(r[2]), str(r[3]), str(r[4])) for r in rows if int(str(r[0])) >= 0}


def sent(engine: Engine, folder: Path) -> list[tuple[int, str, str, str]]:
    return [
        (target, action, str(kind), value)
        for entry in engine.iter_entries(folder / "batches.parquet")
        for kind, value in entry.users
        for target, action in entry.actions
    ]
