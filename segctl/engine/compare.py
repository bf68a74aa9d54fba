"""Compare desired with recorded members, and judge the rows that do not match.

The one pass over everything is a FULL JOIN that keeps what has no partner.  A row
that matches a recorded member is valid, since that one was; so only what differs
is checked, counted and made distinct, and the cost follows the change.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from segctl.core.identity import IdentityProblem, Kind
from segctl.engine import memory_limit, sql
from segctl.engine.model import FileScan, InlineRows, LoadStats, LoadTargets, RecordedFiles, Rows

NOT_PLANNED = -1
"""The target of rows whose segment is declared and not part of this plan."""

FILES_LOOKED_AT = 64
"""In how many files of the state it pays to look for the kinds of their keys."""

MOST_LISTED = 10
"""How many undeclared values a diagnostic names."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One source as a relation; ``targets`` by index, or by value of its ``label``."""

    number: int
    source: Rows
    select: str
    rows: int
    targets: LoadTargets

    @property
    def is_table(self) -> bool:
        """Whether each row says for itself which segment it fills."""
        return isinstance(self.targets, Mapping)

    def places(self) -> list[int]:
        """Give the indexes of its targets."""
        places = self.targets.values() if isinstance(self.targets, Mapping) else self.targets
        return list(places)


def compare(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[Load],
    wanted: set[int],
    recorded: Mapping[int, RecordedFiles],
    *,
    sieves: Sequence[str],
) -> None:
    """Make the tables ``unmatched``, ``compared`` and ``unanswered``.

    The relation ``recorded``, ``pairs`` and what the ``sieves`` look at are there already.
    """
    wished = desired(db, loads, wanted)
    for sieve in sieves:
        wished = sieve.format(desired=wished)
    kind = _one_kind(db, loads, recorded)
    together = "" if kind else " AND l.kind = r.kind"
    if len(recorded) > 1 or any(load.is_table for load in loads):
        together += " AND l.target = r.target"
    kinds = sql.literal(kind) if kind else sql.BOTH_KINDS
    db.execute(sql.UNMATCHED.format(desired=wished, together=together, kind=kinds))

    def part(conditions: Sequence[str]) -> None:
        db.execute(sql.COMPARED)
        for condition in conditions:
            db.execute(sql.JOINING.format(part=condition))

    memory_limit.in_parts(part)
    [[unsure]] = db.execute("SELECT count(*) FROM pairs WHERE status = 'uncertain'").fetchall()
    # Only pairs without an answer need to be looked up among all desired members.
    db.execute(sql.UNANSWERED.format(desired=wished if unsure else sql.NO_DESIRED))


def _one_kind(
    db: duckdb.DuckDBPyConnection, loads: Iterable[Load], recorded: Mapping[int, RecordedFiles]
) -> Kind | None:
    """Give the kind that all user keys have, where that is plain without reading them."""
    kinds = {
        load.source.kind if isinstance(load.source, (InlineRows, FileScan)) else None
        for load in loads
    }
    files = [file for r in recorded.values() for file in (r.base, *r.changes) if file]
    if len(kinds) != 1 or None in kinds or len(files) > FILES_LOOKED_AT:
        return None
    if files:
        [[low, high]] = db.execute(sql.KINDS.format(files=sql.paths(files))).fetchall()
        kinds |= {low, high}
    [kind, *others] = kinds
    return None if others else kind


def desired(db: duckdb.DuckDBPyConnection, loads: Iterable[Load], wanted: set[int]) -> str:
    """Give a SELECT over all loads: ``load``, ``target``, ``kind``, ``value``, ``label``."""
    lists = [load for load in loads if isinstance(load.source, InlineRows)]
    others = [load for load in loads if not isinstance(load.source, InlineRows)]
    parts = [part for load in others if (part := _part(db, load, wanted))]
    pairs = [(load.number, t) for load in lists for t in load.places() if t in wanted]
    if pairs:
        parts.append(sql.LISTED.format(pairs=", ".join(map(str, pairs))))
    return " UNION ALL ".join(parts) if parts else sql.NO_DESIRED


def _part(db: duckdb.DuckDBPyConnection, load: Load, wanted: set[int]) -> str:
    head = f"SELECT {load.number}::INTEGER AS load"
    if isinstance(load.targets, Mapping):
        table = f"labels_{load.number}"
        planned = [t if t in wanted else NOT_PLANNED for t in load.targets.values()]
        db.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT unnest($1::VARCHAR[]) AS label, "
            "unnest($2::INTEGER[]) AS target",
            [list(load.targets), planned],
        )
        return (
            f"{head}, t.target, s.kind, s.value, "
            "CASE WHEN t.target IS NULL THEN s.label END AS label "
            f"FROM ({load.select}) AS s LEFT JOIN {table} AS t ON s.label = t.label "
            f"WHERE t.target IS DISTINCT FROM {NOT_PLANNED}"
        )
    places = [place for place in load.targets if place in wanted]
    if not places:
        return ""
    columns = "kind, value, NULL::VARCHAR AS label"
    if len(places) == 1:
        return f"{head}, {places[0]}::INTEGER AS target, {columns} FROM ({load.select})"
    listed = ", ".join(f"({place})" for place in places)
    return (
        f"{head}, t.target::INTEGER AS target, {columns} FROM ({load.select}) AS s "
        f"CROSS JOIN (VALUES {listed}) AS t(target)"
    )


def judge(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[Load],
    wanted: set[int],
    recorded: Mapping[int, RecordedFiles],
    *,
    sieved: bool,
    judged: Container[int],
) -> dict[int, LoadStats]:
    """Give what each load held, from what did not match and what is recorded.

    Loads whose numbers are in ``judged`` are left out.
    """
    invalid = _invalid(db)
    others = _others(db)
    added = dict(db.execute(sql.ADDED).fetchall())
    odd = {(load, target): rows for load, target, rows in db.execute(sql.DISTINCT_ODD).fetchall()}
    removed = dict(db.execute(sql.REMOVED).fetchall())
    sole = filled_alone(loads)
    stats = {}
    for load in loads:
        if load.number in judged:
            continue
        places = [place for place in load.places() if place in wanted]
        repeats = 0 if load.is_table else max(len(places), 1)
        if not sieved and set(load.places()) <= wanted and all(sole[p] for p in places):
            counted = places if load.is_table else places[:1]
            distinct = odd.get((load.number, None), 0) + sum(
                recorded[place].digest.count
                - removed.get(place, 0)
                + added.get(place, 0)
                + odd.get((load.number, place), 0)
                for place in counted
            )
        else:
            distinct = distinct_rows(db, load)
        listed = others.get(load.number, [])
        stats[load.number] = LoadStats(
            rows=load.rows,
            duplicates=load.rows - distinct,
            invalid={
                problem: rows // (repeats or 1)
                for problem, rows in invalid.get(load.number, {}).items()
            },
            undeclared=tuple(listed[:MOST_LISTED]),
            undeclared_rows=sum(rows for _, rows in listed),
        )
    return stats


def distinct_rows(db: duckdb.DuckDBPyConnection, load: Load) -> int:
    """Count the distinct rows of a load."""
    label = ", label" if load.is_table else ""

    def count(conditions: Sequence[str]) -> int:
        return sum(
            rows
            for condition in conditions
            for (rows,) in db.execute(
                f"SELECT count(*) FROM (SELECT DISTINCT kind, value{label} FROM ({load.select}) "
                f"WHERE {condition})"
            ).fetchall()
        )

    return memory_limit.in_parts(count)


def filled_alone(loads: Iterable[Load]) -> dict[int, bool]:
    """Tell of each target whether a single load fills it."""
    found: dict[int, bool] = {}
    for load in loads:
        for place in load.places():
            found[place] = place not in found
    return found


def _invalid(db: duckdb.DuckDBPyConnection) -> dict[int, dict[IdentityProblem, int]]:
    found: dict[int, dict[IdentityProblem, int]] = {}
    for load, problem, rows in db.execute(sql.INVALID).fetchall():
        found.setdefault(load, {})[IdentityProblem(problem)] = rows
    return found


def _others(db: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[str, int]]]:
    found: dict[int, list[tuple[str, int]]] = {}
    for load, label, rows in db.execute(sql.OTHERS).fetchall():
        found.setdefault(load, []).append(("(no value)" if label is None else label, rows))
    return found
