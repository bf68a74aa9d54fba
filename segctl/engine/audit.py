"""Read the files of a recorded set in full, and say what does not add up in them."""

from pathlib import Path
from typing import Any

import duckdb

from segctl.core.identity import Kind, SetDigest
from segctl.engine import sql
from segctl.engine.model import Audit, RecordedFiles

_KINDS = ", ".join(sql.literal(kind) for kind in Kind)
_ODD_MEMBER = f"coalesce(kind NOT IN ({_KINDS}) OR value = '', true)"
_ODD_ACTION = "coalesce(action NOT IN ('ADD', 'REMOVE'), true)"
_ODD_PAIR = (
    f"{_ODD_MEMBER} OR {_ODD_ACTION} OR coalesce(NOT isfinite(asked_at), true) "
    "OR coalesce(status NOT IN ('uncertain', 'refused'), true)"
)

_REPEATED = """
SELECT coalesce(sum(rows - 1), 0)
FROM (SELECT count(*) AS rows FROM {table} GROUP BY kind, value HAVING rows > 1)
"""

_AGAINST = """
SELECT number, count(*) FROM (
    SELECT number, action, lag(action) OVER member AS before, lag(number) OVER member AS earlier,
           row_number() OVER member = 1 AND b.value IS NOT NULL AS recorded
    FROM audited AS a
    LEFT JOIN (SELECT DISTINCT kind, value FROM ({base}) SEMI JOIN audited USING (kind, value)) AS b
        USING (kind, value)
    WINDOW member AS (PARTITION BY kind, value ORDER BY number)
)
WHERE CASE WHEN before IS NULL THEN (action = 'ADD') = recorded
           ELSE before = action OR earlier = number END
GROUP BY number
"""
"""Changes to what was so already, by the number of their file.

The changes of one member must take turns, from what the base says of it on, one a file.
"""

_PAIRS = f"""
SELECT count(*) FILTER (WHERE status = 'uncertain'), count(*) FILTER (WHERE status = 'refused'),
       count(*) FILTER (WHERE {_ODD_PAIR})
FROM {{table}}
"""


def audit(db: duckdb.DuckDBPyConnection, recorded: RecordedFiles, digest: SetDigest) -> Audit:
    """Audit one set, whose files hold what ``digest`` says; see ``Engine.audit``."""
    base_rows = repeated = odd = 0
    base = "SELECT '' AS kind, '' AS value WHERE false"
    if recorded.base:
        table = f"read_parquet({sql.file(recorded.base)})"
        base = f"SELECT kind, value FROM {table}"
        [[base_rows, odd]] = _rows(
            db, f"SELECT count(*), count(*) FILTER (WHERE {_ODD_MEMBER}) FROM {table}"
        )
        [[repeated]] = _rows(db, _REPEATED.format(table=table))
    change_rows, against, odd_changes = _changes(db, recorded.changes, base)
    uncertain = refused = odd_pairs = 0
    if recorded.pairs:
        table = f"read_parquet({sql.file(recorded.pairs)})"
        [[uncertain, refused, odd_pairs]] = _rows(db, _PAIRS.format(table=table))
        [[twice]] = _rows(db, _REPEATED.format(table=table))
        odd_pairs += int(twice)
    return Audit(
        digest=digest,
        base_rows=base_rows,
        duplicates=int(repeated),
        change_rows=change_rows,
        contradictions=against,
        invalid_rows=odd + odd_changes,
        uncertain=uncertain,
        refused=refused,
        invalid_pairs=odd_pairs,
    )


def _changes(
    db: duckdb.DuckDBPyConnection, files: tuple[Path, ...], base: str
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Give the rows of each change file, those that change nothing, and the odd ones of all."""
    if not files:
        return (), (), 0
    parts = " UNION ALL ".join(
        f"SELECT {number} AS number, action, kind, value FROM read_parquet({sql.file(file)})"
        for number, file in enumerate(files)
    )
    db.execute(f"CREATE OR REPLACE TEMP TABLE audited AS {parts}")
    rows = dict(_rows(db, "SELECT number, count(*) FROM audited GROUP BY number"))
    against = dict(_rows(db, _AGAINST.format(base=base)))
    [[odd]] = _rows(db, f"SELECT count(*) FROM audited WHERE {_ODD_MEMBER} OR {_ODD_ACTION}")
    numbers = range(len(files))
    return tuple(rows.get(n, 0) for n in numbers), tuple(against.get(n, 0) for n in numbers), odd


def _rows(db: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return db.execute(query).fetchall()
