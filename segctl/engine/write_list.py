"""Write the members of one list as a base file of the state, without comparing them.

One pass over the list checks and digests its rows. Then they are sorted straight into the file, in
which a repeated row follows its first one.
"""

from dataclasses import replace
from pathlib import Path

import duckdb

from segctl.core.identity import IdentityProblem, Kind, SetDigest
from segctl.engine import sql
from segctl.engine.anomalies import find_anomalies
from segctl.engine.compare import Load
from segctl.engine.fold import write_base
from segctl.engine.letter_case import HAS_UPPER_CASE
from segctl.engine.load_stats import add_first_rows
from segctl.engine.model import FileScan, FoldedTarget, LoadStats
from segctl.engine.read import RowReader
from segctl.engine.resource_errors import is_resource_error

_CHECK = (
    f"SELECT count(*), {sql.digest_sums(sql.ENCODED_MEMBER)}, count({sql.VALUE_PROBLEM}), "
    f"count_if({HAS_UPPER_CASE}) FROM ({{rows}})"
)
_INVALID = (
    f"SELECT {sql.VALUE_PROBLEM} AS problem, count(*) FROM ({{rows}}) "
    "GROUP BY problem HAVING problem IS NOT NULL ORDER BY problem"
)

_WITH_REPEATED = """
SELECT kind, value, value = lag(value) OVER () AS is_repeated FROM {table}
"""
"""The rows of a sorted file of one kind, in ``sql.preserve_order``."""


def write_list(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    reader: RowReader,
    files: FileScan,
    *,
    number: int,
) -> tuple[LoadStats, FoldedTarget | None]:
    """Return the stats of a list and its base file; see ``MemberComparer.write_list``."""
    select = reader.prepare(files, number)
    try:
        query = _CHECK.replace("{rows}", select)
        [[rows, high, low, invalid, upper]] = db.execute(query).fetchall()
        stats = LoadStats(rows=rows, duplicates=0)
        if invalid:
            found = db.execute(_INVALID.replace("{rows}", select)).fetchall()
            stats = replace(stats, invalid={IdentityProblem(name): n for name, n in found})
            load = Load(number=number, source=files, select=select, rows=rows, targets=[])
            return add_first_rows(db, load, stats, reader.select_in_order), None
        anomalies = find_anomalies(db, reader.readable(files), select, has_upper_case=bool(upper))
        listed = sql.digest_from_sums(rows, high, low)
        folded = _write(db, scratch, select, files.kind, listed=listed, is_lower_case=not upper)
    except duckdb.Error as error:
        if is_resource_error(error):
            raise
        raise reader.explain_error(error, files) from error
    duplicates = rows - folded.digest.count
    return replace(stats, duplicates=duplicates, anomalies=anomalies), folded


def _write(
    db: duckdb.DuckDBPyConnection,
    scratch: Path,
    select: str,
    kind: Kind,
    *,
    listed: SetDigest,
    is_lower_case: bool,
) -> FoldedTarget:
    """Write the distinct rows of a list. ``listed`` digests all rows.

    Raises ``StateDamaged`` if there are not as many.
    """
    if not listed.count:
        return FoldedTarget(digest=listed)
    in_order = f"SELECT value FROM ({select}) ORDER BY value"
    members = f"SELECT {sql.literal(kind)} AS kind, value FROM ({in_order})"
    count = listed.count
    file = write_base(db, scratch, members, rows=count, is_lower_case=is_lower_case)
    rows = _WITH_REPEATED.format(table=f"read_parquet({sql.file_name(file)})")
    with sql.preserve_order(db):
        [[repeated]] = db.execute(f"SELECT count(*) FROM ({rows}) WHERE is_repeated").fetchall()
    if not repeated:
        return FoldedTarget(digest=listed, has_changed=True, base=file)
    distinct = f"SELECT kind, value FROM ({rows}) WHERE is_repeated IS NOT TRUE"
    count -= repeated
    base = write_base(db, scratch, distinct, rows=count, is_lower_case=is_lower_case)
    file.unlink()
    [sums] = db.execute(
        f"SELECT count(*), {sql.digest_sums(sql.ENCODED_MEMBER)} "
        f"FROM read_parquet({sql.file_name(base)})"
    ).fetchall()
    return FoldedTarget(digest=sql.digest_from_sums(*sums), has_changed=True, base=base)
