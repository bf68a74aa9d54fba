"""Rejects matched to what was sent, and what they make of the recorded members.

A reject names a user, not what was asked for them.  The last request for the pair
tells that: one without an acknowledgement stands among the pairs, others in the
applies that were kept, newest first; of a recorded member it was an ADD.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np

from segctl.core.identity import Kind
from segctl.core.rejects import Rejects
from segctl.engine import fold, sql
from segctl.engine.model import (
    FoldedTarget,
    MatchedRejects,
    QuarantinedPair,
    RecordedFiles,
    SentApply,
)

CLOCK_SKEW = 300.0
"""Seconds that CleverTap's clock and ours may differ.

A reject that is older than the apply that sent its pair last is about an earlier request.
"""


_REJECTED = """
CREATE OR REPLACE TABLE rejected AS
SELECT c.number, c.label, l.target, l.detail, c.value::VARCHAR AS value,
       CASE WHEN isnan(c.told_at) THEN NULL ELSE c.told_at END AS told_at
FROM columns_in AS c JOIN labels AS l USING (label)
"""
"""The Error Stream, each row with its target; -1 where it is none of ours."""

_SKIPPED = """
CREATE OR REPLACE TABLE skipped AS
SELECT target, value, max(told_at) AS told_at,
       max({'told_at': coalesce(told_at, 0), 'number': number, 'detail': detail}).detail AS detail
FROM rejected WHERE target >= 0 GROUP BY target, value
"""

_ASKED_UNACKNOWLEDGED = """
CREATE OR REPLACE TABLE asked AS
SELECT p.target, p.kind, p.value, p.action, p.status = 'refused' AS known,
       CASE WHEN p.status = 'uncertain' THEN p.asked_at END AS begun
FROM pairs AS p SEMI JOIN skipped AS s ON p.target = s.target AND p.value = s.value
"""
"""The last request for each skipped pair; a reject from before ``begun`` is not about it."""

_NOT_FOUND_YET = "SELECT count(*) FROM skipped ANTI JOIN asked USING (target, value)"

_ASKED_IN_APPLY = """
INSERT INTO asked
SELECT p.target, d.kind, d.value, d.action, false, $1
FROM read_parquet({delta}) AS d
JOIN places AS p ON d.target = p.place
JOIN outcomes AS o ON d.request = o.request
SEMI JOIN skipped AS s ON p.target = s.target AND d.value = s.value
ANTI JOIN asked AS a ON p.target = a.target AND d.value = a.value
ANTI JOIN blocked AS b ON d.target = b.target
LEFT JOIN exceptions AS e ON d.target = e.target AND d.kind = e.kind AND d.value = e.value
WHERE coalesce(e.outcome, o.outcome) IN ('acknowledged', 'uncertain')
"""

_ASKED_FOR_MEMBERS = """
INSERT INTO asked
SELECT r.target, r.kind, r.value, 'ADD', false, NULL
FROM recorded AS r
SEMI JOIN skipped AS s ON r.target = s.target AND r.value = s.value
ANTI JOIN asked AS a ON r.target = a.target AND r.value = a.value
"""

_MATCHED = """
CREATE OR REPLACE TABLE matched AS
SELECT s.target, a.kind, s.value, a.action, s.detail, a.known,
       NOT a.known AND coalesce(s.told_at < a.begun - $skew, false) AS older,
       least(coalesce(s.told_at, $now), $now) AS refused_at
FROM skipped AS s JOIN asked AS a ON s.target = a.target AND s.value = a.value
QUALIFY row_number() OVER (PARTITION BY s.target, s.value ORDER BY a.kind DESC) = 1
"""
"""Each skipped pair with its last request; a user key of both kinds counts as an identity."""

_REFUSALS = """
CREATE OR REPLACE TABLE refusals AS SELECT * FROM matched WHERE NOT known AND NOT older
"""

_TAKEN_BACK = """
CREATE OR REPLACE TABLE applied AS
SELECT f.target, CASE f.action WHEN 'ADD' THEN 'REMOVE' ELSE 'ADD' END AS action, f.kind, f.value
FROM refusals AS f
LEFT JOIN recorded AS r ON f.target = r.target AND f.value = r.value AND f.kind = r.kind
WHERE (f.action = 'ADD') = (r.value IS NOT NULL)
"""
"""What was recorded on the service's word and was not done."""

_PAIRS_REFUSED = """
CREATE OR REPLACE TABLE pairs_after AS
SELECT p.* FROM pairs AS p
ANTI JOIN refusals AS f ON p.target = f.target AND p.kind = f.kind AND p.value = f.value
UNION ALL
SELECT target, kind, value, 'refused', action, refused_at, detail FROM refusals
"""

_MATCHES = "FROM rejected AS r LEFT JOIN matched AS m ON r.target = m.target AND r.value = m.value"

_REJECTS_COUNTED = f"""
SELECT count(*) FILTER (WHERE m.action = 'ADD' AND NOT m.older),
       count(*) FILTER (WHERE m.action = 'REMOVE' AND NOT m.older),
       count(*) FILTER (WHERE m.known),
       count(*) FILTER (WHERE m.older),
       count(*) FILTER (WHERE m.value IS NULL)
{_MATCHES}
"""

_LABELS_MATCHED = f"SELECT DISTINCT r.label {_MATCHES} WHERE NOT m.older"
"""The labels of rejects that are about the last request for their pair."""


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
    """Match rejects and settle what they change; see ``Engine.reject``."""
    fold.view_recorded(db, recorded)
    _tabulate(db, rejects, target_indexes)
    _look_up(db, applies)
    db.execute(_MATCHED, {"now": now, "skew": CLOCK_SKEW})
    db.execute(_REFUSALS)
    db.execute(_TAKEN_BACK)
    db.execute(_PAIRS_REFUSED)
    changed = {
        target for (target,) in db.execute("SELECT DISTINCT target FROM refusals").fetchall()
    }
    [counts] = db.execute(_REJECTS_COUNTED).fetchall()
    heard = db.execute(_LABELS_MATCHED).fetchall()
    adds, removes, known, older, unmatched = map(int, counts)
    return MatchedRejects(
        adds=adds,
        removes=removes,
        known=known,
        older=older,
        unmatched=unmatched,
        matched_details=frozenset(label for (label,) in heard),
        folded=fold.settle(db, scratch, {t: r for t, r in recorded.items() if t in changed}),
    )


def release_quarantined(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    recorded: Mapping[int, RecordedFiles],
    *,
    error_type: str | None,
) -> dict[int, FoldedTarget]:
    """Take refused pairs out of quarantine; see ``Engine.retry``."""
    fold.view_recorded(db, recorded)
    which = "status = 'refused' AND ($type IS NULL OR lower(detail) = lower($type))"
    found = db.execute(f"SELECT DISTINCT target FROM pairs WHERE {which}", {"type": error_type})
    changed = {target for (target,) in found.fetchall()}
    db.execute(f"CREATE OR REPLACE TABLE applied AS SELECT '' AS action, * FROM ({sql.NO_ROWS})")
    db.execute(
        f"CREATE OR REPLACE TABLE pairs_after AS SELECT * FROM pairs WHERE NOT ({which})",
        {"type": error_type},
    )
    return fold.settle(db, scratch, {t: r for t, r in recorded.items() if t in changed})


def iter_quarantined(
    db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]
) -> Iterator[QuarantinedPair]:
    """Give the refused pairs; see ``Engine.refused``."""
    fold.view_recorded(db, recorded)
    found = db.execute(
        "SELECT target, kind, value, action, asked_at, detail FROM pairs "
        "WHERE status = 'refused' ORDER BY target, detail, action, kind, value"
    )
    while rows := found.fetchmany(1024):
        for target, kind, value, action, at, detail in rows:
            yield QuarantinedPair(
                target_index=target,
                kind=Kind(kind),
                value=value,
                action=action,
                refused_at=at,
                error_type=detail,
            )


def _tabulate(db: duckdb.DuckDBPyConnection, rejects: Rejects, targets: Sequence[int]) -> None:
    db.execute(
        "CREATE OR REPLACE TABLE labels AS SELECT unnest($1::INTEGER[]) AS target, "
        "unnest($2::VARCHAR[]) AS detail, unnest($3::INTEGER[]) AS label",
        [list(targets), [label.type for label in rejects.details], list(range(len(targets)))],
    )
    times = [np.nan if time is None else time for time in rejects.times]
    db.register(
        "columns_in",
        {
            "number": np.arange(len(rejects), dtype=np.int64),
            "label": np.array(rejects.detail_indexes, dtype=np.int32),
            "value": np.array(rejects.users, dtype=np.object_),
            "told_at": np.array(times, dtype=np.float64),
        },
    )
    db.execute(_REJECTED)
    db.unregister("columns_in")
    db.execute(_SKIPPED)


def _look_up(db: duckdb.DuckDBPyConnection, applies: Iterable[SentApply]) -> None:
    """Find the last request for each skipped pair."""
    db.execute(_ASKED_UNACKNOWLEDGED)
    for apply in applies:
        [[missing]] = db.execute(_NOT_FOUND_YET).fetchall()
        if not missing:
            break
        fold.tabulate(db, apply.ledger)
        db.execute(
            "CREATE OR REPLACE TABLE places AS SELECT unnest($1::INTEGER[]) AS place, "
            "unnest($2::INTEGER[]) AS target",
            [list(apply.target_indexes), list(apply.target_indexes.values())],
        )
        db.execute(_ASKED_IN_APPLY.format(delta=sql.file(apply.delta)), [apply.started_at])
    db.execute(_ASKED_FOR_MEMBERS)
