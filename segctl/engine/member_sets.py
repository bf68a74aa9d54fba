"""Questions about whole sets of members: how many, how many shared, who, and where one user is.

The sets are the final members of materialized targets and the recorded members of others, in one
relation. A list leaves DuckDB as text through a pipe, so there is no Python object per member.
"""

import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from segctl.core.identity import Kind
from segctl.core.normalize import Normalization
from segctl.engine import sql
from segctl.engine.compare import Load
from segctl.engine.line_sql import select_lines
from segctl.engine.model import AskedUsers, FoundUser, MemberList, RecordedFiles
from segctl.engine.normalize_sql import normalized

_VIEW = """
CREATE OR REPLACE TEMP VIEW member_sets AS
SELECT target, kind, value FROM recorded
UNION ALL SELECT target, kind, value FROM final_members WHERE left_out IS NULL
"""

_SHARED = """
WITH members AS (
    SELECT target, kind, value FROM member_sets WHERE list_contains($all::INTEGER[], target)
)
SELECT a.target, b.target, count(*)
FROM members AS a JOIN members AS b ON b.value = a.value AND b.kind = a.kind
WHERE list_contains($lefts::INTEGER[], a.target) AND list_contains($rights::INTEGER[], b.target)
    AND {once}
GROUP BY a.target, b.target
"""

_SHARED_IN_PAIRS = """
WITH pairs AS (SELECT unnest($1::INTEGER[]) AS one, unnest($2::INTEGER[]) AS other)
SELECT p.one, p.other, count(*)
FROM (SELECT m.*, p.one, p.other FROM member_sets AS m JOIN pairs AS p ON m.target = p.one) AS p
JOIN member_sets AS b ON b.target = p.other AND b.value = p.value AND b.kind = p.kind
GROUP BY p.one, p.other
"""

_ASKED_USER = "asked_user"
_ASKED_HASHES = "asked_hashes"
"""Variables with the asked value, and with a pattern of the asked hashes."""

_READ_BYTES = 1 << 20


def view_sets(db: duckdb.DuckDBPyConnection) -> None:
    """Create the relation ``member_sets`` over the recorded and the final members."""
    db.execute(_VIEW)


def count_sets(db: duckdb.DuckDBPyConnection, target_indexes: Sequence[int]) -> dict[int, int]:
    """Return the number of members of each of these targets."""
    rows = db.execute(
        "SELECT target, count(*) FROM member_sets WHERE list_contains($1::INTEGER[], target) "
        "GROUP BY target",
        [list(target_indexes)],
    ).fetchall()
    return dict.fromkeys(target_indexes, 0) | dict(rows)


def count_shared(
    db: duckdb.DuckDBPyConnection, lefts: Collection[int], rights: Collection[int]
) -> dict[tuple[int, int], int]:
    """Return how many users a left and a right target share, by pair, if they share any.

    If both sides are the same, the lower target index of a pair is first.
    """
    once = "a.target < b.target" if set(lefts) == set(rights) else "a.target <> b.target"
    rows = db.execute(
        _SHARED.format(once=once),
        {"all": [*{*lefts, *rights}], "lefts": list(lefts), "rights": list(rights)},
    ).fetchall()
    return {(left, right): users for left, right, users in rows}


def count_shared_in_pairs(
    db: duckdb.DuckDBPyConnection, pairs: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """Return how many users the two targets of each pair share. A target is in one pair."""
    rows = db.execute(
        _SHARED_IN_PAIRS, [[left for left, _ in pairs], [right for _, right in pairs]]
    ).fetchall()
    return dict.fromkeys(pairs, 0) | {(left, right): users for left, right, users in rows}


def has_guids(db: duckdb.DuckDBPyConnection, target_index: int) -> bool:
    """Return whether a target has a member that is a guid."""
    return bool(
        db.execute(
            f"SELECT 1 FROM member_sets WHERE target = $1 AND kind = '{Kind.GUID}' LIMIT 1",
            [target_index],
        ).fetchall()
    )


def iter_lines(
    db: duckdb.DuckDBPyConnection,
    target_index: int,
    wanted: MemberList,
    recorded: Mapping[int, RecordedFiles],
) -> Iterator[bytes]:
    """Yield the members of a target in pieces of text, one line per member, in order.

    The end of a piece can be within a line. Stops the query if the caller stops.
    """
    members = f"SELECT kind, value FROM member_sets WHERE target = {target_index}"
    file = _sorted_file(recorded, target_index) if wanted.sample is None else None
    if wanted.sample is not None:
        # By a hash of the value: the same set has the same sample with any version of DuckDB.
        members += f" ORDER BY md5({sql.ENCODED_MEMBER}), value LIMIT {wanted.sample}"
    elif file:
        members = f"SELECT kind, value FROM read_parquet({sql.file_name(file)})"
    if wanted.hash_key:
        db.execute(f"SET VARIABLE {sql.MEMBER_KEY} = $1", [wanted.hash_key])
    elif not file:
        members = f"SELECT kind, value FROM ({members}) ORDER BY {sql.MEMBER_ORDER}"
    lines = select_lines(members, hashed=bool(wanted.hash_key), with_kind=wanted.with_kind)
    with sql.preserve_order(db):
        yield from _copy_to_pipe(db, lines)


def _sorted_file(recorded: Mapping[int, RecordedFiles], target_index: int) -> Path | None:
    """Return the file that has all members of a target: base files are sorted."""
    files = recorded.get(target_index)
    return files.base if files and not files.changes else None


def _copy_to_pipe(db: duckdb.DuckDBPyConnection, select: str) -> Iterator[bytes]:
    reading, writing = os.pipe()

    def write() -> None:
        try:
            db.execute(
                f"COPY ({select}) TO '/dev/fd/{writing}' (FORMAT csv, HEADER false, "
                "DELIMITER '\t', QUOTE '', ESCAPE '', USE_TMP_FILE false)"
            )
        finally:
            os.close(writing)

    with ThreadPoolExecutor(1) as thread:
        copied = thread.submit(write)
        try:
            with io.FileIO(reading) as stream:
                while piece := stream.read(_READ_BYTES):
                    yield piece
        except BaseException:
            db.interrupt()
            copied.exception()
            raise
        copied.result()


# Some users


def ask_for(db: duckdb.DuckDBPyConnection, asked: AskedUsers) -> None:
    """Set the users that the questions are about. Value and key are in no text of SQL."""
    pattern = f"^(?:{'|'.join(asked.hashes)})"
    for name, value in (
        (_ASKED_USER, asked.value),
        (_ASKED_HASHES, pattern),
        (sql.MEMBER_KEY, asked.hash_key),
    ):
        db.execute(f"SET VARIABLE {name} = $1", [value])


def _is_asked(asked: AskedUsers) -> str:
    """Return a condition on ``kind`` and ``value``."""
    if not asked.hashes:
        return f"value = getvariable('{_ASKED_USER}')"
    # One pattern computes each hash once; a list of comparisons computes it for each.
    return f"regexp_matches({sql.MEMBER_HASH}, getvariable('{_ASKED_HASHES}'))"


def only_asked(select: str, asked: AskedUsers, forms: Sequence[Normalization] = ()) -> str:
    """Return a SELECT with at least the rows of the asked users, in these forms too.

    By their hashes, rows are found as they are written. So all rows are read to compare forms.
    """
    if not forms:
        return f"SELECT * FROM ({select}) WHERE {_is_asked(asked)}"
    if asked.hashes:
        return select
    value = normalized(f"getvariable('{_ASKED_USER}')", forms)
    is_same = f"{normalized('value', forms)} = {value}"
    return f"SELECT * FROM ({select}) WHERE {_is_asked(asked)} OR {is_same}"


def load_asked(
    db: duckdb.DuckDBPyConnection,
    number: int,
    select: str,
    asked: AskedUsers,
    forms: Sequence[Normalization],
) -> str:
    """Return a SELECT of the rows that ``only_asked`` leaves, which are read once if few are."""
    if asked.hashes and forms:
        return select
    rows = only_asked(select, asked, forms)
    db.execute(f"CREATE TEMP TABLE asked_rows_{number} AS {rows}")
    return f"SELECT * FROM asked_rows_{number}"


def find_asked(db: duckdb.DuckDBPyConnection, asked: AskedUsers) -> tuple[FoundUser, ...]:
    """Return where the users are: each target, and what is known of the user there."""
    found = db.execute(
        f"""
        SELECT target, kind, value, what, detail FROM (
            SELECT target, kind, value, 'recorded' AS what, '' AS detail FROM recorded
            UNION ALL
            SELECT target, kind, value, coalesce(left_out, 'desired'), '' FROM final_members
            UNION ALL
            SELECT target, kind, value, status, action FROM pairs
        ) WHERE {_is_asked(asked)}
        ORDER BY ALL
        """
    ).fetchall()
    return tuple(
        FoundUser(target_index=target, kind=Kind(kind), value=value, what=what, action=detail)
        for target, kind, value, what, detail in found
    )


def find_asked_in_loads(
    db: duckdb.DuckDBPyConnection,
    asked: AskedUsers,
    loads: Sequence[tuple[Load, Sequence[Normalization]]],
) -> dict[int, tuple[str | None, ...]]:
    """Return the loads that have a user, by number, with the segment values of the rows."""
    found: dict[int, tuple[str | None, ...]] = {}
    for load, forms in loads:
        rows = db.execute(
            f"SELECT DISTINCT segment_value FROM ({only_asked(load.select, asked, forms)}) "
            "ORDER BY 1"
        ).fetchall()
        if rows:
            found[load.number] = tuple(value for (value,) in rows)
    return found
