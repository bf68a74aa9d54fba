"""Prove the files of a saved plan: its batches send exactly its delta, within the limits.

A plan file can be changed by anybody who can write it, with hashes that match. What is sent comes
from its batches, and what a reviewer saw from its counts, so each is compared with the delta.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from segctl.core.identity import SetDigest
from segctl.engine import delta, shapes, sql
from segctl.engine.flows import count_flows
from segctl.engine.model import SavedChanges, SavedPlanError, SavedPlanFacts, SavedPlanFiles
from segctl.packing.model import Limits

_DELTA_COLUMNS = {
    "request": "INTEGER",
    "target": "INTEGER",
    "action": "VARCHAR",
    "kind": "VARCHAR",
    "value": "VARCHAR",
    "recorded": "BOOLEAN",
    "reasserted": "BOOLEAN",
    "settle_from": "DOUBLE",
}
_BATCH_COLUMNS = {
    "request": "INTEGER",
    "entry": "INTEGER",
    "kinds": "VARCHAR[]",
    "names": "VARCHAR[]",
    "targets": "INTEGER[]",
    "actions": "VARCHAR[]",
}
_DELTA_PROBLEMS = f"""
SELECT CASE
    WHEN request IS NULL OR target IS NULL OR action IS NULL OR kind IS NULL OR value IS NULL
        THEN 'a change has no request, segment, action or user'
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

_BATCH_PROBLEMS = """
SELECT CASE
    WHEN request IS NULL OR entry IS NULL OR len(kinds) IS NULL OR len(names) IS NULL
        OR len(targets) IS NULL OR len(actions) IS NULL
        OR list_count(kinds) < len(kinds) OR list_count(names) < len(names)
        OR list_count(targets) < len(targets) OR list_count(actions) < len(actions)
        THEN 'an entry is incomplete'
    WHEN len(kinds) <> len(names) OR len(targets) <> len(actions)
        OR len(names) = 0 OR len(targets) = 0 THEN 'an entry has no users or no segments'
    WHEN request < last_request THEN 'the entries are not in the order of their requests'
END AS problem
FROM (
    SELECT *, lag(request) OVER (ORDER BY file_row_number) AS last_request
    FROM read_parquet({batches}, file_row_number = true)
) WHERE problem IS NOT NULL LIMIT 1
"""

_STRICT_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM read_parquet({batches})
GROUP BY request HAVING sum(len(names)) > $users OR sum(len(targets)) > $segments LIMIT 1
"""

_DISTINCT_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM saved_changes WHERE request >= 0
GROUP BY request
HAVING count(DISTINCT (kind, value)) > $users OR count(DISTINCT (target, action)) > $segments
LIMIT 1
"""

_PAIR_LIMITS = """
SELECT 'a request is larger than CleverTap allows' FROM read_parquet({batches})
GROUP BY request HAVING sum(len(names) * len(targets)) > $pairs LIMIT 1
"""

_SENT = """
SELECT request, target, action, kind, value FROM (
    SELECT request, unnest(targets) AS target, unnest(actions) AS action, kinds, names
    FROM read_parquet({batches})
), (SELECT unnest(kinds) AS kind, unnest(names) AS value)
"""

_DIFFERENT = f"""
SELECT 'the requests do not send exactly the changes of the plan' WHERE EXISTS (
    ({_SENT}) EXCEPT ALL
    SELECT request, target, action, kind, value FROM saved_changes WHERE request >= 0
) OR (SELECT coalesce(sum(len(names) * len(targets)), 0) FROM read_parquet({{batches}}))
    <> (SELECT count(*) FROM saved_changes WHERE request >= 0)
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
    """Prove a delta and its batches, and return what they contain; see ``PlanProver``."""
    try:
        _check_columns(db, files.delta, _DELTA_COLUMNS)
        _check_columns(db, files.batches, _BATCH_COLUMNS)
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
        batches = sql.file_name(files.batches)
        _check(db, _BATCH_PROBLEMS.replace("{batches}", batches))
        _check_size(db, batches, limits)
        _check(db, _DIFFERENT.replace("{batches}", batches))
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
        db.execute("DROP VIEW IF EXISTS delta; DROP VIEW IF EXISTS saved_changes")


def _check_size(db: duckdb.DuckDBPyConnection, batches: str, limits: Limits) -> None:
    """Check that no request is above the limits, in the plan's way of counting."""
    if limits.counting == "pairs":
        _check(db, _PAIR_LIMITS.replace("{batches}", batches), pairs=limits.pairs)
        return
    size = _STRICT_LIMITS if limits.counting == "strict" else _DISTINCT_LIMITS
    _check(db, size.replace("{batches}", batches), users=limits.users, segments=limits.segments)


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
