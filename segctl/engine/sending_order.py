"""Pack the delta into requests, write it in sending order, and read its entries.

The file is the only copy of the changes: an entry is a range of its rows. The delta is sorted by
user already, so the changes of one operation are not sorted again: their requests are ranges too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb

from segctl.core.certificate import Certificate
from segctl.core.identity import Kind
from segctl.core.request_limits import Counting, Limits
from segctl.engine import sql
from segctl.engine.model import PackedEntry, PackingSummary

COMPRESSION_LEVEL = 1
"""Of zstd. Higher levels take a third more time for files of the same size."""

_FETCHED_ROWS = 20_000
_KINDS: dict[str, Kind] = {str(kind): kind for kind in Kind}

_OPERATIONS = """
SELECT target, action, count(*), count(settle_from), max(settle_from) FROM delta GROUP BY ALL
"""

_IN_ORDER = """
CREATE OR REPLACE VIEW packed_delta AS
SELECT (position // {users})::INTEGER AS request, request AS entry, target, action,
       kind, value, recorded, reasserted, settle_from
FROM delta
"""
"""The delta if it has one operation: each run of users is a request with one entry."""

_PLACED = """
CREATE OR REPLACE VIEW packed_delta AS
SELECT request, entry, target, action, kind, value, recorded, reasserted, settle_from
FROM delta POSITIONAL JOIN placement ORDER BY place
"""

_RELEASED = """
 UNION ALL SELECT -1, -1, target, action, kind, value, NULL, NULL, NULL FROM released
"""
"""Request and entry -1 mark a pair that only leaves quarantine."""


def pack(
    db: duckdb.DuckDBPyConnection,
    keys: Sequence[str],
    counting: Counting,
    *,
    settle_seconds: float,
) -> PackingSummary:
    """Pack the relation ``delta``; see ``RequestPacker.pack``."""
    found = db.execute(_OPERATIONS).fetchall()
    waiting = [last_asked for *_, last_asked in found if last_asked is not None]
    if len(found) < 2 and not waiting:
        limits = Limits(counting=counting)
        db.execute(_IN_ORDER.format(users=limits.users_of_one_op))
        changes = found[0][2] if found else 0
        requests = -(-changes // limits.users_of_one_op)
        proof = Certificate(proof="pairs" if counting == "pairs" else "slots", floor=requests)
        return PackingSummary(
            requests=requests,
            naive=requests,
            certificates=(proof,) if changes else (),
            settle_from=requests,
        )
    from segctl.engine.placement import place_changes  # noqa: PLC0415 - numpy; rarely needed

    operations = sorted(
        ((target, action) for target, action, *_ in found), key=lambda op: (keys[op[0]], op[1])
    )
    with sql.preserve_order(db):
        summary = place_changes(db, operations, counting)
    db.execute(_PLACED)
    return replace(summary, settled_at=max(waiting) + settle_seconds) if waiting else summary


def save(db: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the packed delta; see ``RequestPacker.save``."""
    [[released]] = db.execute("SELECT count(*) FROM released").fetchall()
    with sql.preserve_order(db):
        db.execute(
            f"COPY (FROM packed_delta{_RELEASED if released else ''}) TO {sql.literal(str(file))} "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {COMPRESSION_LEVEL})"
        )


def iter_entries(db: duckdb.DuckDBPyConnection, file: Path) -> Iterator[PackedEntry]:
    """Yield the entries of a saved delta in sending order."""
    cursor = db.cursor()
    cursor.execute("SET preserve_insertion_order = true")
    try:
        cursor.execute(
            "SELECT entry, request, target, action, kind, value "
            f"FROM read_parquet({sql.file_name(file)}) WHERE request >= 0"
        )
        rows = (row for chunk in iter(lambda: cursor.fetchmany(_FETCHED_ROWS), []) for row in chunk)
        for _, group in groupby(rows, itemgetter(0)):
            _, requests, targets, actions, kinds, values = zip(*group, strict=True)
            # An entry is the product of its users and its actions.
            yield PackedEntry(
                request=requests[0],
                users=tuple(
                    dict.fromkeys(zip(map(_KINDS.__getitem__, kinds), values, strict=True))
                ),
                actions=tuple(dict.fromkeys(zip(targets, actions, strict=True))),
            )
    finally:
        cursor.close()
