"""Sort the delta, pack it into requests, and write it with its batches as Parquet.

Everything is streamed or done in slices, so that a delta of any size fits in memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from segctl.engine import sql
from segctl.engine.model import Counting, PackingSummary

CHANGES_PER_SLICE = 1_000_000
"""The most changes that are aggregated into entries at a time ..."""

BYTES_PER_CHANGE = 4096
"""... if there is this much memory for each: the aggregated lists cannot be spilled."""

ENTRIES_PER_ROW_GROUP = 2048
"""An entry has up to a hundred users, and a row group is written and read as a whole."""

_OPERATIONS = """
CREATE OR REPLACE TABLE operations AS SELECT unnest($1::INTEGER[]) AS target,
    unnest($2::VARCHAR[]) AS action, unnest($3::INTEGER[]) AS op
"""
"""Each target and action of the delta has a number, ``op``."""

_SORTED = f"""
CREATE OR REPLACE TABLE sorted_delta AS
SELECT d.kind, d.value, o.op, d.recorded, d.reasserted, d.settle_from
FROM delta AS d JOIN operations AS o ON d.target = o.target AND d.action = o.action
ORDER BY {sql.MEMBER_ORDER}, op
"""
"""Users are numbered by this order, so packing depends on the content of the delta alone."""

_PACKED = """
CREATE OR REPLACE TABLE packed_delta AS
FROM sorted_delta POSITIONAL JOIN placement ORDER BY entry, person, op;
DROP TABLE sorted_delta;
DROP TABLE placement
"""
"""The rows of an entry are adjacent, so that a slice of entries is a range of the table."""

_OPERATION_LISTS = """
SET VARIABLE op_targets = (SELECT list(target ORDER BY op) FROM operations);
SET VARIABLE op_actions = (SELECT list(action ORDER BY op) FROM operations)
"""
"""Lists by operation number.

A join with ``operations`` would be slow: DuckDB estimates the result of a positional join to be
small, and would build the hash table from it.
"""

_SAVED_DELTA = """
SELECT request, getvariable('op_targets')[op + 1] AS target,
       getvariable('op_actions')[op + 1] AS action, kind, value, recorded, reasserted, settle_from
FROM packed_delta
UNION ALL
SELECT -1, target, action, kind, value, NULL, NULL, NULL FROM released
"""
"""Each change with its request. Request -1 marks a pair that only leaves quarantine."""

_SLICES = """
SELECT max(entry) + 1 FROM (
    SELECT entry, sum(count(*)) OVER (ORDER BY entry) AS upto FROM packed_delta GROUP BY entry
) GROUP BY upto // $1 ORDER BY 1
"""
"""The end of each slice of entries; $1 is about the number of changes in a slice."""

_NO_ENTRIES = """
CREATE OR REPLACE TABLE entries (
    request INTEGER, entry INTEGER, kinds VARCHAR[], names VARCHAR[],
    targets INTEGER[], actions VARCHAR[]
)
"""

_ENTRIES = """
INSERT INTO entries
SELECT min(request), entry,
       list(kind ORDER BY person) FILTER (WHERE names_user),
       list(value ORDER BY person) FILTER (WHERE names_user),
       list(getvariable('op_targets')[op + 1] ORDER BY op) FILTER (WHERE names_op),
       list(getvariable('op_actions')[op + 1] ORDER BY op) FILTER (WHERE names_op)
FROM packed_delta WHERE entry >= $1 AND entry < $2 GROUP BY entry ORDER BY entry
"""
"""The entries of one slice. Each is the product of its users and its operations."""

_NOTHING_PACKED = """
CREATE OR REPLACE TABLE operations (target INTEGER, action VARCHAR, op INTEGER);
CREATE OR REPLACE TABLE sorted_delta (
    kind VARCHAR, value VARCHAR, op INTEGER,
    recorded BOOLEAN, reasserted BOOLEAN, settle_from DOUBLE
);
CREATE OR REPLACE TABLE placement (
    entry INTEGER, request INTEGER, person INTEGER, names_user BOOLEAN, names_op BOOLEAN
)
"""
"""The tables that packing creates, for an empty delta."""


def pack(
    db: duckdb.DuckDBPyConnection,
    keys: Sequence[str],
    counting: Counting,
    *,
    settle_seconds: float,
) -> PackingSummary:
    """Pack the relation ``delta``; see ``RequestPacker.pack``."""
    db.execute(_NOTHING_PACKED)
    operations = db.execute("SELECT DISTINCT target, action FROM delta").fetchall()
    if not operations:
        return PackingSummary(requests=0, naive=0, settle_from=0)
    from segctl.engine.placement import place_changes  # noqa: PLC0415 - numpy; only for changes

    operations.sort(key=lambda operation: (keys[operation[0]], operation[1]))
    target_indexes, actions = zip(*operations, strict=True)
    db.execute(_OPERATIONS, [list(target_indexes), list(actions), list(range(len(operations)))])
    with sql.preserve_order(db):
        db.execute(_SORTED)
        summary = place_changes(db, actions, counting)
    [[last_asked]] = db.execute("SELECT max(settle_from) FROM sorted_delta").fetchall()
    if last_asked is None:
        return summary
    return replace(summary, settled_at=last_asked + settle_seconds)


def save(db: duckdb.DuckDBPyConnection, delta: Path, batches: Path, *, memory: int | None) -> None:
    """Write the packed delta and the batches; see ``RequestPacker.save``.

    ``memory`` (bytes) limits the size of a slice. It does not change the result.
    """
    per_slice = CHANGES_PER_SLICE
    if memory:
        per_slice = min(per_slice, memory // BYTES_PER_CHANGE)
    db.execute(_OPERATION_LISTS)
    with sql.preserve_order(db):
        db.execute(_PACKED)
        _copy(db, _SAVED_DELTA, delta)
        db.execute(_NO_ENTRIES)
        begin = 0
        for [end] in db.execute(_SLICES, [per_slice]).fetchall():
            db.execute(_ENTRIES, [begin, end])
            begin = end
        _copy(db, "FROM entries", batches, f", ROW_GROUP_SIZE {ENTRIES_PER_ROW_GROUP}")
        db.execute("DROP TABLE entries")


def _copy(db: duckdb.DuckDBPyConnection, select: str, file: Path, options: str = "") -> None:
    db.execute(
        f"COPY ({select}) TO {sql.literal(str(file))} (FORMAT parquet, COMPRESSION zstd{options})"
    )
