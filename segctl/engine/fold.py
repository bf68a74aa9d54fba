"""Fold outcomes into the recorded members: write new base files, change files and pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import duckdb

from segctl.core.errors import StateDamaged
from segctl.core.identity import SetDigest
from segctl.core.outcomes import Ledger, Outcome
from segctl.engine import sql
from segctl.engine.delta import load_released
from segctl.engine.letter_case import (
    HAS_UPPER_CASE,
    LOWER_CASE_OPTION,
    find_lower_case_targets,
)
from segctl.engine.model import FoldedTarget, RecordedFiles
from segctl.state.usage import QUARTER_HOUR

COMPACT_SHARE = 0.25
"""A set is rewritten as one base file if its change files exceed this share of the base ..."""

COMPACT_FILES = 16
"""... or if it already has this many change files."""

BASE_LEVEL = 1
"""The zstd level of base files. Level 3 takes longer, and its files of sorted keys are larger."""

_CHANGES = "COMPRESSION_LEVEL 12"
"""The option of change files and pairs. They are small, but kept and copied with every backup."""

_NO_PAIRS = (
    "SELECT 0::INTEGER AS target, '' AS kind, '' AS value, '' AS status, '' AS action, "
    "0::DOUBLE AS asked_at, '' AS detail WHERE false"
)

_NET_CHANGES = """
CREATE OR REPLACE TEMP TABLE net_changes AS
SELECT target, kind, value, sum(CASE action WHEN 'ADD' THEN 1 ELSE -1 END)::INTEGER AS sign
FROM ({changes}) GROUP BY ALL HAVING sign <> 0
"""
"""The sum of all change files: 1 adds a member to the base, -1 removes one.

A change file never adds a user who is a member already, and never removes one who is not.
"""

_BASE_WITH_CHANGES = """
SELECT target, kind, value FROM ({base})
ANTI JOIN (SELECT target, kind, value FROM net_changes WHERE sign < 0) USING (target, kind, value)
UNION ALL SELECT target, kind, value FROM net_changes WHERE sign > 0
"""

_SENT_CHANGES = """
CREATE OR REPLACE TABLE sent_changes AS
SELECT d.target, d.action, d.kind, d.value, d.recorded, o.outcome, o.asked_at
FROM read_parquet({delta}) AS d JOIN outcomes AS o ON d.request = o.request
ANTI JOIN blocked AS b ON d.target = b.target
"""
"""The changes that were sent, with the outcomes of their requests."""

_APPLY_EXCEPTIONS = """
UPDATE sent_changes SET outcome = e.outcome, asked_at = e.asked_at FROM exceptions AS e
WHERE sent_changes.target = e.target AND sent_changes.kind = e.kind
    AND sent_changes.value = e.value
"""

_APPLIED = """
CREATE OR REPLACE TABLE applied AS
SELECT target, action, kind, value FROM sent_changes
WHERE outcome = 'acknowledged' AND (action = 'ADD') <> recorded
"""
"""The acknowledged changes of the recorded members. A reassertion may change nothing."""

_INCOMPLETE_TARGETS = """
SELECT p.target FROM (
    SELECT target, count(*) AS changes FROM read_parquet({delta}) WHERE request >= 0
    GROUP BY target
) AS p
LEFT JOIN (
    SELECT target, count(*) AS changes FROM sent_changes WHERE outcome = 'acknowledged'
    GROUP BY target
) AS s USING (target)
WHERE s.changes IS DISTINCT FROM p.changes
"""
"""The targets with a change that was not acknowledged."""

_PAIRS_AFTER = """
CREATE OR REPLACE TABLE pairs_after AS
SELECT p.* FROM pairs AS p
ANTI JOIN (
    SELECT * FROM sent_changes WHERE outcome IN ('acknowledged', 'uncertain', 'refused')
) AS s
    ON p.target = s.target AND p.kind = s.kind AND p.value = s.value
ANTI JOIN released AS r
    ON p.target = r.target AND p.kind = r.kind AND p.value = r.value AND p.action = r.action
    AND p.status = 'refused'
UNION ALL
SELECT s.target, s.kind, s.value, s.outcome, s.action, s.asked_at, coalesce(e.detail, '')
FROM sent_changes AS s
LEFT JOIN exceptions AS e ON s.target = e.target AND s.kind = e.kind AND s.value = e.value
WHERE s.outcome IN ('uncertain', 'refused')
"""
"""Pairs that were neither sent again nor released, and the new uncertain and refused ones."""

_BASE_FILE = f"""
SELECT kind, value FROM (
    SELECT kind, value FROM (SELECT kind, value FROM recorded WHERE target = {{target}})
    ANTI JOIN (
        SELECT kind, value FROM applied WHERE target = {{target}} AND action = 'REMOVE'
    ) USING (kind, value)
    UNION ALL
    SELECT kind, value FROM applied WHERE target = {{target}} AND action = 'ADD'
) ORDER BY {sql.MEMBER_ORDER}
"""
"""All members of a target after an apply."""

_CHANGE_FILE = f"""
SELECT action, kind, value FROM applied WHERE target = {{target}} ORDER BY {sql.MEMBER_ORDER}
"""

_PAIRS_FILE = f"""
SELECT kind, value, status, action, asked_at, detail FROM pairs_after WHERE target = {{target}}
ORDER BY {sql.MEMBER_ORDER}
"""


def view_recorded(db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]) -> None:
    """Create the relations ``recorded`` and ``pairs`` over files of the state."""
    bases = [(t, r.base) for t, r in recorded.items() if r.base]
    changes = [(t, file) for t, r in recorded.items() for file in r.changes]
    pairs = [(t, r.pairs) for t, r in recorded.items() if r.pairs]
    members = _select_files(bases, "kind, value") if bases else sql.NO_MEMBERS
    if changes:
        db.execute(_NET_CHANGES.format(changes=_select_files(changes, "action, kind, value")))
        members = _BASE_WITH_CHANGES.format(base=members)
    db.execute(f"CREATE OR REPLACE TEMP VIEW recorded AS {members}")
    columns = "kind, value, status, action, asked_at, detail"
    select = _select_files(pairs, columns) if pairs else _NO_PAIRS
    db.execute(f"CREATE OR REPLACE TEMP TABLE pairs AS {select}")


def copy_recorded(
    db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles], table: str
) -> None:
    """Copy recorded members into a new table. Raises ``StateDamaged``.

    Afterwards ``view_recorded`` creates the relations for other targets.
    """
    view_recorded(db, recorded)
    check_counts(db, recorded)
    db.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT target, kind, value FROM recorded")


def check_counts(db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]) -> None:
    """Raise ``StateDamaged`` if a set with change files has another size than the head says.

    All counts of a plan start from the head's. Call ``view_recorded`` first.
    """
    changed = {index: files for index, files in recorded.items() if files.changes}
    if not changed:
        return
    sums = db.execute("SELECT target, sum(sign) FROM net_changes GROUP BY target").fetchall()
    net_changes = dict(sums)
    for target_index, files in changed.items():
        members = files.base_rows + int(net_changes.get(target_index, 0))
        if members != files.digest.count:
            raise StateDamaged(
                f"the state records {files.digest.count:,} members of a segment, but its member "
                f"files contain {members:,}",
                hint="Run `segctl state fsck` to find the segment and see what to do.",
            )


def _select_files(files: Sequence[tuple[int, Path]], columns: str) -> str:
    """Return a SELECT over files that each belong to a target; one file may serve several."""
    if len(files) == 1:
        [(target_index, file)] = files
        table = f"read_parquet({sql.file_name(file)})"
        return f"SELECT {target_index}::INTEGER AS target, {columns} FROM {table}"
    owners = ", ".join(f"({index}, {sql.literal(str(file))})" for index, file in files)
    unique = sql.file_names(sorted({file for _, file in files}))
    return (
        f"SELECT o.target::INTEGER AS target, {columns} FROM "
        f"read_parquet({unique}, filename = 'from_file') AS f "
        f"JOIN (VALUES {owners}) AS o(target, file) ON f.from_file = o.file"
    )


def fold(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    delta: Path,
    ledger: Ledger,
    recorded: Mapping[int, RecordedFiles],
) -> dict[int, FoldedTarget]:
    """Return each recorded target after the outcomes of an apply; see ``OutcomeFolder.fold``."""
    view_recorded(db, recorded)
    load_ledger(db, ledger)
    file = sql.file_name(delta)
    db.execute(_SENT_CHANGES.format(delta=file))
    db.execute(_APPLY_EXCEPTIONS)
    db.execute(_APPLIED)
    load_released(db, delta)
    db.execute(_PAIRS_AFTER)
    incomplete = {
        index for (index,) in db.execute(_INCOMPLETE_TARGETS.format(delta=file)).fetchall()
    }
    return {
        index: replace(folded, is_complete=index not in incomplete)
        for index, folded in finalize_targets(db, scratch, recorded).items()
    }


def count_sent_events(db: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Count the changes of the last fold that may be billed, by the quarter of an hour."""
    return dict(
        db.execute(
            f"SELECT (asked_at // {QUARTER_HOUR})::BIGINT AS quarter, count(*) FROM sent_changes "
            "WHERE outcome IN ('acknowledged', 'uncertain') GROUP BY quarter"
        ).fetchall()
    )


def finalize_targets(
    db: duckdb.DuckDBPyConnection, scratch: Path, recorded: Mapping[int, RecordedFiles]
) -> dict[int, FoldedTarget]:
    """Write the new files of these targets, from the tables ``applied`` and ``pairs_after``."""
    sums = db.execute(
        f"SELECT target, action, count(*), {sql.digest_sums(sql.ENCODED_MEMBER)}, "
        f"count(*) FILTER (WHERE {HAS_UPPER_CASE}) FROM applied GROUP BY target, action"
    ).fetchall()
    applied = {(index, action): sql.digest_from_sums(*values) for index, action, *values, _ in sums}
    with_upper_case = {index for index, action, *_, upper in sums if upper and action == "ADD"}
    pairs = {
        index: (uncertain, refused)
        for index, uncertain, refused in db.execute(
            "SELECT target, count(*) FILTER (WHERE status = 'uncertain'), "
            "count(*) FILTER (WHERE status = 'refused') FROM pairs_after GROUP BY target"
        ).fetchall()
    }
    return {
        index: _finalize_target(
            db,
            scratch,
            index,
            before,
            added=applied.get((index, "ADD"), SetDigest()),
            removed=applied.get((index, "REMOVE"), SetDigest()),
            adds_upper_case=index in with_upper_case,
            pairs=pairs.get(index, (0, 0)),
        )
        for index, before in recorded.items()
    }


def load_ledger(db: duckdb.DuckDBPyConnection, ledger: Ledger) -> None:
    """Create the tables ``outcomes``, ``blocked`` and ``exceptions`` from a ledger.

    The outcome of a refused request is ``failed``, because nothing is known of its single
    pairs. Only pairs that are listed as exceptions are refused.
    """
    updates = list(ledger.updates.items())
    db.execute(
        "CREATE OR REPLACE TEMP TABLE outcomes AS SELECT unnest($1::BIGINT[]) AS request, "
        "unnest($2::VARCHAR[]) AS outcome, unnest($3::DOUBLE[]) AS asked_at",
        [
            [request for request, _ in updates],
            [
                Outcome.FAILED if o.outcome is Outcome.REFUSED else str(o.outcome)
                for _, o in updates
            ],
            [o.at for _, o in updates],
        ],
    )
    db.execute(
        "CREATE OR REPLACE TEMP TABLE blocked AS SELECT unnest($1::INTEGER[]) AS target",
        [sorted(ledger.blocked)],
    )
    pairs = ledger.exceptions
    db.execute(
        "CREATE OR REPLACE TEMP TABLE exceptions AS SELECT unnest($1::INTEGER[]) AS target, "
        "unnest($2::VARCHAR[]) AS kind, unnest($3::VARCHAR[]) AS value, "
        "unnest($4::VARCHAR[]) AS outcome, unnest($5::DOUBLE[]) AS asked_at, "
        "unnest($6::VARCHAR[]) AS detail",
        [
            [p.target_index for p in pairs],
            [p.kind for p in pairs],
            [p.value for p in pairs],
            [str(p.outcome) for p in pairs],
            [p.at for p in pairs],
            [p.detail for p in pairs],
        ],
    )


def _finalize_target(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    target_index: int,
    before: RecordedFiles,
    *,
    added: SetDigest,
    removed: SetDigest,
    adds_upper_case: bool,
    pairs: tuple[int, int],
) -> FoldedTarget:
    digest = before.digest + added - removed
    changes = added.count + removed.count
    change_file = base_file = pairs_file = None
    if changes and digest.count:
        outgrown = before.change_rows + changes > COMPACT_SHARE * before.base_rows
        if outgrown or len(before.changes) >= COMPACT_FILES:
            select = _BASE_FILE.format(target=target_index)
            is_lower_case = not adds_upper_case and bool(
                find_lower_case_targets(db, {target_index: before})
            )
            base_file = write_base(
                db, scratch, select, rows=digest.count, is_lower_case=is_lower_case
            )
        else:
            select = _CHANGE_FILE.format(target=target_index)
            change_file = _write_sorted(db, scratch, select, rows=changes, options=_CHANGES)
    uncertain, refused = pairs
    if uncertain or refused:
        select = _PAIRS_FILE.format(target=target_index)
        pairs_file = _write_sorted(db, scratch, select, rows=uncertain + refused, options=_CHANGES)
    return FoldedTarget(
        digest=digest,
        has_changed=bool(changes),
        change=change_file,
        change_rows=changes if change_file else 0,
        base=base_file,
        pairs=pairs_file,
        uncertain=uncertain,
        refused=refused,
    )


def write_desired(db: duckdb.DuckDBPyConnection, scratch: Path, target_index: int) -> FoldedTarget:
    """Write the delta of a target without recorded members as its base file."""
    members = f"FROM delta WHERE target = {target_index}"
    [[*sums, upper]] = db.execute(
        f"SELECT count(*), {sql.digest_sums(sql.ENCODED_MEMBER)}, "
        f"count(*) FILTER (WHERE {HAS_UPPER_CASE}) {members}"
    ).fetchall()
    digest = sql.digest_from_sums(*sums)
    select = f"SELECT kind, value {members} ORDER BY {sql.MEMBER_ORDER}"
    if not digest.count:
        return FoldedTarget(digest=digest)
    base = write_base(db, scratch, select, rows=digest.count, is_lower_case=not upper)
    return FoldedTarget(digest=digest, has_changed=True, base=base)


def write_base(
    db: duckdb.DuckDBPyConnection, scratch: Path, select: str, *, rows: int, is_lower_case: bool
) -> Path:
    """Write a base file from a sorted SELECT. Raises ``StateDamaged`` if it has not ``rows`` rows.

    ``is_lower_case``: no identity in it has an upper-case letter.
    """
    options = f"COMPRESSION_LEVEL {BASE_LEVEL}"
    if is_lower_case:
        options += f", {LOWER_CASE_OPTION}"
    return _write_sorted(db, scratch, select, rows=rows, options=options)


def _write_sorted(
    db: duckdb.DuckDBPyConnection, scratch: Path, select: str, *, rows: int, options: str
) -> Path:
    """Write a sorted file of the state. Raises ``StateDamaged`` if it has not ``rows`` rows."""
    file = scratch / f"{uuid4().hex}.parquet"
    with sql.preserve_order(db):
        [[written]] = db.execute(
            f"COPY ({select}) TO {sql.literal(str(file))} "
            f"(FORMAT parquet, COMPRESSION zstd, {options})"
        ).fetchall()
    if written != rows:
        raise StateDamaged(
            f"the recorded members of a segment do not add up: {rows:,} expected, "
            f"{written:,} found",
            hint="Run `segctl state fsck` to find the segment, or restore the state from a backup.",
        )
    return file
