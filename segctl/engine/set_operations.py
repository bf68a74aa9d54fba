"""Set algebra: the final members of a target where its sources alone do not tell them.

A target is *composed* where it is narrowed by intersections or a hold-out, where
another one reads it, or where somebody wants to ask about its members.  Its final set
is made once, distinct and valid, and is one more source for whoever reads it.  All
other targets flow by as they are, less what is excluded and suppressed; so nobody
pays for what he does not use.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

import duckdb

from segctl.core.holdout import SEPARATOR, Holdout
from segctl.core.identity import IdentityProblem, Kind
from segctl.engine import compare, memory_limit, sql
from segctl.engine.compare import MOST_LISTED, NOT_PLANNED, Load
from segctl.engine.model import LoadStats, TargetMembers
from segctl.manifests.desired import Role
from segctl.plan.model import Users

SHOWN = 3
"""How many users stand for each violation of a rule."""

_TABLES = f"""
CREATE TABLE excluded AS {sql.NO_ROWS};
CREATE TABLE suppressed (kind VARCHAR, value VARCHAR);
CREATE TABLE holdouts (target INTEGER, salt VARCHAR, bound HUGEINT);
CREATE TABLE composed (target INTEGER, kind VARCHAR, value VARCHAR, aside VARCHAR);
"""

WITHOUT_SUPPRESSED = """
SELECT d.* FROM ({desired}) AS d
ANTI JOIN suppressed AS s ON s.value = d.value AND s.kind = d.kind
"""

_HELD_OUT = (
    f"('0x' || substr(sha256(h.salt || {sql.literal(SEPARATOR)} || d.kind[1] || d.value), 1, 16))"
    "::UBIGINT::HUGEINT < h.bound"
)
"""``Holdout.takes``, in SQL."""

_COMPOSE = """
INSERT INTO composed
SELECT d.target, d.kind, d.value,
       CASE WHEN d.invalid THEN 'invalid'
            WHEN {held_out} THEN 'held_out'
            WHEN s.value IS NOT NULL THEN 'suppressed' END
FROM (
    SELECT c.* FROM (
        SELECT *, ({problem}) IS NOT NULL AS invalid FROM (
            SELECT DISTINCT target, kind, value FROM (SELECT d.* FROM ({desired}) AS d {within})
            WHERE target IS NOT NULL AND {part}
        )
    ) AS c
    ANTI JOIN excluded AS e ON e.target = c.target AND e.value = c.value AND e.kind = c.kind
) AS d
LEFT JOIN holdouts AS h ON h.target = d.target
LEFT JOIN suppressed AS s ON s.value = d.value AND s.kind = d.kind
"""

_ASIDE = """
SELECT target, aside, count(*) FROM composed WHERE aside IN ('held_out', 'suppressed')
GROUP BY target, aside
"""

_SUPPRESSED = """
SELECT target, count(*) FROM (
    SELECT DISTINCT d.target, d.kind, d.value FROM (
        SELECT l.* FROM ({desired}) AS l
        SEMI JOIN suppressed AS s ON s.value = l.value AND s.kind = l.kind
    ) AS d
    ANTI JOIN excluded AS e ON e.target = d.target AND e.value = d.value AND e.kind = d.kind
    WHERE d.target IS NOT NULL
) GROUP BY target
"""

_SHARED = """
WITH members AS (
    SELECT target, kind, value FROM composed
    WHERE aside IS NULL AND list_contains($targets::INTEGER[], target)
),
several AS (SELECT kind, value FROM members GROUP BY kind, value HAVING count(*) > 1),
doubled AS (
    SELECT m.* FROM members AS m SEMI JOIN several AS s ON s.value = m.value AND s.kind = m.kind
)
SELECT a.target, b.target, count(*) AS found, min({'kind': a.kind, 'value': a.value}, $most)
FROM doubled AS a JOIN doubled AS b
ON b.value = a.value AND b.kind = a.kind AND a.target < b.target
GROUP BY a.target, b.target ORDER BY found DESC, a.target, b.target
"""

_OUTSIDE = """
SELECT m.target, count(*), min({'kind': m.kind, 'value': m.value}, $most)
FROM (
    SELECT target, kind, value FROM composed
    WHERE aside IS NULL AND list_contains($targets::INTEGER[], target)
) AS m
ANTI JOIN (SELECT kind, value FROM composed WHERE target = $of AND aside IS NULL) AS o
ON o.value = m.value AND o.kind = m.kind
GROUP BY m.target
"""


class Algebra:
    """What is said of the targets of one database beside the sources that fill them.

    ``number`` is that of the load that holds all final sets; ``taken`` are the loads that
    take members away, ``stats`` tell what some loads held.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, number: int) -> None:
        self._db = db
        self.number = number
        self.taken: list[Load] = []
        self._narrowing: dict[int, list[Load]] = {}
        self._excluding_members: list[Load] = []
        self._kept: set[int] = set()
        self._held: set[int] = set()
        self._lessened: set[int] = set()
        self._excluding = self._suppressing = False
        self.stats: dict[int, LoadStats] = {}
        db.execute(_TABLES)

    def take(self, load: Load, role: Role) -> None:
        """Take a load in that takes members away, whatever the sources say."""
        self.taken.append(load)
        self._lessened |= set(load.places()) if role != "suppress" else set()
        members = isinstance(load.source, TargetMembers)
        if not members:
            self.stats[load.number] = judged(self._db, load, set(load.places()))
        if role == "intersect":
            for place in load.places():
                self._narrowing.setdefault(place, []).append(load)
        elif role == "suppress":
            self._suppressing = True
            self._suppress(load)
        else:
            self._excluding = True
            if members:
                self._excluding_members.append(load)
            else:
                self._exclude(load)

    def hold_out(self, target: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""
        self._held.add(target)
        self._db.execute(
            "INSERT INTO holdouts VALUES ($1, $2, $3)", [target, holdout.salt, holdout.threshold]
        )

    def retain_members(self, target_index: int) -> None:
        """Have the final members of a target at hand for questions."""
        self._kept.add(target_index)

    @property
    def sieves(self) -> tuple[str, ...]:
        """What every desired member must pass, each around the one before it."""
        excluding = (sql.WITHOUT_EXCLUDED,) if self._excluding else ()
        return excluding + ((WITHOUT_SUPPRESSED,) if self._suppressing else ())

    def compose(self, loads: Sequence[Load], wanted: set[int]) -> list[Load]:
        """Make all final sets; give the loads for the comparison of ``wanted`` targets.

        What remains of each load is for the targets that are not composed; one load
        more holds the final sets.
        """
        reads = self._reads(loads)
        composed = set(reads)
        if not composed:
            return list(loads)
        self._db.execute("TRUNCATE composed")
        order = TopologicalSorter(reads)
        order.prepare()
        while ready := set(order.get_ready()):
            self._compose(loads, ready)
            for load in self._excluding_members:
                if _read_by(load) in ready:
                    self._exclude(load)
            order.done(*ready)
        alone = compare.filled_alone(loads)
        for load in [*loads, *self.taken]:
            if load.number in self.stats:
                continue
            if composed & set(load.places()) or isinstance(load.source, TargetMembers):
                sole = all(alone.get(place) for place in load.places())
                self.stats[load.number] = self._judged(load, wanted | composed, sole=sole)
        rest = [_without(load, composed) for load in loads]
        return [load for load in rest if load.places()] + self._as_load(composed)

    def aside(self, loads: Sequence[Load], wanted: set[int]) -> dict[int, dict[str, int]]:
        """Count by target who is ``held_out`` and, of the others, ``suppressed``.

        ``loads`` are those that ``compose`` gave.
        """
        found: dict[int, dict[str, int]] = {}
        for target, why, users in self._db.execute(_ASIDE).fetchall():
            found.setdefault(target, {})[why] = users
        if self._suppressing:
            streamed = [load for load in loads if load.number != self.number]
            desired = compare.desired(self._db, streamed, wanted)
            for target, users in self._db.execute(_SUPPRESSED.format(desired=desired)).fetchall():
                found.setdefault(target, {})["suppressed"] = users
        return found

    # Questions

    def count_members(self, target_index: int) -> int:
        """Count the final members of a composed target."""
        [[users]] = self._db.execute(f"SELECT count(*) FROM ({_final(target_index)})").fetchall()
        return int(users)

    def find_shared(self, target_indexes: Sequence[int]) -> dict[tuple[int, int], Users]:
        """Give the users whom each two of these composed targets share, the most first."""
        rows = self._db.execute(
            _SHARED, {"targets": list(target_indexes), "most": SHOWN}
        ).fetchall()
        return {(one, other): _users(count, sample) for one, other, count, sample in rows}

    def find_outside(self, target_indexes: Sequence[int], container: int) -> dict[int, Users]:
        """Give the final members of composed targets that are not in another one."""
        rows = self._db.execute(
            _OUTSIDE, {"targets": list(target_indexes), "of": container, "most": SHOWN}
        ).fetchall()
        return {target: _users(count, sample) for target, count, sample in rows}

    # Steps

    def _reads(self, loads: Iterable[Load]) -> dict[int, set[int]]:
        """Give every composed target with the targets that must be composed before it."""
        every = [*loads, *self.taken]
        reading = [load for load in every if isinstance(load.source, TargetMembers)]
        read = {_read_by(load) for load in reading}
        reads: dict[int, set[int]] = {
            target: set() for target in read | set(self._narrowing) | self._held | self._kept
        }
        for load in reading:
            for place in load.places():
                if place in reads:
                    reads[place].add(_read_by(load))
        return reads

    def _compose(self, loads: Sequence[Load], targets: set[int]) -> None:
        narrowed = targets & set(self._narrowing)
        if free := targets - narrowed:
            self._insert(free, compare.desired(self._db, loads, free), "")
        for target in sorted(narrowed):
            within = " ".join(
                f"SEMI JOIN ({load.select}) AS i{n} ON i{n}.value = d.value AND i{n}.kind = d.kind"
                for n, load in enumerate(self._narrowing[target])
            )
            self._insert({target}, compare.desired(self._db, loads, {target}), within)

    def _insert(self, targets: Iterable[int], desired: str, within: str) -> None:
        whole = {"desired": desired, "within": within}
        whole |= {"problem": sql.PROBLEM, "held_out": _HELD_OUT}

        def part(conditions: Sequence[str]) -> None:
            if len(conditions) > 1:  # some of another try may be there
                self._db.execute(
                    "DELETE FROM composed WHERE list_contains($1::INTEGER[], target)",
                    [list(targets)],
                )
            for condition in conditions:
                self._db.execute(_COMPOSE.format(part=condition, **whole))

        memory_limit.in_parts(part)

    def _exclude(self, load: Load) -> None:
        """Take the valid rows of a load away from whatever its targets are given."""

        def part(conditions: Sequence[str]) -> None:
            # Rows that another try left do no harm: whoever stands there twice is excluded, too.
            for condition in conditions:
                self._db.execute(
                    "INSERT INTO excluded SELECT t.target, s.kind, s.value "
                    f"FROM (SELECT DISTINCT kind, value FROM ({load.select}) WHERE {condition}) "
                    "AS s CROSS JOIN (SELECT unnest($1::INTEGER[]) AS target) AS t "
                    f"WHERE ({sql.PROBLEM}) IS NULL",
                    [load.places()],
                )

        memory_limit.in_parts(part)

    def _suppress(self, load: Load) -> None:
        """Take the valid rows of a load away from everybody, and count none of them twice."""

        def part(conditions: Sequence[str]) -> None:
            for condition in conditions:
                self._db.execute(
                    "INSERT INTO suppressed SELECT s.kind, s.value "
                    f"FROM (SELECT DISTINCT kind, value FROM ({load.select}) "
                    f"WHERE ({sql.PROBLEM}) IS NULL AND {condition}) AS s "
                    "ANTI JOIN suppressed AS k ON k.value = s.value AND k.kind = s.kind"
                )

        memory_limit.in_parts(part)

    def _judged(self, load: Load, targets: set[int], *, sole: bool) -> LoadStats:
        if isinstance(load.source, TargetMembers):
            return LoadStats(rows=self.count_members(load.source.target_index), duplicates=0)
        known = self._as_composed(load) if sole else None
        return known or judged(self._db, load, targets)

    def _as_composed(self, load: Load) -> LoadStats | None:
        """Tell what a load held from the one set that is made of nothing else.

        ``None`` where that does not tell, or where there are invalid rows to be counted.
        """
        places = load.places()
        if load.is_table or len(places) > 1 or self._lessened & set(places):
            return None
        [[users, invalid]] = self._db.execute(
            "SELECT count(*), count(*) FILTER (WHERE aside = 'invalid') FROM composed "
            "WHERE target = $1",
            places,
        ).fetchall()
        return None if invalid else LoadStats(rows=load.rows, duplicates=load.rows - users)

    def _as_load(self, composed: set[int]) -> list[Load]:
        return [
            Load(
                number=self.number,
                source=TargetMembers(target_index=NOT_PLANNED),
                select="SELECT kind, value, target::VARCHAR AS label FROM composed "
                "WHERE aside IS NULL",
                rows=0,
                targets={str(target): target for target in sorted(composed)},
            )
        ]


def members_of(target: int) -> str:
    """Give a SELECT over the members of a target for another one to read.

    Suppressed ones are among them.  They are taken from the reader as from anyone, and
    are counted there if they would have come.
    """
    return (
        "SELECT kind, value, NULL::VARCHAR AS label FROM composed "
        f"WHERE target = {target} AND (aside IS NULL OR aside = 'suppressed')"
    )


def judged(db: duckdb.DuckDBPyConnection, load: Load, targets: set[int]) -> LoadStats:
    """Give what a load held, by looking at all of it; of a table, the rows for ``targets``."""
    rows = f"SELECT * FROM ({load.select})"
    others: list[tuple[str, int]] = []
    if isinstance(load.targets, Mapping):
        labels = {"labels": [label for label, t in load.targets.items() if t in targets]}
        rows += " WHERE list_contains($labels::VARCHAR[], label)"
        others = _others(db, load, list(load.targets))
    else:
        labels = {}
    found = db.execute(
        f"SELECT {sql.PROBLEM} AS problem, count(*) FROM ({rows}) "
        "GROUP BY problem HAVING problem IS NOT NULL ORDER BY problem",
        labels,
    ).fetchall()
    return LoadStats(
        rows=load.rows,
        duplicates=load.rows - compare.distinct_rows(db, load),
        invalid={IdentityProblem(problem): count for problem, count in found},
        undeclared=tuple(others[:MOST_LISTED]),
        undeclared_rows=sum(count for _, count in others),
    )


def _others(
    db: duckdb.DuckDBPyConnection, load: Load, labels: Sequence[str]
) -> list[tuple[str, int]]:
    return [
        ("(no value)" if label is None else label, rows)
        for label, rows in db.execute(
            f"SELECT label, count(*) AS found FROM ({load.select}) "
            "WHERE label IS NULL OR NOT list_contains($labels::VARCHAR[], label) "
            "GROUP BY label ORDER BY found DESC, label",
            {"labels": list(labels)},
        ).fetchall()
    ]


def _without(load: Load, composed: set[int]) -> Load:
    """Give what is left of a load when composed targets are taken care of."""
    if isinstance(load.targets, Mapping):
        targets = {
            label: NOT_PLANNED if target in composed else target
            for label, target in load.targets.items()
        }
        return replace(load, targets=targets if set(targets.values()) != {NOT_PLANNED} else {})
    return replace(load, targets=[place for place in load.targets if place not in composed])


def _read_by(load: Load) -> int:
    return load.source.target_index if isinstance(load.source, TargetMembers) else NOT_PLANNED


def _final(target: int) -> str:
    return f"SELECT kind, value FROM composed WHERE target = {target} AND aside IS NULL"


def _users(count: int, sample: Iterable[Mapping[str, str]] | None) -> Users:
    return Users(count=count, sample=tuple((Kind(m["kind"]), m["value"]) for m in sample or ()))
