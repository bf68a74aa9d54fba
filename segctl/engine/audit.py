"""Read all files of a recorded set and count what is inconsistent in them."""

from pathlib import Path
from typing import Any

import duckdb

from segctl.core.identity import Kind, SetDigest
from segctl.engine import sql
from segctl.engine.model import Audit, RecordedFiles

_KINDS = ", ".join(sql.literal(kind) for kind in Kind)
_INVALID_MEMBER = f"coalesce(kind NOT IN ({_KINDS}) OR value = '', true)"
_INVALID_ACTION = "coalesce(action NOT IN ('ADD', 'REMOVE'), true)"
_INVALID_PAIR = (
    f"{_INVALID_MEMBER} OR {_INVALID_ACTION} OR coalesce(NOT isfinite(asked_at), true) "
    "OR coalesce(status NOT IN ('uncertain', 'refused'), true)"
)

_DUPLICATES = """
SELECT coalesce(sum(rows - 1), 0)
FROM (SELECT count(*) AS rows FROM {table} GROUP BY kind, value HAVING rows > 1)
"""

_CONTRADICTIONS = """
SELECT number, count(*) FROM (
    SELECT number, action, lag(action) OVER member AS last_action,
           lag(number) OVER member AS last_number,
           row_number() OVER member = 1 AND b.value IS NOT NULL AS in_base
    FROM changes AS c
    LEFT JOIN (SELECT DISTINCT kind, value FROM ({base}) SEMI JOIN changes USING (kind, value)) AS b
        USING (kind, value)
    WINDOW member AS (PARTITION BY kind, value ORDER BY number)
)
WHERE CASE WHEN last_action IS NULL THEN (action = 'ADD') = in_base
           ELSE last_action = action OR last_number = number END
GROUP BY number
"""
"""Contradictions by the number of their change file.

The changes of one user alternate between ADD and REMOVE, starting from the base, with at most
one per file.
"""

_PAIRS = f"""
SELECT count(*) FILTER (WHERE status = 'uncertain'), count(*) FILTER (WHERE status = 'refused'),
       count(*) FILTER (WHERE {_INVALID_PAIR})
FROM {{table}}
"""


def audit(db: duckdb.DuckDBPyConnection, recorded: RecordedFiles, digest: SetDigest) -> Audit:
    """Audit one set; see ``StateAuditor.audit``. ``digest`` is the digest of its files."""
    base_rows = duplicates = invalid_members = 0
    base = "SELECT '' AS kind, '' AS value WHERE false"
    if recorded.base:
        table = f"read_parquet({sql.file_name(recorded.base)})"
        base = f"SELECT kind, value FROM {table}"
        [[base_rows, invalid_members]] = _fetch(
            db, f"SELECT count(*), count(*) FILTER (WHERE {_INVALID_MEMBER}) FROM {table}"
        )
        [[duplicates]] = _fetch(db, _DUPLICATES.format(table=table))
    change_rows, contradictions, invalid_changes = _audit_changes(db, recorded.changes, base)
    uncertain = refused = invalid_pairs = 0
    if recorded.pairs:
        table = f"read_parquet({sql.file_name(recorded.pairs)})"
        [[uncertain, refused, invalid_pairs]] = _fetch(db, _PAIRS.format(table=table))
        [[duplicate_pairs]] = _fetch(db, _DUPLICATES.format(table=table))
        invalid_pairs += int(duplicate_pairs)
    return Audit(
        digest=digest,
        base_rows=base_rows,
        duplicates=int(duplicates),
        change_rows=change_rows,
        contradictions=contradictions,
        invalid_rows=invalid_members + invalid_changes,
        uncertain=uncertain,
        refused=refused,
        invalid_pairs=invalid_pairs,
    )


def _audit_changes(
    db: duckdb.DuckDBPyConnection, files: tuple[Path, ...], base: str
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the rows and the contradictions of each change file, and all invalid rows."""
    if not files:
        return (), (), 0
    selects = " UNION ALL ".join(
        f"SELECT {number} AS number, action, kind, value FROM read_parquet({sql.file_name(file)})"
        for number, file in enumerate(files)
    )
    db.execute(f"CREATE OR REPLACE TEMP TABLE changes AS {selects}")
    rows = dict(_fetch(db, "SELECT number, count(*) FROM changes GROUP BY number"))
    contradictions = dict(_fetch(db, _CONTRADICTIONS.format(base=base)))
    [[invalid]] = _fetch(
        db, f"SELECT count(*) FROM changes WHERE {_INVALID_MEMBER} OR {_INVALID_ACTION}"
    )
    numbers = range(len(files))
    return (
        tuple(rows.get(number, 0) for number in numbers),
        tuple(contradictions.get(number, 0) for number in numbers),
        invalid,
    )


def _fetch(db: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return db.execute(query).fetchall()
