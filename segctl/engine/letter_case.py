"""Which recorded sets have no upper-case letter, as their base files say.

Values of a list that differ only in case are reported. A list whose members are recorded and have
no upper-case letter needs no look at each value: only those that are not recorded can have one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from segctl.core.identity import Kind
from segctl.engine import sql
from segctl.engine.anomalies import add_case_variants
from segctl.engine.compare import Load
from segctl.engine.model import Anomalies, InlineRows, RecordedFiles, TargetMembers

HAS_UPPER_CASE = f"kind = '{Kind.IDENTITY}' AND value <> lower(value)"
"""Whether a member is an identity that differs from its lower-case form."""

LOWER_CASE_OPTION = "KV_METADATA {letter_case: 'lower'}"
"""The option of COPY that says of a base file that no member has an upper-case letter."""

ROWS_PER_INSPECTED_FILE = 10_000
"""With fewer rows for each base file, it takes less time to look at the values."""

_LOWER_CASE_FILES = """
SELECT file_name FROM parquet_kv_metadata({files}) WHERE key = 'letter_case' AND value = 'lower'
"""

_CHANGED_TO_UPPER_CASE = (
    f"SELECT DISTINCT target FROM net_changes WHERE sign > 0 AND {HAS_UPPER_CASE}"
)

_UNMATCHED_UPPER_CASE = (
    f"SELECT DISTINCT load FROM unmatched WHERE load IS NOT NULL AND {HAS_UPPER_CASE}"
)


def find_lower_case_targets(
    db: duckdb.DuckDBPyConnection, recorded: Mapping[int, RecordedFiles]
) -> set[int]:
    """Return the targets that are known to have no upper-case letter.

    Call ``view_recorded`` first.
    """
    bases = {str(files.base) for files in recorded.values() if files.base}
    lower: set[str] = set()
    if bases:
        query = _LOWER_CASE_FILES.format(files=sql.file_names(map(Path, sorted(bases))))
        lower = {name for (name,) in db.execute(query).fetchall()}
    found = {index for index, f in recorded.items() if not f.base or str(f.base) in lower}
    if any(recorded[index].changes for index in found):
        found -= {index for (index,) in db.execute(_CHANGED_TO_UPPER_CASE).fetchall()}
    return found


def inspect_letter_case(
    db: duckdb.DuckDBPyConnection,
    loads: Sequence[Load],
    wanted: set[int],
    recorded: Mapping[int, RecordedFiles],
    *,
    is_unfiltered: bool,
) -> dict[int, Anomalies]:
    """Return the anomalies of the loads that have values that differ in case, by number.

    Call it after ``compare``. ``is_unfiltered`` is true if all rows of the loads took part in it.
    """
    listed = [load for load in loads if not isinstance(load.source, InlineRows | TargetMembers)]
    lower, upper = set[int](), set[int]()
    files = sum(1 for each in recorded.values() if each.base)
    if is_unfiltered and sum(load.rows for load in listed) >= files * ROWS_PER_INSPECTED_FILE:
        lower = find_lower_case_targets(db, recorded) & wanted
        upper = {number for (number,) in db.execute(_UNMATCHED_UPPER_CASE).fetchall()}
    return {
        load.number: add_case_variants(db, load.anomalies, load.select)
        for load in listed
        if load.number in upper or not load.targets or not lower.issuperset(load.target_indexes())
    }
