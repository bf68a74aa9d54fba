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
from segctl.engine.model import FoundUser, MemberList, RecordedFiles
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

_IS_ASKED = f"value = getvariable('{_ASKED_USER}')"

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
    if not file:
        members = f"SELECT kind, value FROM ({members}) ORDER BY {sql.MEMBER_ORDER}"
    lines = select_lines(members, masked=wanted.masked, with_kind=wanted.with_kind)
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


# One user


def ask_for(db: duckdb.DuckDBPyConnection, value: str) -> None:
    """Set the user that the questions are about. The value is in no text of SQL."""
    db.execute(f"SET VARIABLE {_ASKED_USER} = $1", [value])


def only_asked(select: str, forms: Sequence[Normalization] = ()) -> str:
    """Return a SELECT with only the rows of the user, in these forms too."""
    asked = normalized(f"getvariable('{_ASKED_USER}')", forms)
    is_same = f" OR {normalized('value', forms)} = {asked}" if forms else ""
    return f"SELECT * FROM ({select}) WHERE {_IS_ASKED}{is_same}"


def find_asked(db: duckdb.DuckDBPyConnection) -> tuple[FoundUser, ...]:
    """Return where the user is: each target, and what is known of the user there."""
    found = db.execute(
        f"""
        SELECT target, kind, 'recorded' AS what, '' AS detail FROM recorded WHERE {_IS_ASKED}
        UNION ALL
        SELECT target, kind, coalesce(left_out, 'desired'), '' FROM final_members WHERE {_IS_ASKED}
        UNION ALL
        SELECT target, kind, status, action FROM pairs WHERE {_IS_ASKED}
        ORDER BY ALL
        """
    ).fetchall()
    return tuple(
        FoundUser(target_index=target, kind=Kind(kind), what=what, action=detail)
        for target, kind, what, detail in found
    )


def find_asked_in_loads(
    db: duckdb.DuckDBPyConnection, loads: Sequence[tuple[Load, Sequence[Normalization]]]
) -> dict[int, tuple[str | None, ...]]:
    """Return the loads that have the user, by number, with the segment values of the rows."""
    found: dict[int, tuple[str | None, ...]] = {}
    for load, forms in loads:
        rows = db.execute(
            f"SELECT DISTINCT segment_value FROM ({only_asked(load.select, forms)}) ORDER BY 1"
        ).fetchall()
        if rows:
            found[load.number] = tuple(value for (value,) in rows)
    return found
