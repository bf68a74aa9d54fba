"""Questions about the final members of materialized targets: each one pass for all targets."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import duckdb

from segctl.engine.match_restrictions import MAX_EXAMPLES, first_users
from segctl.engine.partitions import run_in_partitions
from segctl.plan.model import Users

_COUNTS = """
SELECT target, count(*), count(*) FILTER (WHERE left_out = 'invalid'),
       count(*) FILTER (WHERE left_out IS NULL)
FROM final_members GROUP BY target
"""

_ASKED_PAIRS = """
CREATE OR REPLACE TEMP TABLE asked_pairs AS
WITH lefts AS (SELECT unnest($1::INTEGER[]) AS question, unnest($2::INTEGER[]) AS target),
rights AS (SELECT unnest($3::INTEGER[]) AS question, unnest($4::INTEGER[]) AS target)
SELECT DISTINCT least(l.target, r.target) AS one, greatest(l.target, r.target) AS other
FROM lefts AS l JOIN rights AS r ON r.question = l.question AND r.target <> l.target
"""

_SHARERS = """
CREATE OR REPLACE TEMP TABLE sharers (
    targets INTEGER[], users BIGINT, sample STRUCT(kind VARCHAR, value VARCHAR)[]
)
"""
"""The users of several asked targets, by the list of these: their number and the first ones."""

_GROUP_SHARERS = """
INSERT INTO sharers
WITH members AS NOT MATERIALIZED (
    SELECT target, kind, value FROM final_members
    WHERE left_out IS NULL AND {partition}
        AND target IN (SELECT one FROM asked_pairs UNION SELECT other FROM asked_pairs)
),
repeated AS (SELECT kind, value FROM members GROUP BY kind, value HAVING count(*) > 1)
SELECT targets, count(*), min({{'kind': kind, 'value': value}}, {most}) FROM (
    SELECT m.kind, m.value, list_sort(list(m.target)) AS targets FROM members AS m
    SEMI JOIN repeated AS r ON r.value = m.value AND r.kind = m.kind
    GROUP BY m.kind, m.value
) GROUP BY targets
"""
"""Lists are only made for users of more than one target. They are usually few."""

_SHARED = """
WITH numbered AS (SELECT row_number() OVER () AS number, * FROM sharers),
holders AS (SELECT number, unnest(targets) AS target FROM numbered),
shared AS (
    SELECT p.one, p.other, n.users, n.sample
    FROM holders AS a
    JOIN asked_pairs AS p ON p.one = a.target
    JOIN holders AS b ON b.number = a.number AND b.target = p.other
    JOIN numbered AS n ON n.number = a.number
),
examples AS (
    SELECT one, other, min(example, {most}) AS sample
    FROM (SELECT one, other, unnest(sample) AS example FROM shared) GROUP BY one, other
)
SELECT one, other, s.users, e.sample
FROM (SELECT one, other, sum(users)::BIGINT AS users FROM shared GROUP BY one, other) AS s
JOIN examples AS e USING (one, other)
ORDER BY s.users DESC, one, other
"""
"""A list of targets stands for all its users, and only its asked pairs are made."""

_OUTSIDE = """
WITH asked AS (SELECT unnest($1::INTEGER[]) AS target, unnest($2::INTEGER[]) AS container)
SELECT m.target, a.container, count(*), min({{'kind': m.kind, 'value': m.value}}, {most})
FROM final_members AS m JOIN asked AS a ON a.target = m.target
ANTI JOIN (
    SELECT target, kind, value FROM final_members
    WHERE left_out IS NULL AND target IN (SELECT container FROM asked)
) AS o
ON o.target = a.container AND o.value = m.value AND o.kind = m.kind
WHERE m.left_out IS NULL
GROUP BY m.target, a.container
"""


class MemberCounts(NamedTuple):
    """The distinct rows of a target's sources that are not excluded, and how many are members."""

    rows: int = 0
    invalid: int = 0
    members: int = 0


NO_MEMBERS = MemberCounts()


def add_members(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Answer the questions below about the members in a table too."""
    db.execute(f"INSERT INTO final_members SELECT target, kind, value, NULL FROM {table}")


def count_members(db: duckdb.DuckDBPyConnection) -> dict[int, MemberCounts]:
    """Count the rows of each target in ``final_members``. A target without rows is left out."""
    return {target: MemberCounts(*counts) for target, *counts in db.execute(_COUNTS).fetchall()}


def find_shared(
    db: duckdb.DuckDBPyConnection, sides: Collection[tuple[Sequence[int], Sequence[int]]]
) -> dict[tuple[int, int], Users]:
    """Return the users that two targets share, by pair, most first.

    The lower target index of a pair is first. Each of ``sides`` asks for the
    pairs of a target on its left side with another one on its right side.
    """
    lefts = [(n, target) for n, (left, _) in enumerate(sides) for target in left]
    rights = [(n, target) for n, (_, right) in enumerate(sides) for target in right]
    db.execute(
        _ASKED_PAIRS,
        [[part[i] for part in side] for side in (lefts, rights) for i in (0, 1)],
    )

    def group(partitions: Sequence[str]) -> None:
        db.execute(_SHARERS)
        for partition in partitions:
            db.execute(_GROUP_SHARERS.format(partition=partition, most=MAX_EXAMPLES))

    run_in_partitions(group)
    rows = db.execute(_SHARED.format(most=MAX_EXAMPLES)).fetchall()
    db.execute("DROP TABLE sharers")
    return {(one, other): first_users(count, sample) for one, other, count, sample in rows}


def find_outside(
    db: duckdb.DuckDBPyConnection, pairs: Collection[tuple[int, int]]
) -> dict[tuple[int, int], Users]:
    """Return the members of each target that are not in its container, by the pair of both."""
    rows = db.execute(
        _OUTSIDE.format(most=MAX_EXAMPLES),
        [[target for target, _ in pairs], [container for _, container in pairs]],
    ).fetchall()
    return {(target, of): first_users(count, sample) for target, of, count, sample in rows}
