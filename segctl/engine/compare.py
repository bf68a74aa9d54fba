"""Compare the members that sources declare with the recorded ones.

One FULL JOIN passes over everything and keeps the rows without a partner. A row that matches a
recorded member is valid, since that member was valid. So only the differences are checked and
deduplicated, and the cost depends on the size of the change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from segctl.core.identity import Kind
from segctl.engine import sql
from segctl.engine.model import (
    NO_ANOMALIES,
    Anomalies,
    FileScan,
    InlineRows,
    LoadTargets,
    RecordedFiles,
    Rows,
)

NOT_PLANNED = -1
"""The target index of a declared segment that is not part of the plan."""

MAX_INSPECTED_FILES = 64
"""If the state has more files than this, their statistics are not read before the comparison."""

NO_DESIRED = (
    "SELECT 0::INTEGER AS load, 0::INTEGER AS target, '' AS kind, '' AS value, "
    "NULL::VARCHAR AS segment_value WHERE false"
)

_INLINE_ROWS = """
SELECT p.load, p.target, s.kind, s.value, NULL::VARCHAR AS segment_value
FROM inline_rows AS s JOIN (VALUES {pairs}) AS p(load, target) ON s.load = p.load
"""
"""The rows of all inline loads, once for each of the targets that a load fills."""

_VALUE_PROBLEM = sql.VALUE_PROBLEM.replace("{", "{{").replace("}", "}}")

_UNMATCHED = f"""
CREATE OR REPLACE TABLE unmatched AS
SELECT *, CASE WHEN load IS NOT NULL AND target IS NOT NULL THEN {_VALUE_PROBLEM} END AS problem
FROM (
    SELECT l.load, l.segment_value, coalesce(l.target, r.target) AS target, {{kind}} AS kind,
           coalesce(l.value, r.value) AS value
    FROM ({{desired}}) AS l
    FULL JOIN recorded AS r ON l.value = r.value{{other_keys}}
    WHERE l.load IS NULL OR r.value IS NULL
)
"""
"""Desired rows without a recorded member, and recorded members that are not desired.

The latter have no ``load``. If there is only one kind, ``kind`` is a constant and the join does not
compare it. If there is only one target, the join does not compare targets.
"""

_KINDS_IN_FILES = """
SELECT min(coalesce(stats_min_value, '')), max(coalesce(stats_max_value, ''))
FROM parquet_metadata({files}) WHERE path_in_schema = 'kind'
"""
"""The first and the last kind in files of the state, from the statistics of their row groups."""

_EITHER_KIND = "coalesce(l.kind, r.kind)"

_DIFFERENCES = """
CREATE OR REPLACE TABLE differences AS
SELECT target, action, kind, value, recorded FROM (
    SELECT target, CASE WHEN load IS NULL THEN 'REMOVE' ELSE 'ADD' END AS action, kind, value,
           load IS NULL AS recorded,
           value = lag(value) OVER () AND kind = lag(kind) OVER ()
               AND target = lag(target) OVER () AS is_repeated
    FROM (
        SELECT load, target, kind, value FROM unmatched
        WHERE load IS NULL OR (target IS NOT NULL AND problem IS NULL)
        ORDER BY {order}
    )
) WHERE is_repeated IS NOT TRUE
"""
"""Recorded members that are not desired, and valid desired members that are not recorded.

They are sorted by user, then by target, so a repeated row follows its first one. Packing needs
this order too, and a sort spills where a hash table of all rows would not fit in memory.
"""

_REASSERTED = """
CREATE OR REPLACE TABLE reassertions AS
WITH uncertain AS (SELECT * FROM pairs WHERE status = 'uncertain'),
still_desired AS (
    SELECT DISTINCT d.target, d.kind, d.value FROM ({desired}) AS d SEMI JOIN uncertain AS u
    ON d.target = u.target AND d.value = u.value AND d.kind = u.kind
),
still_recorded AS (
    SELECT r.target, r.kind, r.value FROM recorded AS r SEMI JOIN uncertain AS u
    ON r.target = u.target AND r.value = u.value AND r.kind = u.kind
)
SELECT u.target,
       CASE WHEN d.value IS NULL THEN 'REMOVE' ELSE 'ADD' END AS action,
       u.kind, u.value,
       r.value IS NOT NULL AS recorded,
       u.action AS last_action, u.asked_at
FROM uncertain AS u
LEFT JOIN still_desired AS d ON d.target = u.target AND d.value = u.value AND d.kind = u.kind
LEFT JOIN still_recorded AS r ON r.target = u.target AND r.value = u.value AND r.kind = u.kind
"""
"""Pairs whose last request got no answer. They are sent again, in the direction now desired."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One source as a relation; ``select`` reads it. ``rows`` is its number of rows."""

    number: int
    source: Rows
    select: str
    rows: int
    targets: LoadTargets
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    anomalies: Anomalies = NO_ANOMALIES

    @property
    def is_table(self) -> bool:
        """Whether each row names the segment that it is for."""
        return isinstance(self.targets, Mapping)

    def target_indexes(self) -> list[int]:
        """Return the indexes of its targets."""
        return list(self.targets.values() if isinstance(self.targets, Mapping) else self.targets)


def compare(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[Load],
    wanted: set[int],
    recorded: Mapping[int, RecordedFiles],
    *,
    filters: Sequence[str],
) -> None:
    """Create the tables ``unmatched``, ``differences`` and ``reassertions``.

    The relations ``recorded`` and ``pairs`` exist already. Each of ``filters`` is a SELECT around
    ``{desired}`` that leaves out some of the desired rows.
    """
    desired = select_desired(db, loads, wanted)
    for filter_ in filters:
        desired = filter_.replace("{desired}", desired)
    kind = _only_kind(db, loads, recorded)
    other_keys = "" if kind else " AND l.kind = r.kind"
    if len(recorded) > 1 or any(load.is_table for load in loads):
        other_keys += " AND l.target = r.target"
    kinds = sql.literal(kind) if kind else _EITHER_KIND
    db.execute(_UNMATCHED.format(desired=desired, other_keys=other_keys, kind=kinds))

    order = "value" if kind else sql.MEMBER_ORDER
    if len(recorded) > 1:
        order += ", target"
    with sql.preserve_order(db):
        db.execute(_DIFFERENCES.format(order=order))
    [[uncertain]] = db.execute("SELECT count(*) FROM pairs WHERE status = 'uncertain'").fetchall()
    # Only uncertain pairs must be looked up among all desired members.
    db.execute(_REASSERTED.format(desired=desired if uncertain else NO_DESIRED))


def _only_kind(
    db: duckdb.DuckDBPyConnection, loads: Iterable[Load], recorded: Mapping[int, RecordedFiles]
) -> Kind | None:
    """Return the kind of all user keys, if it is known to be only one without reading them."""
    kinds = {
        load.source.kind if isinstance(load.source, (InlineRows, FileScan)) else None
        for load in loads
    }
    files = [file for r in recorded.values() for file in (r.base, *r.changes) if file]
    if len(kinds) != 1 or None in kinds or len(files) > MAX_INSPECTED_FILES:
        return None
    if files:
        query = _KINDS_IN_FILES.format(files=sql.file_names(files))
        [[first, last]] = db.execute(query).fetchall()
        kinds |= {first, last}
    [kind, *others] = kinds
    return None if others else kind


def select_desired(db: duckdb.DuckDBPyConnection, loads: Iterable[Load], wanted: set[int]) -> str:
    """Return a SELECT over the rows that all loads have for the ``wanted`` targets.

    Its columns are ``load``, ``target``, ``kind``, ``value`` and ``segment_value``. Rows of a
    table whose segment is not declared have no target and keep their segment value.
    """
    inline = [load for load in loads if isinstance(load.source, InlineRows)]
    others = [load for load in loads if not isinstance(load.source, InlineRows)]
    selects = [select for load in others if (select := _select_load(db, load, wanted))]
    pairs = [(load.number, t) for load in inline for t in load.target_indexes() if t in wanted]
    if pairs:
        selects.append(_INLINE_ROWS.format(pairs=", ".join(map(str, pairs))))
    return " UNION ALL ".join(selects) if selects else NO_DESIRED


def _select_load(db: duckdb.DuckDBPyConnection, load: Load, wanted: set[int]) -> str:
    head = f"SELECT {load.number}::INTEGER AS load"
    if isinstance(load.targets, Mapping):
        table = f"segment_values_{load.number}"
        planned = [t if t in wanted else NOT_PLANNED for t in load.targets.values()]
        db.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS "
            "SELECT unnest($1::VARCHAR[]) AS segment_value, unnest($2::INTEGER[]) AS target",
            [list(load.targets), planned],
        )
        return (
            f"{head}, t.target, s.kind, s.value, "
            "CASE WHEN t.target IS NULL THEN s.segment_value END AS segment_value "
            f"FROM ({load.select}) AS s LEFT JOIN {table} AS t "
            "ON s.segment_value = t.segment_value "
            f"WHERE t.target IS DISTINCT FROM {NOT_PLANNED}"
        )
    target_indexes = [index for index in load.targets if index in wanted]
    if not target_indexes:
        return ""
    columns = "kind, value, NULL::VARCHAR AS segment_value"
    if len(target_indexes) == 1:
        return f"{head}, {target_indexes[0]}::INTEGER AS target, {columns} FROM ({load.select})"
    listed = ", ".join(f"({index})" for index in target_indexes)
    return (
        f"{head}, t.target::INTEGER AS target, {columns} FROM ({load.select}) AS s "
        f"CROSS JOIN (VALUES {listed}) AS t(target)"
    )
