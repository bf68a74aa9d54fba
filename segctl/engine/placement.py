"""Place the changes of a delta in entries and requests: its columns go to ``packing``."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.core.request_limits import Counting, Limits
from segctl.engine.model import PackingSummary
from segctl.packing.model import Bools
from segctl.packing.placed import Numbers
from segctl.packing.placing import place

_COLUMNS = """
SELECT getvariable('operations')[2 * target + (action = 'ADD')::INTEGER + 1] AS op,
       settle_from IS NOT NULL AS must_settle,
       value IS DISTINCT FROM lag(value) OVER () OR kind IS DISTINCT FROM lag(kind) OVER ()
           AS is_new_user
FROM delta
"""


def place_changes(
    db: duckdb.DuckDBPyConnection, operations: Sequence[tuple[int, str]], counting: Counting
) -> PackingSummary:
    """Pack ``delta`` and create ``placement``, a row for each of its rows.

    ``operations`` are the targets and actions of the delta. Users are numbered by their order in
    the delta and operations by theirs, so packing depends on the content of the delta alone.
    Changes that wait for a settle time are packed separately, into the last requests.
    """
    person, op, must_settle = _fetch_columns(db, operations)
    order = None
    if bool(((person[1:] == person[:-1]) & (op[1:] < op[:-1])).any()):
        order = np.lexsort((op, person))
        person, op, must_settle = person[order], op[order], must_settle[order]
    removal = np.array([action == "REMOVE" for _, action in operations], dtype=np.bool_)
    limits = Limits(counting=counting)
    if not bool(must_settle.any()):
        placing = place(person, op, removal=removal, limits=limits)
        _create_placement(db, placing.entry, placing.request, order)
        return PackingSummary(
            requests=placing.requests,
            naive=placing.naive,
            certificates=(placing.certificate,),
            settle_from=placing.requests,
        )
    first = place(person[~must_settle], op[~must_settle], removal=removal, limits=limits)
    last = place(person[must_settle], op[must_settle], removal=removal, limits=limits)
    entry: Numbers = np.empty(len(op), np.int32)
    entry[~must_settle] = first.entry
    entry[must_settle] = last.entry + len(first.request)
    request = np.concatenate([first.request, last.request + first.requests])
    _create_placement(db, entry, request, order)
    return PackingSummary(
        requests=first.requests + last.requests,
        naive=first.naive + last.naive,
        certificates=tuple(part.certificate for part in (first, last) if part.requests),
        settle_from=first.requests,
    )


def _fetch_columns(
    db: duckdb.DuckDBPyConnection, operations: Sequence[tuple[int, str]]
) -> tuple[Numbers, Numbers, Bools]:
    """Return the user, the operation, and whether it has to wait, of each change."""
    numbers = [-1] * (2 * max(target for target, _ in operations) + 2)
    for number, (target, action) in enumerate(operations):
        numbers[2 * target + (action == "ADD")] = number
    db.execute("SET VARIABLE operations = $1::INTEGER[]", [numbers])
    columns = db.execute(_COLUMNS).fetchnumpy()
    op, must_settle = np.asarray(columns["op"]), np.asarray(columns["must_settle"])
    person: Numbers = np.cumsum(np.asarray(columns["is_new_user"]), dtype=np.int32)
    person -= 1
    return person, op, must_settle


def _create_placement(
    db: duckdb.DuckDBPyConnection,
    entry: Numbers,
    request: Numbers,
    order: np.ndarray[tuple[int], np.dtype[np.int64]] | None,
) -> None:
    """Create the table with the entry, the request and the place of each change.

    The place is the row number in sending order: by entry, then by user, then by operation.
    ``order`` are the rows of the delta that the entries are for; ``None`` if they are in order.
    """
    place: Numbers = np.empty(len(entry), np.int32)
    place[np.argsort(entry, kind="stable")] = np.arange(len(entry), dtype=np.int32)
    if order is not None:
        entry, place = _reorder(entry, order), _reorder(place, order)
    db.register("placement_columns", {"entry": entry, "request": request[entry], "place": place})
    db.execute("CREATE OR REPLACE TABLE placement AS FROM placement_columns")
    db.unregister("placement_columns")


def _reorder(column: Numbers, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Numbers:
    result = np.empty_like(column)
    result[order] = column
    return result
