"""Recorded members as relations, and what the outcomes of an apply make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import duckdb

from segctl.core.errors import StateDamaged
from segctl.core.identity import SetDigest
from segctl.core.outcomes import Ledger, Outcome
from segctl.engine import sql
from segctl.engine.model import FoldedTarget, RecordedFiles

COMPACT_SHARE = 0.25
"""A set is rewritten whole when its change files hold more than this share of its base."""

COMPACT_FILES = 16
"""... or when there are more of them than this."""

CHANGES_LEVEL = 12
"""How hard change files are compressed: they are small, kept, and copied with every backup."""

_NO_PAIRS = (
    "SELECT 0::INTEGER AS target, '' AS kind, '' AS value, '' AS status, '' AS action, "
    "0::DOUBLE AS asked_at, '' AS detail WHERE false"
)


def digest_of(rows: int, high: int, low: int) -> SetDigest:
    """Put together what ``sql.digest`` summed apart."""
    return SetDigest(count=int(rows), total=((int(high) << 64) + int(low)) % (1 << 128))


def view_recorded(db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]) -> None:
    """Define the relations ``recorded`` and ``pairs`` over the files of the state."""
    bases = [(t, r.base) for t, r in recorded.items() if r.base]
    changes = [(t, file) for t, r in recorded.items() for file in r.changes]
    pairs = [(t, r.pairs) for t, r in recorded.items() if r.pairs]
    base = _read(bases, "kind, value") if bases else sql.NO_ROWS
    if changes:
        # A change file never repeats what is so, so a member is in a set exactly
        # when its signs, the base counted as one ADD, add up to one.
        db.execute(
            "CREATE OR REPLACE TEMP TABLE moved AS SELECT target, kind, value, "
            "sum(CASE action WHEN 'ADD' THEN 1 ELSE -1 END)::INTEGER AS sign "
            f"FROM ({_read(changes, 'action, kind, value')}) GROUP BY ALL HAVING sign <> 0"
        )
        base = (
            f"SELECT target, kind, value FROM ({base}) ANTI JOIN "
            "(SELECT target, kind, value FROM moved WHERE sign < 0) USING (target, kind, value) "
            "UNION ALL SELECT target, kind, value FROM moved WHERE sign > 0"
        )
    db.execute(f"CREATE OR REPLACE TEMP VIEW recorded AS {base}")
    columns = "kind, value, status, action, asked_at, detail"
    source = _read(pairs, columns) if pairs else _NO_PAIRS
    db.execute(f"CREATE OR REPLACE TEMP TABLE pairs AS {source}")


def check_counts(db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]) -> None:
    """Compare what the head says of sets with changes with what their files hold.

    Of others the head tells by itself.  Everything that a plan counts starts from there.
    Raises ``StateDamaged``; ``view_recorded`` was called before.
    """
    changed = {target: each for target, each in recorded.items() if each.changes}
    if not changed:
        return
    moved = dict(db.execute("SELECT target, sum(sign) FROM moved GROUP BY target").fetchall())
    for target, each in changed.items():
        held = each.base_rows + int(moved.get(target, 0))
        if held != each.digest.count:
            raise StateDamaged(
                f"the state says {each.digest.count:,} members of a segment whose files hold "
                f"{held:,}",
                hint="It was changed by hand: `segctl state fsck` tells where, and what to do.",
            )


def _read(files: Sequence[tuple[int, Path]], columns: str) -> str:
    """Give a SELECT over files that each belong to a target; one file may serve several."""
    if len(files) == 1:
        [(target, file)] = files
        return f"SELECT {target}::INTEGER AS target, {columns} FROM read_parquet({sql.file(file)})"
    owners = ", ".join(f"({target}, {sql.literal(str(file))})" for target, file in files)
    unique = sql.paths(sorted({file for _, file in files}))
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
    """Give what outcomes make of each recorded target; see ``Engine.fold``."""
    view_recorded(db, recorded)
    tabulate(db, ledger)
    db.execute(sql.OUTCOMES.format(delta=sql.file(delta)))
    db.execute(sql.EXCEPTED)
    db.execute(sql.APPLIED)
    db.execute(sql.RELEASED_BY.format(delta=sql.file(delta)))
    db.execute(sql.PAIRS_AFTER)
    left = {
        target
        for (target,) in db.execute(sql.LEFT.format(delta=sql.literal(str(delta)))).fetchall()
    }
    return {
        target: replace(folded, is_complete=target not in left)
        for target, folded in settle(db, scratch, recorded).items()
    }


def settle(
    db: duckdb.DuckDBPyConnection, scratch: Path, recorded: Mapping[int, RecordedFiles]
) -> dict[int, FoldedTarget]:
    """Write what ``applied`` and ``pairs_after`` make of each of these targets."""
    sums = db.execute(
        f"SELECT target, action, count(*), {sql.digest(sql.CANONICAL)} "
        "FROM applied GROUP BY target, action"
    ).fetchall()
    moved = {(target, action): digest_of(*sum_) for target, action, *sum_ in sums}
    pairs = {
        target: (uncertain, refused)
        for target, uncertain, refused in db.execute(
            "SELECT target, count(*) FILTER (WHERE status = 'uncertain'), "
            "count(*) FILTER (WHERE status = 'refused') FROM pairs_after GROUP BY target"
        ).fetchall()
    }
    return {
        target: _folded(
            db,
            scratch,
            target,
            before,
            added=moved.get((target, "ADD"), SetDigest()),
            removed=moved.get((target, "REMOVE"), SetDigest()),
            pairs=pairs.get(target, (0, 0)),
        )
        for target, before in recorded.items()
    }


def tabulate(db: duckdb.DuckDBPyConnection, ledger: Ledger) -> None:
    """Put a ledger into tables.

    A request refused as a whole was not taken apart, so nothing is known of the
    single pairs: they count as failed, and only named exceptions as refused.
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
    odd = ledger.exceptions
    db.execute(
        "CREATE OR REPLACE TEMP TABLE exceptions AS SELECT unnest($1::INTEGER[]) AS target, "
        "unnest($2::VARCHAR[]) AS kind, unnest($3::VARCHAR[]) AS value, "
        "unnest($4::VARCHAR[]) AS outcome, unnest($5::DOUBLE[]) AS asked_at, "
        "unnest($6::VARCHAR[]) AS detail",
        [
            [p.target_index for p in odd],
            [p.kind for p in odd],
            [p.value for p in odd],
            [str(p.outcome) for p in odd],
            [p.at for p in odd],
            [p.detail for p in odd],
        ],
    )


def _folded(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    target: int,
    before: RecordedFiles,
    *,
    added: SetDigest,
    removed: SetDigest,
    pairs: tuple[int, int],
) -> FoldedTarget:
    digest = before.digest + added - removed
    rows = added.count + removed.count
    change = base = pairs_file = None
    if rows and digest.count:
        outgrown = before.change_rows + rows > COMPACT_SHARE * before.base_rows
        if outgrown or len(before.changes) >= COMPACT_FILES:
            base = _write(db, scratch, sql.MERGED.format(target=target), rows=digest.count)
        else:
            select = sql.CHANGED.format(target=target)
            change = _write(db, scratch, select, rows=rows, level=CHANGES_LEVEL)
    uncertain, refused = pairs
    if uncertain or refused:
        pairs_file = _write(
            db, scratch, sql.LEFT_OVER.format(target=target), rows=uncertain + refused
        )
    return FoldedTarget(
        digest=digest,
        has_changed=bool(rows),
        change=change,
        change_rows=rows if change else 0,
        base=base,
        pairs=pairs_file,
        uncertain=uncertain,
        refused=refused,
    )


def write_desired(db: duckdb.DuckDBPyConnection, scratch: Path, target: int) -> FoldedTarget:
    """Give the members that a compared target is to have, none of them recorded so far."""
    [[rows, high, low]] = db.execute(
        f"SELECT count(*), {sql.digest(sql.CANONICAL)} FROM delta WHERE target = {target}"
    ).fetchall()
    digest = digest_of(rows, high, low)
    select = f"SELECT kind, value FROM delta WHERE target = {target} ORDER BY {sql.BY_MEMBER}"
    base = _write(db, scratch, select, rows=rows) if rows else None
    return FoldedTarget(digest=digest, has_changed=bool(rows), base=base)


def _write(
    db: duckdb.DuckDBPyConnection, scratch: Path, select: str, *, rows: int, level: int = 3
) -> Path:
    """Write a sorted file of the state; raises ``StateDamaged`` where its size is a surprise."""
    file = scratch / f"{uuid4().hex}.parquet"
    db.execute("SET preserve_insertion_order = true")
    [[written]] = db.execute(
        f"COPY ({select}) TO {sql.literal(str(file))} "
        f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {level})"
    ).fetchall()
    db.execute("SET preserve_insertion_order = false")
    if written != rows:
        raise StateDamaged(
            f"the recorded members do not add up: {rows:,} expected, {written:,} found",
            hint="A member file of the state was changed by hand; restore it from a backup.",
        )
    return file
