"""Set operations: the final members of targets with intersections, hold-outs and other readers.

A target is *materialized* if it has an intersection or a hold-out, if another target reads it, or
if a question about its members follows. Its final members are computed once, distinct and
valid, into the table ``final_members``; for the comparison and for other targets they are one more
load. All other targets are streamed through the comparison, filtered by the exclusions
and the suppressed users, and cost nothing extra.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter

import duckdb

from segctl.core.holdout import SEPARATOR, Holdout
from segctl.core.normalize import Normalization
from segctl.engine import sql
from segctl.engine.compare import NOT_PLANNED, Load, select_desired
from segctl.engine.load_stats import stats_from_rows, targets_with_sole_load
from segctl.engine.match_restrictions import (
    RestrictingLoad,
    TakenAway,
    compare_list,
    count_taken_away,
    find_lookalikes,
    match_restrictions,
    wrap,
)
from segctl.engine.member_queries import NO_MEMBERS, MemberCounts, count_members
from segctl.engine.model import EarlierList, LoadStats, TargetMembers
from segctl.engine.normalize_sql import normalized
from segctl.engine.partitions import run_in_partitions
from segctl.manifests.desired import Role

_TABLES = """
CREATE TABLE restricting (load INTEGER, kind VARCHAR, value VARCHAR, valid BOOLEAN);
CREATE TABLE excluded (form INTEGER, target INTEGER, kind VARCHAR, value VARCHAR);
CREATE TABLE suppressed (form INTEGER, kind VARCHAR, value VARCHAR);
CREATE TABLE holdouts (target INTEGER, salt VARCHAR, threshold HUGEINT);
CREATE TABLE final_members (target INTEGER, kind VARCHAR, value VARCHAR, left_out VARCHAR);
"""
"""``left_out`` is why a row is not a final member: invalid, held_out or suppressed, else NULL.

``restricting`` has the distinct rows of the loads that exclude or suppress, as written. ``form``
is the number of the forms in which ``excluded`` and ``suppressed`` are compared with members.
"""

_WITHOUT_EXCLUDED = """
SELECT d.* FROM ({desired}) AS d
ANTI JOIN (FROM excluded WHERE form = {form}) AS e
ON e.target = d.target AND e.value = {value} AND e.kind = d.kind
"""

_WITHOUT_SUPPRESSED = """
SELECT d.* FROM ({desired}) AS d
ANTI JOIN (FROM suppressed WHERE form = {form}) AS s ON s.value = {value} AND s.kind = d.kind
"""

_IS_HELD_OUT = (
    f"('0x' || substr(sha256(h.salt || {sql.literal(SEPARATOR)} || d.kind[1] || d.value), 1, 16))"
    "::UBIGINT::HUGEINT < h.threshold"
)
"""``Holdout.holds_out``, in SQL."""

_MATERIALIZE = """
INSERT INTO final_members
SELECT d.target, d.kind, d.value,
       CASE WHEN d.invalid THEN 'invalid'
            WHEN {is_held_out} THEN 'held_out'
            WHEN {is_suppressed} THEN 'suppressed' END
FROM ({not_excluded}) AS d
LEFT JOIN holdouts AS h ON h.target = d.target
{suppressed}
"""
"""The steps in their order: sources, intersections, exclusions, hold-out, suppression."""

_INTERSECTED = """
SELECT *, ({problem}) IS NOT NULL AS invalid FROM (
    SELECT DISTINCT target, kind, value
    FROM (SELECT d.* FROM ({desired}) AS d {intersections})
    WHERE target IS NOT NULL AND {partition}
)
"""

_JOIN_SUPPRESSED = (
    "LEFT JOIN (FROM suppressed WHERE form = {form}) AS s{form} "
    "ON s{form}.value = {value} AND s{form}.kind = d.kind"
)

_LEFT_OUT = """
SELECT target, left_out, count(*) FROM final_members
WHERE left_out IN ('held_out', 'suppressed') GROUP BY target, left_out
"""

_STREAMED_SUPPRESSED = """
SELECT target, count(*) FROM (
    SELECT DISTINCT target, kind, value FROM ({not_excluded}) WHERE target IS NOT NULL
) GROUP BY target
"""

_ONLY_SUPPRESSED = """
SELECT d.* FROM ({desired}) AS d
SEMI JOIN (FROM suppressed WHERE form = {form}) AS s ON s.value = {value} AND s.kind = d.kind
"""

_RESTRICT = """
INSERT INTO restricting SELECT $load, kind, value, ({problem}) IS NULL
FROM (SELECT DISTINCT kind, value FROM ({select}) WHERE {partition})
"""

_EXCLUDE = """
INSERT INTO excluded SELECT $form, t.target, d.kind, {value}
FROM restricting AS d CROSS JOIN (SELECT unnest($targets::INTEGER[]) AS target) AS t
WHERE d.load = $load AND d.valid AND {partition}
"""

_SUPPRESS = """
INSERT INTO suppressed SELECT $form, s.kind, s.value
FROM (
    SELECT DISTINCT d.kind, {value} AS value FROM restricting AS d
    WHERE d.load = $load AND d.valid AND {partition}
) AS s
ANTI JOIN (FROM suppressed WHERE form = $form) AS k ON k.value = s.value AND k.kind = s.kind
"""
"""Each user is in ``suppressed`` only once by form, so that a join with it repeats no rows."""


class SetOperations:
    """The intersections, exclusions, suppressed users and hold-outs of the targets.

    ``number`` is the number of the load with the final members of materialized targets.
    ``loads`` are the loads that intersect, exclude or suppress. ``stats`` holds stats of loads
    that are already counted. ``taken_away`` counts whom ``filters`` take away from the sources of
    each target; ``None`` if other forms of values are compared.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, number: int) -> None:
        self._db = db
        self.number = number
        self.loads: list[Load] = []
        self.stats: dict[int, LoadStats] = {}
        self._intersections: dict[int, list[Load]] = {}
        self._exclusions_of_members: list[Load] = []
        self._forms: list[tuple[Normalization, ...]] = []
        self._form_of_load: dict[int, int] = {}
        self._earlier: dict[int, EarlierList] = {}
        self._suppressing: set[int] = set()
        self._materialized: set[int] = set()
        self._restricted: set[int] = set()
        self._held_out: set[int] = set()
        self._retained: set[int] = set()
        self._has_exclusions = self._has_suppressed = False
        self._counts: Mapping[int, MemberCounts] = {}
        self.taken_away: dict[int, TakenAway] | None = None
        db.execute(_TABLES)

    def add_load(
        self,
        load: Load,
        role: Role,
        forms: tuple[Normalization, ...],
        earlier: EarlierList,
    ) -> None:
        """Add a load that intersects, excludes or suppresses; see ``MemberComparer.load``."""
        self.loads.append(load)
        self._earlier[load.number] = earlier
        if forms not in self._forms:
            self._forms.append(forms)
        self._form_of_load[load.number] = self._forms.index(forms)
        target_indexes = load.target_indexes()
        if role != "suppress":
            self._restricted |= set(target_indexes)
        reads_members = isinstance(load.source, TargetMembers)
        if not reads_members:
            self.stats[load.number] = stats_from_rows(self._db, load, set(target_indexes))
        if role == "intersect":
            for target_index in target_indexes:
                self._intersections.setdefault(target_index, []).append(load)
        elif role == "suppress":
            self._has_suppressed = True
            self._suppressing.add(load.number)
            self._restrict(load, _SUPPRESS)
        else:
            self._has_exclusions = True
            if reads_members:  # they are excluded when they are materialized
                self._exclusions_of_members.append(load)
            else:
                self._restrict(load, _EXCLUDE, targets=target_indexes)

    def forms_of(self, load: Load) -> tuple[Normalization, ...]:
        """Return the forms in which a load that takes members away is compared."""
        return self._forms[self._form_of_load[load.number]]

    def hold_out(self, target_index: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""
        self._held_out.add(target_index)
        self._db.execute(
            "INSERT INTO holdouts VALUES ($1, $2, $3)",
            [target_index, holdout.salt, holdout.threshold],
        )

    def retain_members(self, target_index: int) -> None:
        """Materialize a target, so that questions about its members can be answered."""
        self._retained.add(target_index)

    @property
    def filters(self) -> tuple[str, ...]:
        """SELECTs around ``{desired}`` that leave out excluded and suppressed rows."""
        return self._exclusions + (
            self._by_form(_WITHOUT_SUPPRESSED) if self._has_suppressed else ()
        )

    @property
    def _exclusions(self) -> tuple[str, ...]:
        return self._by_form(_WITHOUT_EXCLUDED) if self._has_exclusions else ()

    def _by_form(self, template: str) -> tuple[str, ...]:
        """Return a template for each of the forms in use, with ``{desired}`` left in it."""
        return tuple(
            template.replace("{form}", str(number)).replace("{value}", normalized("d.value", forms))
            for number, forms in enumerate(self._forms)
        )

    def materialize(self, loads: Sequence[Load], wanted: set[int]) -> list[Load]:
        """Compute all final members, and return the loads for comparing ``wanted`` targets.

        These are what remains of each load for targets that are not materialized, and one load
        with the final members of all others.
        """
        dependencies = self._dependencies(loads)
        materialized = self._materialized = set(dependencies)
        if not materialized:
            return list(loads)
        self._db.execute("TRUNCATE final_members")
        order = TopologicalSorter(dependencies)
        order.prepare()
        while ready := set(order.get_ready()):
            self._materialize(loads, ready)
            for load in self._exclusions_of_members:
                if _read_target(load) in ready:
                    self._restrict(load, _EXCLUDE, targets=load.target_indexes())
            order.done(*ready)
        self._count_loads(loads, materialized, wanted)
        rest = [_without_targets(load, materialized) for load in loads]
        return [load for load in rest if load.target_indexes()] + [self._final_load(materialized)]

    def count_excluded(self, loads: Sequence[Load], wanted: set[int]) -> dict[int, dict[str, int]]:
        """Count by target the users ``held_out`` and, of the others, those ``suppressed``.

        ``loads`` are the result of ``materialize``. Call it after ``match_restrictions``.
        """
        counts: dict[int, dict[str, int]] = {}
        for target_index, reason, users in self._db.execute(_LEFT_OUT).fetchall():
            counts.setdefault(target_index, {})[reason] = users
        if self.taken_away is not None:
            for target_index, taken in self.taken_away.items():
                if taken.suppressed and target_index not in self._materialized:
                    counts.setdefault(target_index, {})["suppressed"] = taken.suppressed
        elif self._has_suppressed:
            streamed = [load for load in loads if load.number != self.number]
            desired = select_desired(self._db, streamed, wanted)
            suppressed = " UNION ALL ".join(
                wrap(desired, [only]) for only in self._by_form(_ONLY_SUPPRESSED)
            )
            query = _STREAMED_SUPPRESSED.replace(
                "{not_excluded}", wrap(suppressed, self._exclusions)
            )
            for target_index, users in self._db.execute(query).fetchall():
                counts.setdefault(target_index, {})["suppressed"] = users
        return counts

    def match_restrictions(self, loads: Sequence[Load], wanted: set[int]) -> None:
        """Add to the stats of loads that exclude, suppress or intersect whom they match.

        ``loads`` are those that provide members. Call it after the comparison.
        """
        intersecting = {load.number for found in self._intersections.values() for load in found}
        restrictions = []
        for load in self.loads:
            forms = self.forms_of(load)
            earlier = self._earlier[load.number]
            if load.number in intersecting:
                self._match_intersection(load, loads)
                is_valid = f"({sql.VALUE_PROBLEM}) IS NULL"
                rows = f"SELECT kind, value FROM ({load.select}) WHERE {is_valid}"
            else:
                targets = None if load.number in self._suppressing else load.target_indexes()
                restrictions.append(
                    RestrictingLoad(
                        number=load.number, targets=targets, forms=forms, earlier=earlier
                    )
                )
                rows = f"SELECT kind, value FROM restricting WHERE load = {load.number} AND valid"
            listed = compare_list(self._db, rows, forms=forms, earlier=earlier)
            self.stats[load.number] = replace(self.stats[load.number], **listed)
        if not restrictions:
            return
        find_lookalikes(self._db, select_desired(self._db, loads, wanted | self._materialized))
        matches = match_restrictions(
            self._db, restrictions, filters=self.filters, materialized=self._materialized
        )
        for number, found in matches.items():
            self.stats[number] = replace(self.stats[number], **found)
        if not any(self._forms):
            self.taken_away = count_taken_away(
                self._db, exclusions=self._exclusions, filters=self.filters
            )
        self._db.execute("DROP TABLE lookalikes")

    def _match_intersection(self, load: Load, loads: Sequence[Load]) -> None:
        """Count the users in the sources of a load's targets who are in it too.

        If nothing else is taken from its only target before, these are counted already.
        """
        target_indexes = load.target_indexes()
        [first, *others] = target_indexes
        if not others and len(self._intersections[first]) == 1 and not self._has_exclusions:
            matched = self._counts.get(first, NO_MEMBERS).rows
            self.stats[load.number] = replace(self.stats[load.number], matched=matched)
            return
        desired = select_desired(self._db, loads, set(target_indexes))
        kept = f"({desired}) AS d {self._join_intersection(load, 'i')} WHERE d.target IS NOT NULL"
        [[matched]] = self._db.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT d.kind, d.value FROM {kept})"
        ).fetchall()
        self.stats[load.number] = replace(self.stats[load.number], matched=matched)

    # Steps

    def _dependencies(self, loads: Iterable[Load]) -> dict[int, set[int]]:
        """Return every target to materialize, with the targets that it reads."""
        reading = [load for load in [*loads, *self.loads] if isinstance(load.source, TargetMembers)]
        read = {_read_target(load) for load in reading}
        dependencies: dict[int, set[int]] = {
            index: set()
            for index in read | set(self._intersections) | self._held_out | self._retained
        }
        for load in reading:
            for target_index in load.target_indexes():
                if target_index in dependencies:
                    dependencies[target_index].add(_read_target(load))
        return dependencies

    def _materialize(self, loads: Sequence[Load], target_indexes: set[int]) -> None:
        """Compute the final members of targets whose dependencies are materialized.

        Targets with intersections are computed one by one, all others together.
        """
        intersected = target_indexes & set(self._intersections)
        if others := target_indexes - intersected:
            self._insert(others, select_desired(self._db, loads, others), "")
        for target_index in sorted(intersected):
            intersections = " ".join(
                self._join_intersection(load, f"i{n}")
                for n, load in enumerate(self._intersections[target_index])
            )
            self._insert(
                {target_index}, select_desired(self._db, loads, {target_index}), intersections
            )

    def _join_intersection(self, load: Load, alias: str) -> str:
        forms = self.forms_of(load)
        values = f"{normalized(f'{alias}.value', forms)} = {normalized('d.value', forms)}"
        return f"SEMI JOIN ({load.select}) AS {alias} ON {values} AND {alias}.kind = d.kind"

    def _insert(self, target_indexes: Iterable[int], desired: str, intersections: str) -> None:
        suppressed = self._by_form(_JOIN_SUPPRESSED) if self._has_suppressed else ()
        joined = (f"s{number}.value IS NOT NULL" for number in range(len(suppressed)))
        is_suppressed = " OR ".join(joined) or "false"

        def insert(partitions: Sequence[str]) -> None:
            if len(partitions) > 1:  # a failed attempt may have inserted some rows
                self._db.execute(
                    "DELETE FROM final_members WHERE list_contains($1::INTEGER[], target)",
                    [list(target_indexes)],
                )
            for partition in partitions:
                intersected = _INTERSECTED.format(
                    problem=sql.VALUE_PROBLEM,
                    desired=desired,
                    intersections=intersections,
                    partition=partition,
                )
                self._db.execute(
                    _MATERIALIZE.format(
                        not_excluded=wrap(intersected, self._exclusions),
                        is_held_out=_IS_HELD_OUT,
                        is_suppressed=is_suppressed,
                        suppressed=" ".join(suppressed),
                    )
                )

        run_in_partitions(insert)

    def _restrict(self, load: Load, statement: str, **parameters: object) -> None:
        """Store the rows of a load, and exclude or suppress the valid ones."""
        form = self._form_of_load[load.number]
        statement = statement.replace("{value}", normalized("d.value", self._forms[form]))

        def insert(partitions: Sequence[str]) -> None:
            # Of a failed attempt, rows in ``excluded`` and ``suppressed`` do no harm.
            self._db.execute("DELETE FROM restricting WHERE load = $1", [load.number])
            for partition in partitions:
                self._db.execute(
                    _RESTRICT.format(
                        select=load.select, problem=sql.VALUE_PROBLEM, partition=partition
                    ),
                    {"load": load.number},
                )
                self._db.execute(
                    statement.replace("{partition}", partition),
                    {"load": load.number, "form": form, **parameters},
                )

        run_in_partitions(insert)

    def _count_loads(self, loads: Sequence[Load], materialized: set[int], wanted: set[int]) -> None:
        """Add the stats of loads that the comparison does not see in full."""
        has_sole_load = targets_with_sole_load(loads)
        counts = self._counts = count_members(self._db)
        for load in [*loads, *self.loads]:
            if load.number in self.stats:
                continue
            target_indexes = load.target_indexes()
            if isinstance(load.source, TargetMembers):
                found = counts.get(load.source.target_index, NO_MEMBERS)
                self.stats[load.number] = LoadStats(rows=found.members, duplicates=0)
            elif materialized & set(target_indexes):
                is_sole = all(has_sole_load.get(index) for index in target_indexes)
                stats = self._stats_from_members(load, counts) if is_sole else None
                self.stats[load.number] = stats or stats_from_rows(
                    self._db, load, wanted | materialized
                )

    def _stats_from_members(
        self, load: Load, counts: Mapping[int, MemberCounts]
    ) -> LoadStats | None:
        """Return the stats of a load from the final members of the only target it fills.

        ``None`` if they do not follow from these, or if there are invalid rows to count.
        """
        target_indexes = load.target_indexes()
        if load.is_table or len(target_indexes) > 1 or self._restricted & set(target_indexes):
            return None
        found = counts.get(target_indexes[0], NO_MEMBERS)
        if found.invalid:
            return None
        return LoadStats(rows=load.rows, duplicates=load.rows - found.rows)

    def _final_load(self, materialized: set[int]) -> Load:
        """Return the load of all final members, in which a target's index is its segment value."""
        return Load(
            number=self.number,
            source=TargetMembers(target_index=NOT_PLANNED),
            select="SELECT kind, value, target::VARCHAR AS segment_value FROM final_members "
            "WHERE left_out IS NULL",
            rows=0,
            targets={str(index): index for index in sorted(materialized)},
        )


def select_members(target_index: int) -> str:
    """Return a SELECT over the members of a target for another target that reads it.

    It includes suppressed users. They are removed from the reading target as from any other, and
    counted there if they would have been members.
    """
    return (
        "SELECT kind, value, NULL::VARCHAR AS segment_value FROM final_members "
        f"WHERE target = {target_index} AND (left_out IS NULL OR left_out = 'suppressed')"
    )


def _without_targets(load: Load, materialized: set[int]) -> Load:
    """Return the rest of a load for targets that are not materialized."""
    if isinstance(load.targets, Mapping):
        by_value = {
            value: NOT_PLANNED if index in materialized else index
            for value, index in load.targets.items()
        }
        return replace(load, targets=by_value if set(by_value.values()) != {NOT_PLANNED} else {})
    return replace(load, targets=[index for index in load.targets if index not in materialized])


def _read_target(load: Load) -> int:
    return load.source.target_index if isinstance(load.source, TargetMembers) else NOT_PLANNED
