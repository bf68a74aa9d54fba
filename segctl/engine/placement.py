"""Place the changes of a sorted delta in entries and requests: its columns go to ``packing``."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.engine.model import Counting, PackingSummary
from segctl.packing import Limits
from segctl.packing.placed import Numbers
from segctl.packing.placing import place

_SLICE = 1 << 20
"""Changes that are compared with the first of their entry at a time."""

_COLUMNS = """
SELECT op, settle_from IS NOT NULL AS must_settle,
       value IS DISTINCT FROM lag(value) OVER () OR kind IS DISTINCT FROM lag(kind) OVER ()
           AS is_new_user
FROM sorted_delta
"""


def place_changes(
    db: duckdb.DuckDBPyConnection, actions: Sequence[str], counting: Counting
) -> PackingSummary:
    """Pack ``sorted_delta`` and create ``placement``, a row for each of its rows.

    ``actions`` are the actions of the operations, by number. Changes that wait for a settle time
    are packed separately, into the last requests.
    """
    columns = db.execute(_COLUMNS).fetchnumpy()
    is_new_user, op, must_settle = (
        np.asarray(columns[name]) for name in ("is_new_user", "op", "must_settle")
    )
    person: Numbers = np.cumsum(is_new_user, dtype=np.int32)
    person -= 1
    removal = np.array([action == "REMOVE" for action in actions], dtype=np.bool_)
    limits = Limits(counting=counting)
    if not bool(must_settle.any()):
        placing = place(person, op, removal=removal, limits=limits)
        _create_placement(db, person, op, placing.entry, placing.request)
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
    _create_placement(db, person, op, entry, request)
    return PackingSummary(
        requests=first.requests + last.requests,
        naive=first.naive + last.naive,
        certificates=(first.certificate, last.certificate),
        settle_from=first.requests,
    )


def _create_placement(
    db: duckdb.DuckDBPyConnection, person: Numbers, op: Numbers, entry: Numbers, request: Numbers
) -> None:
    """Create the table with the entry and request of each change.

    An entry is the product of its users and its operations, so its first operation has all its
    users and its first user all its operations. ``names_user`` and ``names_op`` mark these rows:
    together they name each user and each operation of an entry once.
    """
    first_change = np.empty(len(request), np.int32)
    # Of several assignments to one index the last counts, hence the reverse order.
    first_change[entry[::-1]] = np.arange(len(entry), dtype=np.int32)[::-1]
    names_user, names_op = np.empty(len(entry), np.bool_), np.empty(len(entry), np.bool_)
    for begin in range(0, len(entry), _SLICE):
        slice_ = slice(begin, begin + _SLICE)
        first = first_change[entry[slice_]]
        names_user[slice_] = op[slice_] == op[first]
        names_op[slice_] = person[slice_] == person[first]
    columns = {
        "entry": entry,
        "request": request[entry],
        "person": person,
        "names_user": names_user,
        "names_op": names_op,
    }
    db.register("placement_columns", columns)
    db.execute("CREATE OR REPLACE TABLE placement AS FROM placement_columns")
    db.unregister("placement_columns")
