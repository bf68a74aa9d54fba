"""Match rejects to requests, and quarantine the pairs that were refused.

A reject names a user and a segment, but not the action. The last request for the pair shows it:
an uncertain or refused pair records its own action, the archived applies contain the changes that
were acknowledged, and a recorded member was added.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np

from segctl.core.identity import Kind
from segctl.core.rejects import Rejects
from segctl.engine import sql
from segctl.engine.fold import finalize_targets, load_ledger, view_recorded
from segctl.engine.model import (
    FoldedTarget,
    MatchedRejects,
    QuarantinedPair,
    RecordedFiles,
    SentApply,
)

CLOCK_SKEW = 300.0
"""Seconds by which CleverTap's clock may differ from ours.

If a reject is more than this older than the apply that last sent its pair, it is about an earlier
request.
"""

_FETCHED_ROWS = 1024

_REJECTS = """
CREATE OR REPLACE TABLE rejects AS
SELECT c.number, c.detail_index, d.target, d.detail, c.value::VARCHAR AS value,
       CASE WHEN isnan(c.rejected_at) THEN NULL ELSE c.rejected_at END AS rejected_at
FROM reject_columns AS c JOIN reject_details AS d USING (detail_index)
"""
"""The rows of the Error Stream, each with its target: -1 for a segment that is not recorded."""

_REJECTED_PAIRS = """
CREATE OR REPLACE TABLE rejected_pairs AS
SELECT target, value, max(rejected_at) AS rejected_at,
       max({
           'rejected_at': coalesce(rejected_at, 0), 'number': number, 'detail': detail
       }).detail AS detail
FROM rejects WHERE target >= 0 GROUP BY target, value
"""
"""Each target and value once, with the time and the error type of the latest reject."""

_FROM_PAIRS = """
CREATE OR REPLACE TABLE last_requests AS
SELECT p.target, p.kind, p.value, p.action, p.status = 'refused' AS known,
       CASE WHEN p.status = 'uncertain' THEN p.asked_at END AS started_at
FROM pairs AS p SEMI JOIN rejected_pairs AS r ON p.target = r.target AND p.value = r.value
"""
"""The last request for each rejected pair. A reject from before ``started_at`` is older."""

_COUNT_MISSING = "SELECT count(*) FROM rejected_pairs ANTI JOIN last_requests USING (target, value)"

_FROM_APPLY = """
INSERT INTO last_requests
SELECT t.target, d.kind, d.value, d.action, false, $1
FROM read_parquet({delta}) AS d
JOIN apply_targets AS t ON d.target = t.target_in_apply
JOIN outcomes AS o ON d.request = o.request
SEMI JOIN rejected_pairs AS r ON t.target = r.target AND d.value = r.value
ANTI JOIN last_requests AS l ON t.target = l.target AND d.value = l.value
ANTI JOIN blocked AS b ON d.target = b.target
LEFT JOIN exceptions AS e ON d.target = e.target AND d.kind = e.kind AND d.value = e.value
WHERE coalesce(e.outcome, o.outcome) IN ('acknowledged', 'uncertain')
"""
"""Changes that an apply sent for rejected pairs without a later request."""

_FROM_MEMBERS = """
INSERT INTO last_requests
SELECT m.target, m.kind, m.value, 'ADD', false, NULL
FROM recorded AS m
SEMI JOIN rejected_pairs AS r ON m.target = r.target AND m.value = r.value
ANTI JOIN last_requests AS l ON m.target = l.target AND m.value = l.value
"""
"""Recorded members whose request is in no archived apply, such as imported ones."""

_MATCHED = """
CREATE OR REPLACE TABLE matched AS
SELECT r.target, l.kind, r.value, l.action, r.detail, l.known,
       NOT l.known AND coalesce(r.rejected_at < l.started_at - $skew, false) AS older,
       least(coalesce(r.rejected_at, $now), $now) AS refused_at
FROM rejected_pairs AS r JOIN last_requests AS l ON r.target = l.target AND r.value = l.value
QUALIFY row_number() OVER (PARTITION BY r.target, r.value ORDER BY l.kind DESC) = 1
"""
"""Each rejected pair with its last request. A value of both kinds counts as an identity."""

_NEWLY_REFUSED = """
CREATE OR REPLACE TABLE newly_refused AS SELECT * FROM matched WHERE NOT known AND NOT older
"""

_REVERTED = """
CREATE OR REPLACE TABLE applied AS
SELECT n.target, CASE n.action WHEN 'ADD' THEN 'REMOVE' ELSE 'ADD' END AS action, n.kind, n.value
FROM newly_refused AS n
LEFT JOIN recorded AS m ON n.target = m.target AND n.value = m.value AND n.kind = m.kind
WHERE (n.action = 'ADD') = (m.value IS NOT NULL)
"""
"""Changes that were recorded as acknowledged, in reverse."""

_PAIRS_AFTER = """
CREATE OR REPLACE TABLE pairs_after AS
SELECT p.* FROM pairs AS p
ANTI JOIN newly_refused AS n ON p.target = n.target AND p.kind = n.kind AND p.value = n.value
UNION ALL
SELECT target, kind, value, 'refused', action, refused_at, detail FROM newly_refused
"""

_REJECTS_WITH_MATCHES = (
    "FROM rejects AS r LEFT JOIN matched AS m ON r.target = m.target AND r.value = m.value"
)

_COUNTS = f"""
SELECT count(*) FILTER (WHERE m.action = 'ADD' AND NOT m.older),
       count(*) FILTER (WHERE m.action = 'REMOVE' AND NOT m.older),
       count(*) FILTER (WHERE m.known),
       count(*) FILTER (WHERE m.older),
       count(*) FILTER (WHERE m.value IS NULL)
{_REJECTS_WITH_MATCHES}
"""

_MATCHED_DETAILS = f"SELECT DISTINCT r.detail_index {_REJECTS_WITH_MATCHES} WHERE NOT m.older"


def match_rejects(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    recorded: Mapping[int, RecordedFiles],
    *,
    rejects: Rejects,
    target_indexes: Sequence[int],
    applies: Iterable[SentApply],
    now: float,
) -> MatchedRejects:
    """Match rejects to requests and write the changed targets; see ``RejectMatcher``."""
    view_recorded(db, recorded)
    _load_rejects(db, rejects, target_indexes)
    _find_last_requests(db, applies)
    db.execute(_MATCHED, {"now": now, "skew": CLOCK_SKEW})
    db.execute(_NEWLY_REFUSED)
    db.execute(_REVERTED)
    db.execute(_PAIRS_AFTER)
    changed = _first_column(db.execute("SELECT DISTINCT target FROM newly_refused"))
    [counts] = db.execute(_COUNTS).fetchall()
    adds, removes, known, older, unmatched = map(int, counts)
    return MatchedRejects(
        adds=adds,
        removes=removes,
        known=known,
        older=older,
        unmatched=unmatched,
        matched_details=_first_column(db.execute(_MATCHED_DETAILS)),
        folded=finalize_targets(db, scratch, {t: r for t, r in recorded.items() if t in changed}),
    )


def release_quarantined(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    recorded: Mapping[int, RecordedFiles],
    *,
    error_type: str | None,
) -> dict[int, FoldedTarget]:
    """Release refused pairs and write the changed targets; see ``RejectMatcher``."""
    view_recorded(db, recorded)
    selected = "status = 'refused' AND ($type IS NULL OR lower(detail) = lower($type))"
    parameters = {"type": error_type}
    changed = _first_column(
        db.execute(f"SELECT DISTINCT target FROM pairs WHERE {selected}", parameters)
    )
    db.execute(f"CREATE OR REPLACE TABLE applied AS SELECT '' AS action, * FROM ({sql.NO_MEMBERS})")
    db.execute(
        f"CREATE OR REPLACE TABLE pairs_after AS SELECT * FROM pairs WHERE NOT ({selected})",
        parameters,
    )
    return finalize_targets(db, scratch, {t: r for t, r in recorded.items() if t in changed})


def iter_quarantined(
    db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]
) -> Iterator[QuarantinedPair]:
    """Yield the refused pairs; see ``RejectMatcher``."""
    view_recorded(db, recorded)
    cursor = db.execute(
        "SELECT target, kind, value, action, asked_at, detail FROM pairs "
        "WHERE status = 'refused' ORDER BY target, detail, action, kind, value"
    )
    while rows := cursor.fetchmany(_FETCHED_ROWS):
        for target_index, kind, value, action, refused_at, detail in rows:
            yield QuarantinedPair(
                target_index=target_index,
                kind=Kind(kind),
                value=value,
                action=action,
                refused_at=refused_at,
                error_type=detail,
            )


def _first_column(cursor: duckdb.DuckDBPyConnection) -> frozenset[int]:
    return frozenset(value for (value,) in cursor.fetchall())


def _load_rejects(
    db: duckdb.DuckDBPyConnection, rejects: Rejects, target_indexes: Sequence[int]
) -> None:
    db.execute(
        "CREATE OR REPLACE TABLE reject_details AS SELECT unnest($1::INTEGER[]) AS target, "
        "unnest($2::VARCHAR[]) AS detail, unnest($3::INTEGER[]) AS detail_index",
        [
            list(target_indexes),
            [detail.type for detail in rejects.details],
            list(range(len(target_indexes))),
        ],
    )
    times = [np.nan if time is None else time for time in rejects.times]
    db.register(
        "reject_columns",
        {
            "number": np.arange(len(rejects), dtype=np.int64),
            "detail_index": np.array(rejects.detail_indexes, dtype=np.int32),
            "value": np.array(rejects.users, dtype=np.object_),
            "rejected_at": np.array(times, dtype=np.float64),
        },
    )
    db.execute(_REJECTS)
    db.unregister("reject_columns")
    db.execute(_REJECTED_PAIRS)


def _find_last_requests(db: duckdb.DuckDBPyConnection, applies: Iterable[SentApply]) -> None:
    """Create ``last_requests``; stop reading applies when every rejected pair has one."""
    db.execute(_FROM_PAIRS)
    for apply in applies:
        [[missing]] = db.execute(_COUNT_MISSING).fetchall()
        if not missing:
            break
        load_ledger(db, apply.ledger)
        db.execute(
            "CREATE OR REPLACE TABLE apply_targets AS SELECT unnest($1::INTEGER[]) "
            "AS target_in_apply, unnest($2::INTEGER[]) AS target",
            [list(apply.target_indexes), list(apply.target_indexes.values())],
        )
        db.execute(_FROM_APPLY.format(delta=sql.file_name(apply.delta)), [apply.started_at])
    db.execute(_FROM_MEMBERS)
