"""The delta on its way to requests: in order, numbered, packed, written in sending order.

Everything here goes in slices or streams, so that a delta of any size fits into memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from segctl.engine import sql
from segctl.engine.model import Counting, PackingSummary

CHANGES_A_SLICE = 1_000_000
"""How many changes are gathered into entries at a time, at most ..."""

ENTRIES_A_GROUP = 2048
"""An entry holds up to a hundred users, and a row group is written and read in one piece."""

BYTES_A_CHANGE = 4096
"""... and how much memory each must have: lists of long values are held in full."""

_OPS = """
CREATE OR REPLACE TABLE ops AS SELECT unnest($1::INTEGER[]) AS target,
    unnest($2::VARCHAR[]) AS action, unnest($3::INTEGER[]) AS op
"""

_SORTED = f"""
CREATE OR REPLACE TABLE sorted AS
SELECT d.kind, d.value, o.op, d.recorded, d.reasserted, d.settle_from
FROM delta AS d JOIN ops AS o ON d.target = o.target AND d.action = o.action
ORDER BY {sql.BY_MEMBER}, op
"""
"""The delta in order: users are numbered by their content, so packing is the same everywhere."""

_PLACED = """
CREATE OR REPLACE TABLE placed AS
FROM sorted POSITIONAL JOIN places ORDER BY entry, person, op;
DROP TABLE sorted;
DROP TABLE places
"""
"""Rows of one entry lie together, so that whoever wants some entries reads no others."""

_LISTED = """
SET VARIABLE op_targets = (SELECT list(target ORDER BY op) FROM ops);
SET VARIABLE op_actions = (SELECT list(action ORDER BY op) FROM ops)
"""
"""Operations by their numbers: DuckDB takes a positional join for small and would build on it."""

_SAVED_DELTA = """
SELECT request, getvariable('op_targets')[op + 1] AS target,
       getvariable('op_actions')[op + 1] AS action, kind, value, recorded, reasserted, settle_from
FROM placed
UNION ALL
SELECT -1, target, action, kind, value, NULL, NULL, NULL FROM released
"""
"""The delta as it is kept: each change with its request; -1 marks what only leaves quarantine."""

_SLICES = """
SELECT max(entry) + 1 FROM (
    SELECT entry, sum(count(*)) OVER (ORDER BY entry) AS upto FROM placed GROUP BY entry
) GROUP BY upto // $1 ORDER BY 1
"""
"""Parts the entries so that each part has about so many changes: where each part ends."""

_NO_ENTRIES = """
CREATE OR REPLACE TABLE entries (
    request INTEGER, entry INTEGER, kinds VARCHAR[], names VARCHAR[],
    targets INTEGER[], actions VARCHAR[]
)
"""

_ENTRIES = """
INSERT INTO entries
SELECT min(request), entry,
       list(kind ORDER BY person) FILTER (WHERE names),
       list(value ORDER BY person) FILTER (WHERE names),
       list(getvariable('op_targets')[op + 1] ORDER BY op) FILTER (WHERE acts),
       list(getvariable('op_actions')[op + 1] ORDER BY op) FILTER (WHERE acts)
FROM placed WHERE entry >= $1 AND entry < $2 GROUP BY entry ORDER BY entry
"""
"""The entries of one part; each is the product of its users and its operations."""

_NO_REQUESTS = """
CREATE OR REPLACE TABLE ops (target INTEGER, action VARCHAR, op INTEGER);
CREATE OR REPLACE TABLE sorted (
    kind VARCHAR, value VARCHAR, op INTEGER,
    recorded BOOLEAN, reasserted BOOLEAN, settle_from DOUBLE
);
CREATE OR REPLACE TABLE places (
    entry INTEGER, request INTEGER, person INTEGER, names BOOLEAN, acts BOOLEAN
)
"""
"""What packing makes, of an empty delta."""


def pack(
    db: duckdb.DuckDBPyConnection,
    keys: Sequence[str],
    counting: Counting,
    *,
    settle_seconds: float,
) -> PackingSummary:
    """Pack the relation ``delta``; see ``Engine.pack``."""
    db.execute(_NO_REQUESTS)
    found = db.execute("SELECT DISTINCT target, action FROM delta").fetchall()
    if not found:
        return PackingSummary(requests=0, naive=0, floor=0, settle_from=0)
    from segctl.engine import pack  # noqa: PLC0415 - numpy, which no change needs

    actions = sorted(found, key=lambda op: (keys[op[0]], op[1]))
    columns = [[target for target, _ in actions], [action for _, action in actions]]
    db.execute(_OPS, [*columns, list(range(len(actions)))])
    with in_order(db):
        db.execute(_SORTED)
        packed = pack.pack_delta(db, actions, counting)
    [[asked]] = db.execute("SELECT max(settle_from) FROM sorted").fetchall()
    return packed if asked is None else replace(packed, settled_at=asked + settle_seconds)


def save(db: duckdb.DuckDBPyConnection, delta: Path, batches: Path, *, memory: int | None) -> None:
    """Write the packed delta and the batches; see ``Engine.save``.

    ``memory`` (bytes) bounds how much is gathered at a time; the result is the same.
    """
    at_a_time = min(CHANGES_A_SLICE, memory // BYTES_A_CHANGE if memory else CHANGES_A_SLICE)
    db.execute(_LISTED)
    with in_order(db):
        db.execute(_PLACED)
        _copy(db, _SAVED_DELTA, delta)
        db.execute(_NO_ENTRIES)
        begin = 0
        for [end] in db.execute(_SLICES, [at_a_time]).fetchall():
            db.execute(_ENTRIES, [begin, end])
            begin = end
        _copy(db, "FROM entries", batches, f", ROW_GROUP_SIZE {ENTRIES_A_GROUP}")
        db.execute("DROP TABLE entries")


def _copy(db: duckdb.DuckDBPyConnection, select: str, file: Path, options: str = "") -> None:
    db.execute(
        f"COPY ({select}) TO {sql.literal(str(file))} (FORMAT parquet, COMPRESSION zstd{options})"
    )


@contextmanager
def in_order(db: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep rows in their order, at the cost of some memory."""
    db.execute("SET preserve_insertion_order = true")
    try:
        yield
    finally:
        db.execute("SET preserve_insertion_order = false")
