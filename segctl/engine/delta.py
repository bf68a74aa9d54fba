"""The relation ``delta``: membership changes, from a comparison or from a saved plan.

Besides target, action, kind and value it has three columns. ``recorded`` is true if the user is a
recorded member. ``reasserted`` marks changes whose last request got no answer. ``settle_from`` is
the time of that request, if it was in the opposite direction: the change waits from then on.
The rows of a new delta are sorted by user, then by target; ``position`` numbers them from 0.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import duckdb

from segctl.core.identity import Kind, SetDigest
from segctl.engine import sql
from segctl.engine.model import RecordedFiles, TargetDiff
from segctl.plan.model import Sample

SAMPLE_SIZE = 10
"""How many added and how many removed members of a target a reviewer is shown."""

_FROM_DIFFERENCES = """
CREATE OR REPLACE VIEW delta AS
SELECT target, action, kind, value, recorded,
       false AS reasserted, NULL::DOUBLE AS settle_from, rowid AS position
FROM differences
"""
"""The delta if no pair is refused or uncertain."""

_SORTED = f"ORDER BY {sql.MEMBER_ORDER}, target"

_FROM_DIFFERENCES_AND_PAIRS = f"""
CREATE OR REPLACE TABLE delta_rows AS
SELECT d.target, d.action, d.kind, d.value, d.recorded,
       false AS reasserted, NULL::DOUBLE AS settle_from
FROM differences AS d
ANTI JOIN pairs AS p ON p.target = d.target AND p.value = d.value AND p.kind = d.kind
    AND (p.status = 'uncertain' OR p.action = d.action)
UNION ALL
SELECT target, action, kind, value, recorded,
       true, CASE WHEN action <> last_action THEN asked_at END
FROM reassertions
{_SORTED};
CREATE OR REPLACE VIEW delta AS SELECT *, rowid AS position FROM delta_rows
"""
"""The differences without the quarantined ones, and every uncertain pair in its new direction."""

_RELEASED = """
CREATE OR REPLACE TABLE released AS
SELECT p.target, p.action, p.kind, p.value
FROM pairs AS p
ANTI JOIN differences AS d ON p.target = d.target AND p.value = d.value AND p.kind = d.kind
    AND p.action = d.action
WHERE p.status = 'refused'
"""
"""Refused pairs that are no longer desired. They leave quarantine with the next apply."""

_EXPIRED = "DELETE FROM pairs WHERE status = 'refused' AND asked_at < $1"
"""Refused pairs that are sent again: without the pair, the difference is in the delta."""

_COUNTS = """
SELECT target,
       count(*) FILTER (WHERE action = 'ADD' AND NOT reasserted),
       count(*) FILTER (WHERE action = 'REMOVE' AND NOT reasserted),
       count(*) FILTER (WHERE reasserted),
       count(*) FILTER (WHERE action = 'ADD' AND NOT recorded),
       count(*) FILTER (WHERE action = 'REMOVE' AND recorded)
FROM delta GROUP BY target
"""

_QUARANTINED = """
SELECT d.target, count(*), count(*) FILTER (WHERE d.action = 'ADD')
FROM differences AS d
JOIN pairs AS p ON p.target = d.target AND p.value = d.value AND p.kind = d.kind
    AND p.status = 'refused' AND p.action = d.action
GROUP BY d.target
"""

_SAMPLES = """
SELECT target, action, kind, value FROM delta WHERE position IN (
    SELECT unnest(min(position, $most)) FROM delta WHERE NOT reasserted GROUP BY target, action
) ORDER BY position
"""
"""The first members of each target and action, in the order of the delta."""

_SAVED = """
CREATE OR REPLACE VIEW saved_delta AS FROM read_parquet({delta}) WHERE request >= 0
"""

_SAVED_AND_STATE = """
SELECT s.*, r.value IS NOT NULL AS is_member, u.value IS NOT NULL AS is_uncertain,
       CASE WHEN u.action <> s.action THEN u.asked_at END AS asked_at
FROM saved_delta AS s
LEFT JOIN recorded AS r ON r.target = s.target AND r.value = s.value AND r.kind = s.kind
LEFT JOIN (SELECT * FROM pairs WHERE status = 'uncertain') AS u
    ON u.target = s.target AND u.value = s.value AND u.kind = s.kind
"""
"""A saved delta, with what the state says of its users."""

_REMAINING = f"""
CREATE OR REPLACE TABLE remaining_delta AS
SELECT s.target, s.action, s.kind, s.value, s.is_member AS recorded,
       s.is_uncertain AS reasserted, s.asked_at AS settle_from
FROM ({_SAVED_AND_STATE}) AS s
ANTI JOIN (SELECT * FROM pairs WHERE status = 'refused') AS q
    ON q.target = s.target AND q.value = s.value AND q.kind = s.kind AND q.action = s.action
WHERE s.is_uncertain OR (s.action = 'ADD') <> s.is_member
{_SORTED};
CREATE OR REPLACE VIEW delta AS SELECT *, rowid AS position FROM remaining_delta
"""
"""A saved delta without the changes that are recorded as done or were refused since."""

_OTHER_START = f"""
SELECT 1 FROM ({_SAVED_AND_STATE})
WHERE recorded <> is_member OR reasserted <> is_uncertain OR settle_from IS DISTINCT FROM asked_at
    OR (NOT is_uncertain AND (action = 'ADD') = is_member)
LIMIT 1
"""
"""A change of a saved delta that was not made from the state."""


def create_delta(db: duckdb.DuckDBPyConnection, *, retry_before: float | None) -> None:
    """Create ``delta`` and ``released`` from the tables of a comparison.

    Pairs refused before ``retry_before`` (seconds since 1970) are sent again.
    """
    db.execute(_RELEASED)
    if retry_before is not None:
        db.execute(_EXPIRED, [retry_before])
    [[pairs]] = db.execute("SELECT count(*) FROM pairs").fetchall()
    with sql.preserve_order(db):
        db.execute(_FROM_DIFFERENCES_AND_PAIRS if pairs else _FROM_DIFFERENCES)


def load_saved_delta(db: duckdb.DuckDBPyConnection, delta: Path) -> int:
    """Create ``delta`` and ``released`` from a saved delta, and count the changes left."""
    db.execute(_SAVED.format(delta=sql.file_name(delta)))
    load_released(db, delta)
    with sql.preserve_order(db):
        db.execute(_REMAINING)
    [[left]] = db.execute("SELECT count(*) FROM delta").fetchall()
    return int(left)


def starts_from_state(db: duckdb.DuckDBPyConnection, delta: Path) -> bool:
    """Return whether a saved delta says of each user what ``recorded`` and ``pairs`` say."""
    db.execute(_SAVED.format(delta=sql.file_name(delta)))
    return not db.execute(_OTHER_START).fetchall()


def load_released(db: duckdb.DuckDBPyConnection, delta: Path) -> None:
    """Create ``released`` from the rows of a saved delta that have no request."""
    db.execute(
        "CREATE OR REPLACE TABLE released AS SELECT target, action, kind, value "
        f"FROM read_parquet({sql.file_name(delta)}) WHERE request < 0"
    )


def digest_delta(db: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> SetDigest:
    """Return the digest of the delta's rows, in which targets count by their ``keys``."""
    row = "key || chr(31) || action || chr(31) || " + sql.ENCODED_MEMBER
    [sums] = db.execute(
        f"SELECT count(*), {sql.digest_sums(row)} FROM delta AS d JOIN (SELECT "
        "unnest($1::VARCHAR[]) AS key, unnest($2::INTEGER[]) AS target) AS k USING (target)",
        [list(keys), list(range(len(keys)))],
    ).fetchall()
    return sql.digest_from_sums(*sums)


def digest_added(db: duckdb.DuckDBPyConnection, targets: Collection[int]) -> dict[int, SetDigest]:
    """Return the digest of the users who are added to each of these targets."""
    rows = db.execute(
        f"SELECT target, count(*), {sql.digest_sums(sql.ENCODED_MEMBER)} FROM delta "
        "WHERE action = 'ADD' AND target IN (SELECT unnest($1::INTEGER[])) GROUP BY target",
        [list(targets)],
    ).fetchall()
    return {target: sql.digest_from_sums(*sums) for target, *sums in rows}


def count_changes(
    db: duckdb.DuckDBPyConnection,
    recorded: Mapping[int, RecordedFiles],
    excluded_counts: Mapping[int, Mapping[str, int]],
) -> dict[int, TargetDiff]:
    """Return how each target changes.

    ``excluded_counts`` are counts of users to add, by target and field of ``TargetDiff``.
    """
    counts = {index: row for index, *row in db.execute(_COUNTS).fetchall()}
    refused = {index: row for index, *row in db.execute(_QUARANTINED).fetchall()}
    samples = _samples(db)
    diffs = {}
    for target_index, files in recorded.items():
        add, remove, reasserted, joining, leaving = counts.get(target_index, (0,) * 5)
        quarantined, refused_adds = refused.get(target_index, (0, 0))
        after = files.digest.count + joining - leaving
        refused_removes = quarantined - refused_adds
        diffs[target_index] = TargetDiff(
            declared=after + refused_adds - refused_removes,
            desired=after,
            recorded=files.digest.count,
            add=add,
            remove=remove,
            reasserted=reasserted,
            quarantined=quarantined,
            leaving=leaving,
            sample=samples.get(target_index, Sample()),
            **excluded_counts.get(target_index, {}),
        )
    return diffs


def _samples(db: duckdb.DuckDBPyConnection) -> dict[int, Sample]:
    by_target: dict[int, dict[str, list[tuple[Kind, str]]]] = {}
    for target, action, kind, value in db.execute(_SAMPLES, {"most": SAMPLE_SIZE}).fetchall():
        by_target.setdefault(target, {}).setdefault(action, []).append((Kind(kind), value))
    return {
        index: Sample(add=tuple(members.get("ADD", ())), remove=tuple(members.get("REMOVE", ())))
        for index, members in by_target.items()
    }
