"""Count who leaves one segment and joins another in the same delta."""

from collections import Counter
from collections.abc import Mapping, Sequence

import duckdb

from segctl.engine.model import LEFT_OUT
from segctl.engine.partitions import run_in_partitions

MAX_PAIRS = 50_000_000
"""The most pairs of a leave and a join of one user that are counted, summed over all users.

A user who leaves 50 segments and joins 50 makes 2,500 of them."""

MAX_FLOWS = 10_000
"""The most flows that a plan holds. A saved plan is proved with the same two limits, so changing
one is a new format of saved plans."""

_SEGMENTS = """
CREATE OR REPLACE TEMP TABLE flow_segments AS
SELECT unnest($1::INTEGER[]) AS target, unnest($2::INTEGER[]) AS segment
"""

_SIDES = """
SELECT action, count(*), count(DISTINCT segment)
FROM delta JOIN flow_segments USING (target) WHERE NOT reasserted GROUP BY action
"""

_SIDE = """
SELECT segment, kind, value FROM delta JOIN flow_segments USING (target)
WHERE action = '{action}' AND NOT reasserted AND {partition}
"""

_SIDE_OF_SHARED_SEGMENTS = """
SELECT DISTINCT s.segment, s.kind, s.value FROM ({side}) AS s
ANTI JOIN (
    SELECT segment, kind, value FROM delta JOIN flow_segments USING (target)
    WHERE action = '{opposite}' AND {partition}
) AS o ON o.segment = s.segment AND o.value = s.value AND o.kind = s.kind
"""
"""One side if a segment has several targets, as a replaced one has. A user who is removed from one
of them and added to another stays in the segment, also if one of the two is sent again."""

_PAIRS = """
SELECT coalesce(sum(l.number * j.number), 0)
FROM (SELECT kind, value, count(*) AS number FROM ({left}) GROUP BY kind, value) AS l
JOIN (SELECT kind, value, count(*) AS number FROM ({joined}) GROUP BY kind, value) AS j
ON l.value = j.value AND l.kind = j.kind
"""

_FLOWS = """
SELECT l.segment, j.segment, count(*) FROM ({left}) AS l JOIN ({joined}) AS j
ON l.value = j.value AND l.kind = j.kind AND l.segment <> j.segment
GROUP BY l.segment, j.segment LIMIT {most}
"""


def count_flows(
    db: duckdb.DuckDBPyConnection, segments: Sequence[int]
) -> Mapping[tuple[int, int], int] | None:
    """Return how many users of ``delta`` leave one segment and join another; see the protocol."""
    counted = [(target, segment) for target, segment in enumerate(segments) if segment != LEFT_OUT]
    db.execute(_SEGMENTS, [[target for target, _ in counted], [number for _, number in counted]])
    sides = {action: (rows, wide) for action, rows, wide in db.execute(_SIDES).fetchall()}
    if len(sides) < 2:
        return {}
    has_shared = len({number for _, number in counted}) < len(counted)
    (leaves, left_segments), (joins, joined_segments) = sides["REMOVE"], sides["ADD"]
    may_explode = min(leaves * joined_segments, joins * left_segments) > MAX_PAIRS

    def count(partitions: Sequence[str]) -> Counter[tuple[int, int]] | None:
        flows: Counter[tuple[int, int]] = Counter()
        pairs = 0
        for partition in partitions:
            left = _side("REMOVE", "ADD", partition, has_shared=has_shared)
            joined = _side("ADD", "REMOVE", partition, has_shared=has_shared)
            if may_explode:
                [[more]] = db.execute(_PAIRS.format(left=left, joined=joined)).fetchall()
                pairs += int(more)
                if pairs > MAX_PAIRS:
                    return None
            query = _FLOWS.format(left=left, joined=joined, most=MAX_FLOWS + 1)
            for one, other, users in db.execute(query).fetchall():
                flows[one, other] += users
        return flows if len(flows) <= MAX_FLOWS else None

    return run_in_partitions(count)


def _side(action: str, opposite: str, partition: str, *, has_shared: bool) -> str:
    """Return a SELECT over the users who join segments (ADD) or leave them (REMOVE)."""
    side = _SIDE.format(action=action, partition=partition)
    if not has_shared:
        return side
    return _SIDE_OF_SHARED_SEGMENTS.format(side=side, opposite=opposite, partition=partition)
