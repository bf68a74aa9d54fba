"""Prove the files of a saved plan: its entries send exactly its changes, within the limits.

A plan file can be changed by anybody who can write it, with hashes that match. What is sent comes
from the entries of its delta, and what a reviewer saw from its counts, so both are checked.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from segctl.core.identity import SetDigest
from segctl.core.request_limits import Limits
from segctl.engine import delta, shapes, sql
from segctl.engine.flows import count_flows
from segctl.engine.model import SavedChanges, SavedPlanError, SavedPlanFacts, SavedPlanFiles

_DELTA_COLUMNS = {
    "request": "INTEGER",
    "entry": "INTEGER",
    "target": "INTEGER",
    "action": "VARCHAR",
    "kind": "VARCHAR",
    "value": "VARCHAR",
    "recorded": "BOOLEAN",
    "reasserted": "BOOLEAN",
    "settle_from": "DOUBLE",
}
_DELTA_PROBLEMS = f"""
SELECT CASE
    WHEN request IS NULL OR target IS NULL OR action IS NULL OR kind IS NULL OR value IS NULL
        THEN 'a change has no request, segment, action or user'
    WHEN entry IS NULL OR entry < -1 OR (entry < 0) <> (request < 0)
        THEN 'an entry is incomplete'
    WHEN action NOT IN ('ADD', 'REMOVE') THEN 'a change has an unknown action'
    WHEN kind NOT IN ('identity', 'guid') THEN 'a user has an unknown kind'
    WHEN target < 0 OR target >= $targets
        THEN 'a change names a segment that the plan does not have'
    WHEN request < -1 OR request >= $requests
        THEN 'a change is in a request that the plan does not have'
    WHEN request >= 0 AND (recorded IS NULL OR reasserted IS NULL)
        THEN 'a change does not say whether it is recorded'
    WHEN value = '' OR (request >= 0 AND action = 'ADD' AND ({sql.VALUE_PROBLEM}) IS NOT NULL)
        THEN 'a user that is added is invalid'
    WHEN request >= 0 AND settle_from IS NOT NULL AND request < $settle_from
        THEN 'a change that must wait is sent at once'
END AS problem
FROM saved_changes WHERE problem IS NOT NULL LIMIT 1
"""

_REPEATED = """
SELECT 'a user has two changes of one segment' FROM saved_changes WHERE request >= 0
GROUP BY target, kind, value HAVING count(*) > 1 LIMIT 1
"""

_MISSING_REQUESTS = """
SELECT 'a request has no changes' WHERE $requests <> (
    SELECT count(DISTINCT request) FROM saved_changes WHERE request >= 0
)
"""

_ORDER_PROBLEMS = """
SELECT 'the entries are not in the order of their requests' FROM (
    SELECT request, entry, lag(request) OVER () AS last_request, lag(entry) OVER () AS last_entry
    FROM saved_changes
) WHERE request >= 0 AND (
    last_request < 0 OR request < last_request OR entry < last_entry
    OR (entry = last_entry AND request <> last_request)
) LIMIT 1
"""
"""Rows are in sending order, and the pairs that only leave quarantine are after all of them."""

_ENTRIES = """
CREATE OR REPLACE TEMP TABLE saved_entries AS
SELECT request, entry, count(*) AS changes, count(*) AS users, 1::BIGINT AS operations,
       min(target) = max(target) AND min(action) = max(action) AS has_one_operation
FROM saved_changes WHERE request >= 0 GROUP BY request, entry
"""

_SEVERAL_OPERATIONS = """
UPDATE saved_entries SET users = c.users, operations = c.operations FROM (
    SELECT entry, count(DISTINCT (kind, value)) AS users,
           count(DISTINCT (target, action)) AS operations
    FROM saved_changes SEMI JOIN (FROM saved_entries WHERE NOT has_one_operation) USING (entry)
    GROUP BY entry
) AS c WHERE saved_entries.entry = c.entry
"""
"""Count the users of the other entries. No user has two changes of a segment: see ``_REPEATED``."""

_DIFFERENT = """
SELECT 'the requests do not send exactly the changes of the plan' FROM saved_entries
WHERE changes <> users * operations LIMIT 1
"""
"""An entry is sent as the product of its users and its operations."""

_STRICT_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM saved_entries
GROUP BY request HAVING sum(users) > $users OR sum(operations) > $segments LIMIT 1
"""

_DISTINCT_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM saved_changes WHERE request >= 0
GROUP BY request
HAVING count(DISTINCT (kind, value)) > $users OR count(DISTINCT (target, action)) > $segments
LIMIT 1
"""

_PAIR_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM saved_entries
GROUP BY request HAVING sum(changes) > $pairs LIMIT 1
"""

_COUNTS = """
SELECT target,
       count(*) FILTER (WHERE action = 'ADD' AND NOT reasserted),
       count(*) FILTER (WHERE action = 'REMOVE' AND NOT reasserted),
       count(*) FILTER (WHERE reasserted),
       count(*) FILTER (WHERE action = 'ADD' AND NOT recorded)
           - count(*) FILTER (WHERE action = 'REMOVE' AND recorded),
       count(*) FILTER (WHERE action = 'REMOVE' AND recorded)
FROM saved_changes WHERE request >= 0 GROUP BY target
"""

_NAMED = """
SELECT DISTINCT target, action, kind, value FROM saved_changes
WHERE request >= 0 AND list_contains($values::VARCHAR[], value)
"""


_IMPORTED_PROBLEMS = """
SELECT 'a user of an imported segment is invalid or listed twice' WHERE EXISTS (
    SELECT kind, value FROM {members}
    GROUP BY kind, value
    HAVING count(*) > 1 OR kind IS NULL OR kind NOT IN ('identity', 'guid')
        OR coalesce(value, '') = ''
)
"""

_IMPORTED_CHANGES = """
SELECT 'the changes of an imported segment do not start from its members' WHERE EXISTS (
    SELECT 1 FROM saved_changes AS s
    LEFT JOIN (SELECT kind, value, true AS is_member FROM ({members})) AS m USING (kind, value)
    WHERE s.target = $target AND s.request >= 0
        AND (s.reasserted OR s.recorded <> coalesce(m.is_member, false)
            OR (s.action = 'ADD') = s.recorded)
)
"""


def prove_files(db: duckdb.DuckDBPyConnection, files: SavedPlanFiles) -> SavedPlanFacts:
    """Prove a delta and its entries, and return what it contains; see ``PlanProver``."""
    try:
        _check_columns(db, files.delta, _DELTA_COLUMNS)
        db.execute(
            "CREATE OR REPLACE VIEW saved_changes AS FROM "
            f"read_parquet({sql.file_name(files.delta)})"
        )
        limits = Limits(counting=files.counting)
        _check(
            db,
            _DELTA_PROBLEMS,
            targets=len(files.keys),
            requests=files.requests,
            settle_from=files.settle_from,
        )
        _check(db, _REPEATED)
        _check(db, _MISSING_REQUESTS, requests=files.requests)
        with sql.preserve_order(db):
            _check(db, _ORDER_PROBLEMS)
        db.execute(_ENTRIES)
        db.execute(_SEVERAL_OPERATIONS)
        _check(db, _DIFFERENT)
        _check_size(db, limits)
        for index, (digest, base) in files.imported.items():
            _check_imported(db, index, digest, base)
        counted = db.execute(_COUNTS).fetchall()
        values = list(files.values)
        named = db.execute(_NAMED, {"values": values}).fetchall() if values else []
        [[last_asked]] = db.execute(
            "SELECT max(settle_from) FROM saved_changes WHERE request >= 0"
        ).fetchall()
        db.execute("CREATE OR REPLACE VIEW delta AS FROM saved_changes WHERE request >= 0")
        added_shapes = shapes.count_shapes(db, "delta", files.shaped, where=shapes.ADDED)
        return SavedPlanFacts(
            changes={
                index: SavedChanges(
                    add=add, remove=remove, reasserted=again, growth=growth, leaving=leaving
                )
                for index, add, remove, again, growth, leaving in counted
            },
            digest=delta.digest_delta(db, files.keys),
            last_asked=last_asked,
            named=frozenset(named),
            flows=count_flows(db, files.segments),
            added_shapes=added_shapes,
        )
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
        raise SavedPlanError("its files cannot be read") from error
    finally:
        db.execute(
            "DROP VIEW IF EXISTS delta; DROP VIEW IF EXISTS saved_changes; "
            "DROP TABLE IF EXISTS saved_entries"
        )


def _check_size(db: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Check that no request is above the limits, in the plan's way of counting."""
    if limits.counting == "pairs":
        _check(db, _PAIR_LIMITS, pairs=limits.pairs)
        return
    size = _STRICT_LIMITS if limits.counting == "strict" else _DISTINCT_LIMITS
    _check(db, size, users=limits.users, segments=limits.segments)


def _check_imported(
    db: duckdb.DuckDBPyConnection, index: int, digest: SetDigest, base: Path | None
) -> None:
    """Check the members of an imported target, and that its changes start from them."""
    if (base is None) != (not digest.count):
        raise SavedPlanError("the members of an imported segment are missing")
    members = sql.NO_MEMBERS
    if base is not None:
        _check_columns(db, base, {"kind": "VARCHAR", "value": "VARCHAR"})
        table = f"read_parquet({sql.file_name(base)})"
        _check(db, _IMPORTED_PROBLEMS.replace("{members}", table))
        [sums] = db.execute(
            f"SELECT count(*), {sql.digest_sums(sql.ENCODED_MEMBER)} FROM {table}"
        ).fetchall()
        if sql.digest_from_sums(*sums) != digest:
            raise SavedPlanError("the members of an imported segment are not those it shows")
        members = f"SELECT kind, value FROM {table}"
    _check(db, _IMPORTED_CHANGES.replace("{members}", members), target=index)


def _check_columns(db: duckdb.DuckDBPyConnection, file: Path, expected: Mapping[str, str]) -> None:
    found = db.execute(f"DESCRIBE SELECT * FROM read_parquet({sql.file_name(file)})").fetchall()
    if {row[0]: row[1] for row in found} != expected:
        raise SavedPlanError(f"{file.name} has other columns than segctl writes")


def _check(db: duckdb.DuckDBPyConnection, query: str, **parameters: object) -> None:
    found = db.execute(query, parameters).fetchall()
    if found:
        raise SavedPlanError(found[0][0])
