"""Count the rows of loads: duplicates, invalid rows, rows for undeclared segments.

After the comparison most counts follow from the rows that did not match and from the recorded
counts, without reading the source again.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from segctl.core.identity import IdentityProblem
from segctl.engine import sql
from segctl.engine.compare import Load
from segctl.engine.match_restrictions import TakenAway
from segctl.engine.model import FileScan, LoadStats, RecordedFiles
from segctl.engine.partitions import run_in_partitions

_INVALID = """
SELECT load, problem, count(*) FROM unmatched WHERE problem IS NOT NULL
GROUP BY load, problem ORDER BY load, problem
"""

_UNDECLARED = """
SELECT load, segment_value, count(*) AS rows FROM unmatched
WHERE load IS NOT NULL AND target IS NULL
GROUP BY load, segment_value
"""

_ADDED = "SELECT target, count(*) FROM differences WHERE action = 'ADD' GROUP BY target"

_DISTINCT_UNDECLARED = """
SELECT load, count(*) FROM (
    SELECT DISTINCT load, kind, value, segment_value FROM unmatched
    WHERE load IS NOT NULL AND target IS NULL
) GROUP BY load
"""

_REMOVED = "SELECT target, count(*) FROM unmatched WHERE load IS NULL GROUP BY target"


def stats_from_comparison(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[Load],
    wanted: set[int],
    recorded: Mapping[int, RecordedFiles],
    *,
    filtered: bool,
    taken_away: Mapping[int, TakenAway] | None,
    counted: Container[int],
) -> dict[int, LoadStats]:
    """Return the stats of loads by their numbers, from the tables of the comparison.

    ``filtered`` is true if the comparison left out some of the desired rows. ``taken_away`` counts
    these by target; ``None`` if they are not counted. Loads whose numbers are in ``counted`` are
    skipped.
    """
    invalid, undeclared = _invalid_rows(db), _undeclared_rows(db)
    added = dict(db.execute(_ADDED).fetchall())
    undeclared_distinct = dict(db.execute(_DISTINCT_UNDECLARED).fetchall())
    removed = dict(db.execute(_REMOVED).fetchall())
    has_sole_load = targets_with_sole_load(loads)
    stats = {}
    for load in loads:
        if load.number in counted:
            continue
        target_indexes = [index for index in load.target_indexes() if index in wanted]
        repeats = 0 if load.is_table else max(len(target_indexes), 1)
        is_sole_load = all(has_sole_load[index] for index in target_indexes)
        # Rows of a table for undeclared segments are filtered too, and are not counted.
        is_counted = not filtered or (taken_away is not None and not load.is_table)
        if is_counted and is_sole_load and set(load.target_indexes()) <= wanted:
            # The distinct valid rows of a target's only load are its members after the
            # comparison and whom restrictions took away. A list has the same rows for each target.
            distinct = undeclared_distinct.get(load.number, 0) + sum(
                recorded[index].digest.count - removed.get(index, 0) + added.get(index, 0)
                for index in (target_indexes if load.is_table else target_indexes[:1])
            )
            if taken_away and target_indexes:
                taken = taken_away.get(target_indexes[0], TakenAway())
                distinct += taken.valid if invalid.get(load.number) else taken.rows
        else:
            distinct = count_distinct(
                db, load, set(target_indexes), has_invalid=bool(invalid.get(load.number))
            )
        values = undeclared.get(load.number, [])
        invalid_rows = {
            problem: rows // (repeats or 1)
            for problem, rows in invalid.get(load.number, {}).items()
        }
        stats[load.number] = _add_undeclared(
            LoadStats(
                rows=load.rows,
                duplicates=load.rows - sum(invalid_rows.values()) - distinct,
                invalid=invalid_rows,
            ),
            values,
        )
    return stats


def stats_from_rows(
    db: duckdb.DuckDBPyConnection, load: Load, target_indexes: set[int]
) -> LoadStats:
    """Return the stats of a load by reading it; of a table, only rows for ``target_indexes``."""
    rows = f"SELECT * FROM ({load.select})"
    parameters: dict[str, list[str]] = {}
    undeclared: list[tuple[str | None, int]] = []
    if isinstance(load.targets, Mapping):
        rows += " WHERE list_contains($values::VARCHAR[], segment_value)"
        parameters["values"] = [value for value, t in load.targets.items() if t in target_indexes]
        undeclared = _undeclared_in_table(db, load, list(load.targets))
    found = db.execute(
        f"SELECT {sql.VALUE_PROBLEM} AS problem, count(*) FROM ({rows}) "
        "GROUP BY problem HAVING problem IS NOT NULL ORDER BY problem",
        parameters,
    ).fetchall()
    invalid = {IdentityProblem(problem): count for problem, count in found}
    distinct = count_distinct(db, load, target_indexes, has_invalid=bool(invalid))
    stats = LoadStats(
        rows=load.rows,
        duplicates=load.rows - sum(invalid.values()) - distinct,
        invalid=invalid,
    )
    return _add_undeclared(stats, undeclared)


def add_first_rows(
    db: duckdb.DuckDBPyConnection,
    load: Load,
    stats: LoadStats,
    select_in_order: Callable[[FileScan], str],
) -> LoadStats:
    """Add the first invalid row of each problem, for files. Reads them again, in order."""
    if not isinstance(load.source, FileScan) or not stats.invalid:
        return stats
    first_rows: dict[IdentityProblem, int] = {}
    first_files: dict[IdentityProblem, Path] = {}
    for path in load.source.paths:
        select = select_in_order(replace(load.source, paths=(path,)))
        select = sql.mark_mismatches(select, load.patterns)
        for problem, row in _first_invalid(db, select):
            first_rows.setdefault(problem, row)
            first_files.setdefault(problem, path)
        if first_rows.keys() >= stats.invalid.keys():
            break
    several = len(load.source.paths) > 1
    return replace(stats, first_rows=first_rows, first_files=first_files if several else {})


def count_distinct(
    db: duckdb.DuckDBPyConnection,
    load: Load,
    target_indexes: Container[int],
    *,
    has_invalid: bool,
) -> int:
    """Count the distinct rows of a load, without invalid ones if it has any.

    In a table, only rows for ``target_indexes`` can be invalid: others are not checked.
    """
    columns, is_checked, parameters = "kind, value", "true", {}
    if isinstance(load.targets, Mapping):
        columns += ", segment_value"
        is_checked = "coalesce(list_contains($values::VARCHAR[], segment_value), false)"
        parameters["values"] = [value for value, t in load.targets.items() if t in target_indexes]
    counted = f"count(*) FILTER (WHERE NOT {is_checked} OR ({sql.VALUE_PROBLEM}) IS NULL)"
    if not has_invalid:
        counted, parameters = "count(*)", {}

    def count(partitions: Sequence[str]) -> int:
        return sum(
            rows
            for partition in partitions
            for (rows,) in db.execute(
                f"SELECT {counted} "
                f"FROM (SELECT DISTINCT {columns} FROM ({load.select}) WHERE {partition})",
                parameters,
            ).fetchall()
        )

    return run_in_partitions(count)


def targets_with_sole_load(loads: Iterable[Load]) -> dict[int, bool]:
    """For each target, return whether exactly one load provides its members."""
    sole: dict[int, bool] = {}
    for load in loads:
        for target_index in load.target_indexes():
            sole[target_index] = target_index not in sole
    return sole


def _invalid_rows(db: duckdb.DuckDBPyConnection) -> dict[int, dict[IdentityProblem, int]]:
    by_load: dict[int, dict[IdentityProblem, int]] = {}
    for load, problem, rows in db.execute(_INVALID).fetchall():
        by_load.setdefault(load, {})[IdentityProblem(problem)] = rows
    return by_load


def _undeclared_rows(db: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[str | None, int]]]:
    by_load: dict[int, list[tuple[str | None, int]]] = {}
    for load, segment_value, rows in db.execute(_UNDECLARED).fetchall():
        by_load.setdefault(load, []).append((segment_value, rows))
    return by_load


def _undeclared_in_table(
    db: duckdb.DuckDBPyConnection, load: Load, declared: Sequence[str]
) -> list[tuple[str | None, int]]:
    return db.execute(
        f"SELECT segment_value, count(*) AS rows FROM ({load.select}) "
        "WHERE segment_value IS NULL OR NOT list_contains($declared::VARCHAR[], segment_value) "
        "GROUP BY segment_value",
        {"declared": list(declared)},
    ).fetchall()


def _add_undeclared(stats: LoadStats, values: Sequence[tuple[str | None, int]]) -> LoadStats:
    """Add the counts of undeclared values. The values can be user keys, if it is another column."""
    return replace(
        stats,
        undeclared=sum(value is not None for value, _ in values),
        undeclared_rows=sum(rows for _, rows in values),
        undeclared_nulls=sum(rows for value, rows in values if value is None),
    )


def _first_invalid(db: duckdb.DuckDBPyConnection, select: str) -> list[tuple[IdentityProblem, int]]:
    with sql.preserve_order(db):
        found = db.execute(
            f"SELECT problem, min(number) FROM (SELECT {sql.VALUE_PROBLEM} AS problem, "
            f"row_number() OVER () AS number FROM ({select})) "
            "WHERE problem IS NOT NULL GROUP BY problem"
        ).fetchall()
    return [(IdentityProblem(problem), row) for problem, row in found]
