"""Find which users the loads that exclude or suppress match, resemble and no longer match."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb

from segctl.core import list_samples
from segctl.core.identity import Kind
from segctl.core.normalize import Normalization
from segctl.engine import sql
from segctl.engine.model import EarlierList
from segctl.engine.normalize_sql import folded, normalized
from segctl.plan.model import Users

MAX_EXAMPLES = 3
"""How many users are named as examples."""

MATCH_SAMPLE_SIZE = 256
"""How many of the users that a load takes away are remembered for the next plan."""

_HASH = f"substr(sha256({sql.ENCODED_MEMBER}), 1, 16)"

_LISTED = f"""
CREATE OR REPLACE TEMP TABLE listed AS
SELECT DISTINCT substr(sha256({sql.ENCODED_MEMBER}), 1, {list_samples.HASH_DIGITS}) AS hash
FROM (SELECT kind, {{value}} AS value FROM ({{rows}}))
"""

_DROPPED = """
SELECT count(*) FROM (SELECT unnest($1::VARCHAR[]) AS hash) ANTI JOIN listed USING (hash)
"""

_LOOKALIKES = """
CREATE OR REPLACE TABLE lookalikes AS
WITH folds AS (
    SELECT DISTINCT {folded_restriction} AS folded FROM restricting WHERE value IS NOT NULL
)
SELECT DISTINCT d.target, d.kind, d.value, d.folded
FROM (SELECT target, kind, value, {folded} AS folded FROM ({desired})) AS d
SEMI JOIN folds AS f ON f.folded = d.folded
WHERE d.target IS NOT NULL
"""
"""The users in the sources of targets who are equal or similar to one in a restricting load."""

_COUNT_LOOKALIKES = """
SELECT target, count(*), {valid} FROM ({rows}) GROUP BY target
"""

_MATCHED = f"""
SELECT count(*), min({_HASH}, {MATCH_SAMPLE_SIZE}) FROM (
    SELECT DISTINCT d.kind, d.value FROM lookalikes AS d
    SEMI JOIN (
        SELECT kind, {{restricting_value}} AS value FROM restricting AS r
        WHERE load = $load AND valid
    ) AS r ON r.value = {{value}} AND r.kind = d.kind
    WHERE d.folded <> '' AND {{in_targets}}
)
"""

_RELEASED = f"""
SELECT count(*) FROM (
    SELECT DISTINCT kind, value FROM differences AS d WHERE action = 'ADD' AND {{in_targets}}
) WHERE list_contains($left_out::VARCHAR[], {_HASH})
"""
"""The users who are added, and were left out at the last apply."""

_SIMILAR = """
SELECT count(*), min({'kind': kind, 'value': value}, $most) FROM (
    SELECT DISTINCT d.kind, d.value
    FROM ({desired}) AS d
    LEFT JOIN final_members AS m ON m.target = d.target AND m.value = d.value AND m.kind = d.kind
    SEMI JOIN (
        SELECT {folded_restriction} AS folded FROM restricting WHERE load = $load
    ) AS r ON r.folded = d.folded
    WHERE d.folded <> '' AND {in_targets}
    AND (m.value IS NOT NULL AND m.left_out IS NULL
         OR NOT list_contains($materialized::INTEGER[], d.target))
)
"""
"""The members that remain although a value of a load looks like them."""


@dataclass(frozen=True, kw_only=True)
class RestrictingLoad:
    """A load that takes users away from ``targets``, from all targets if ``None``.

    Its values are compared in ``forms``. ``earlier`` is what the last apply knew of it.
    """

    number: int
    targets: Sequence[int] | None
    forms: tuple[Normalization, ...]
    earlier: EarlierList


class TakenAway(NamedTuple):
    """The distinct users whom restrictions take away from the sources of a target.

    ``rows`` counts them all, ``valid`` those with a valid key. ``suppressed`` are not excluded.
    """

    rows: int = 0
    valid: int = 0
    suppressed: int = 0


def find_lookalikes(db: duckdb.DuckDBPyConnection, desired: str) -> None:
    """Create the table ``lookalikes``. ``desired`` is a SELECT over the sources of all targets."""
    query = _LOOKALIKES.replace("{folded_restriction}", folded("value"))
    query = query.replace("{folded}", folded("value")).replace("{desired}", desired)
    db.execute(query)


def count_taken_away(
    db: duckdb.DuckDBPyConnection, *, exclusions: Sequence[str], filters: Sequence[str]
) -> dict[int, TakenAway]:
    """Count the distinct users whom ``filters`` take away from the sources of each target.

    The first of ``filters`` are the ``exclusions``. Rows that are filtered as they are written
    are among the lookalikes; other forms can be equal for values that do not look alike.
    """
    counts: dict[int, list[int]] = {}
    not_excluded, remaining = (wrap("FROM lookalikes", steps) for steps in (exclusions, filters))
    for query, signs in (
        ("FROM lookalikes", (1, 1, 0)),
        (not_excluded, (0, 0, 1)),
        (remaining, (-1, -1, -1)),
    ):
        valid = f"count(*) FILTER (WHERE ({sql.VALUE_PROBLEM}) IS NULL)" if signs[1] else "0"
        select = _COUNT_LOOKALIKES.replace("{rows}", query).replace("{valid}", valid)
        for target_index, rows, valid_rows in db.execute(select).fetchall():
            found = counts.setdefault(target_index, [0, 0, 0])
            for place, number in enumerate((rows, valid_rows, rows)):
                found[place] += signs[place] * number
    return {index: TakenAway(*found) for index, found in counts.items()}


def match_restrictions(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[RestrictingLoad],
    *,
    filters: Sequence[str],
    materialized: Iterable[int],
) -> Mapping[int, Mapping[str, Any]]:
    """Return ``matched``, ``sample``, ``similar`` and ``released`` of each load, by its number.

    Call ``find_lookalikes`` first. ``filters`` take the excluded and suppressed rows out of the
    sources of targets. ``materialized`` targets have final members.
    """
    remaining = wrap("FROM lookalikes", filters)
    return {load.number: _match(db, load, remaining, sorted(materialized)) for load in loads}


def count_added(
    db: duckdb.DuckDBPyConnection, targets: Sequence[int] | None, hashes: Sequence[str]
) -> int:
    """Count the users who are added to targets, to all if ``None``, and have one of these hashes.

    The hashes are those of a list's values, as ``compare_list`` returns them.
    """
    in_targets = "target >= 0" if targets is None else "list_contains($targets::INTEGER[], target)"
    parameters: dict[str, object] = {"hashes": list(hashes)}
    if targets is not None:
        parameters["targets"] = list(targets)
    [[users]] = db.execute(
        f"SELECT count(*) FROM (SELECT DISTINCT substr(sha256({sql.ENCODED_MEMBER}), 1, "
        f"{list_samples.HASH_DIGITS}) AS hash FROM differences WHERE action = 'ADD' "
        f"AND {in_targets}) SEMI JOIN (SELECT unnest($hashes::VARCHAR[]) AS hash) USING (hash)",
        parameters,
    ).fetchall()
    return int(users)


def compare_list(
    db: duckdb.DuckDBPyConnection,
    rows: str,
    *,
    forms: tuple[Normalization, ...],
    earlier: EarlierList,
) -> Mapping[str, Any]:
    """Return ``listed`` and ``dropped`` of a load; ``rows`` is a SELECT over its valid values."""
    value = normalized("value", forms)
    db.execute(_LISTED.replace("{value}", value).replace("{rows}", rows))
    [[hashes]] = db.execute(
        f"SELECT min(hash, {list_samples.LIST_SAMPLE_SIZE}) FROM listed"
    ).fetchall()
    known = list_samples.split_hashes(earlier.listed)
    [[dropped]] = db.execute(_DROPPED, [known]).fetchall() if known else [[0]]
    return {"listed": "".join(hashes or ()), "dropped": dropped}


def _match(
    db: duckdb.DuckDBPyConnection, load: RestrictingLoad, remaining: str, materialized: list[int]
) -> Mapping[str, Any]:
    in_targets = "d.target >= 0"
    if load.targets is not None:
        in_targets = f"d.target IN ({', '.join(map(str, load.targets))})"
    query = _MATCHED.replace("{value}", normalized("d.value", load.forms))
    query = query.replace("{restricting_value}", normalized("r.value", load.forms))
    [[matched, hashes]] = db.execute(
        query.replace("{in_targets}", in_targets), {"load": load.number}
    ).fetchall()
    query = _SIMILAR.replace("{desired}", remaining).replace("{in_targets}", in_targets)
    [[similar, users]] = db.execute(
        query.replace("{folded_restriction}", folded("value")),
        {"load": load.number, "most": MAX_EXAMPLES, "materialized": materialized},
    ).fetchall()
    released = 0
    if load.earlier.left_out:
        [[released]] = db.execute(
            _RELEASED.replace("{in_targets}", in_targets), {"left_out": list(load.earlier.left_out)}
        ).fetchall()
    return {
        "matched": matched,
        "sample": tuple(hashes or ()),
        "similar": first_users(similar, users),
        "released": released,
    }


def wrap(desired: str, templates: Iterable[str]) -> str:
    """Put SELECTs with a place ``{desired}`` around a SELECT, the first one innermost."""
    for template in templates:
        desired = template.replace("{desired}", desired)
    return desired


def first_users(count: int, sample: Iterable[Mapping[str, str]] | None) -> Users:
    """Return a number of users with the first few of them."""
    return Users(count=count, sample=tuple((Kind(m["kind"]), m["value"]) for m in sample or ()))
