"""Check the number of requests and the lower bound of a saved delta, without the packer."""

from collections.abc import Sequence
from typing import Any

import duckdb

from segctl.core.certificate import Certificate, CheckedPacking
from segctl.core.request_limits import Counting
from segctl.engine import sql
from segctl.engine.model import SavedPlanError, SavedPlanFiles

MAX_USERS = MAX_OPERATIONS = 100
"""The limits of one update request: users, and operations on segments."""

WIDTHS = ("user widths", "operation widths")

_SAVED = """
CREATE OR REPLACE TEMP TABLE saved_packing AS
SELECT dense_rank() OVER (ORDER BY {order}) - 1 AS person,
       dense_rank() OVER (ORDER BY list_extract($keys, target + 1), action) - 1 AS op,
       request >= $settle_from AS waits
FROM read_parquet({delta}) WHERE request >= 0
"""
"""Users and operations by number: operations by the id of their segment, then by action."""

_NAIVE = """
SELECT coalesce(sum(ceil(changes / $users)), 0)::BIGINT
FROM (SELECT count(*) AS changes FROM saved_packing GROUP BY waits, op)
"""

_SLOTS = """
SELECT greatest(
    (SELECT ceil(sum(ceil(n / {ops})) / {users})
     FROM (SELECT count(*) AS n FROM saved_packing WHERE waits = $waits GROUP BY person)),
    (SELECT ceil(sum(ceil(n / {users})) / {ops})
     FROM (SELECT count(*) AS n FROM saved_packing WHERE waits = $waits GROUP BY op))
)::BIGINT
"""

_PARTS = "SELECT waits, count(*) FROM saved_packing GROUP BY waits ORDER BY waits"
"""The changes that are sent at once, and those that wait."""

_COLUMNS = "SELECT person, op FROM saved_packing WHERE waits = $waits ORDER BY person, op"


def check_saved_packing(
    db: duckdb.DuckDBPyConnection, files: SavedPlanFiles, certificates: Sequence[Certificate]
) -> CheckedPacking:
    """Return what the changes of a saved plan prove; see ``PlanProver.check_packing``."""
    counting = files.counting
    try:
        db.execute(
            _SAVED.replace("{delta}", sql.file_name(files.delta)).replace(
                "{order}", sql.MEMBER_ORDER
            ),
            {"keys": list(files.keys), "settle_from": files.settle_from},
        )
        users_of_one_op = min(MAX_USERS, MAX_OPERATIONS) if counting == "pairs" else MAX_USERS
        [[naive]] = db.execute(_NAIVE, {"users": users_of_one_op}).fetchall()
        parts = db.execute(_PARTS).fetchall()
        if len(parts) != len(certificates):
            raise SavedPlanError("it has another number of certificates than parts")
        return CheckedPacking(
            changes=sum(changes for _, changes in parts),
            naive=naive,
            proven=tuple(
                _prove(db, certificate, counting, waits=waits, changes=changes)
                for (waits, changes), certificate in zip(parts, certificates, strict=True)
            ),
        )
    finally:
        db.execute("DROP TABLE IF EXISTS saved_packing")


def _prove(
    db: duckdb.DuckDBPyConnection,
    certificate: Certificate,
    counting: Counting,
    *,
    waits: bool,
    changes: int,
) -> int:
    """Return the lower bound that the theorem of a certificate proves for a part of the delta."""
    theorems = {"pairs": ("pairs",), "distinct": ("slots",), "strict": ("slots", "splits", *WIDTHS)}
    if certificate.proof not in theorems[counting]:
        raise SavedPlanError(f"a certificate by {certificate.proof} proves nothing")
    if certificate.proof == "pairs":
        return -(-changes // min(MAX_USERS, MAX_OPERATIONS))
    if certificate.proof == "slots":
        query = _SLOTS.format(users=MAX_USERS, ops=MAX_OPERATIONS)
        [[floor]] = db.execute(query, {"waits": waits}).fetchall()
        return int(floor)
    columns = db.execute(_COLUMNS, {"waits": waits}).fetchnumpy()
    return _recompute(columns["person"], columns["op"], certificate)


def _recompute(person: Any, op: Any, certificate: Certificate) -> int:
    from segctl.checking import splits, widths  # noqa: PLC0415 - numpy; only for such certificates

    is_by_widths = certificate.proof in WIDTHS
    if not (widths if is_by_widths else splits).is_checkable(certificate):
        raise SavedPlanError("the numbers of a certificate are impossible")
    if certificate.proof == "splits":
        return splits.recompute_floor(
            person, op, certificate, max_users=MAX_USERS, max_ops=MAX_OPERATIONS
        )
    if certificate.proof == "user widths":
        return widths.recompute_floor(
            person, op, certificate, max_lines=MAX_USERS, max_cells=MAX_OPERATIONS
        )
    return widths.recompute_floor(
        op, person, certificate, max_lines=MAX_OPERATIONS, max_cells=MAX_USERS
    )
