"""Compare the membership changes of two plans."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from segctl.core.approval import BeyondChanges, PairCounts
from segctl.engine import sql
from segctl.engine.model import ComparedChanges

_SENT = """
CREATE OR REPLACE VIEW {view} AS
SELECT k.key, d.action, d.kind, d.value, d.request
FROM read_parquet({file}) AS d JOIN {view}_keys AS k ON k.target = d.target
WHERE d.request >= 0
"""

_KEYS = """
CREATE OR REPLACE TABLE {view}_keys AS
SELECT unnest(range(len($keys))) AS target, unnest($keys::VARCHAR[]) AS key
"""

_COUNTS = """
SELECT key, action,
       count(*) FILTER (WHERE is_approved),
       count(*) FILTER (WHERE is_sent),
       count(*) FILTER (WHERE is_sent AND is_approved IS NULL)
FROM (SELECT * EXCLUDE request, true AS is_approved FROM approved_changes)
FULL JOIN (SELECT * EXCLUDE request, true AS is_sent FROM sent_changes)
    USING (key, action, kind, value)
GROUP BY key, action
"""

_BEYOND = """
SELECT key, action, request, count(*)
FROM sent_changes ANTI JOIN approved_changes USING (key, action, kind, value)
GROUP BY key, action, request ORDER BY key, action, request
"""


def compare_changes(
    db: duckdb.DuckDBPyConnection,
    approved: tuple[Path, Sequence[str]],
    sent: tuple[Path, Sequence[str]] | None,
) -> ComparedChanges:
    """Count the changes of two deltas by the key of the segment and the action.

    Each is a saved delta and the keys of its targets, ``None`` an empty one. A delta has each
    change once.
    """
    _create_view(db, "approved_changes", *approved)
    if sent:
        _create_view(db, "sent_changes", *sent)
    else:
        db.execute("CREATE OR REPLACE VIEW sent_changes AS FROM approved_changes WHERE false")
    return ComparedChanges(
        counts={
            (key, action): PairCounts(approved=approved_rows, sent=sent_rows, beyond=beyond)
            for key, action, approved_rows, sent_rows, beyond in db.execute(_COUNTS).fetchall()
        },
        beyond=tuple(
            BeyondChanges(key=key, action=action, request=request, count=count)
            for key, action, request, count in db.execute(_BEYOND).fetchall()
        ),
    )


def _create_view(db: duckdb.DuckDBPyConnection, view: str, file: Path, keys: Sequence[str]) -> None:
    db.execute(_KEYS.replace("{view}", view), {"keys": list(keys)})
    db.execute(_SENT.replace("{view}", view).replace("{file}", sql.file_name(file)))
