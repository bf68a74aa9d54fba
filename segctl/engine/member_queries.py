"""Questions about the final members of materialized targets."""

from collections.abc import Sequence

import duckdb

from segctl.engine.match_restrictions import MAX_EXAMPLES, first_users
from segctl.plan.model import Users

_SHARED = """
WITH members AS (
    SELECT target, kind, value FROM final_members
    WHERE left_out IS NULL AND list_contains($targets::INTEGER[], target)
),
repeated AS (SELECT kind, value FROM members GROUP BY kind, value HAVING count(*) > 1),
candidates AS (
    SELECT m.* FROM members AS m SEMI JOIN repeated AS r ON r.value = m.value AND r.kind = m.kind
)
SELECT a.target, b.target, count(*) AS users, min({'kind': a.kind, 'value': a.value}, $most)
FROM candidates AS a JOIN candidates AS b
ON b.value = a.value AND b.kind = a.kind AND a.target < b.target
GROUP BY a.target, b.target ORDER BY users DESC, a.target, b.target
"""
"""The self-join reads only users of more than one target. They are usually few."""

_OUTSIDE = """
SELECT m.target, count(*), min({'kind': m.kind, 'value': m.value}, $most)
FROM (
    SELECT target, kind, value FROM final_members
    WHERE left_out IS NULL AND list_contains($targets::INTEGER[], target)
) AS m
ANTI JOIN (
    SELECT kind, value FROM final_members WHERE target = $container AND left_out IS NULL
) AS o
ON o.value = m.value AND o.kind = m.kind
GROUP BY m.target
"""


def add_members(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Answer the questions below about the members in a table too."""
    db.execute(f"INSERT INTO final_members SELECT target, kind, value, NULL FROM {table}")


def count_members(db: duckdb.DuckDBPyConnection, target_index: int) -> int:
    """Count the final members of a target."""
    [[users]] = db.execute(
        "SELECT count(*) FROM final_members WHERE target = $1 AND left_out IS NULL",
        [target_index],
    ).fetchall()
    return int(users)


def find_shared(
    db: duckdb.DuckDBPyConnection, target_indexes: Sequence[int]
) -> dict[tuple[int, int], Users]:
    """Return the users that two of these targets share, by pair, most first."""
    rows = db.execute(_SHARED, {"targets": list(target_indexes), "most": MAX_EXAMPLES}).fetchall()
    return {(one, other): first_users(count, sample) for one, other, count, sample in rows}


def find_outside(
    db: duckdb.DuckDBPyConnection, target_indexes: Sequence[int], container: int
) -> dict[int, Users]:
    """Return the members of each target that are not in the target ``container``."""
    named = {"targets": list(target_indexes), "container": container, "most": MAX_EXAMPLES}
    rows = db.execute(_OUTSIDE, named).fetchall()
    return {index: first_users(count, sample) for index, count, sample in rows}
