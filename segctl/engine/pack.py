"""From the delta to requests: its columns to the packer, and the packer's answer beside them."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.engine.model import Counting, PackingSummary
from segctl.packing import Limits
from segctl.packing.placing import Numbers, Placing, place

Action = tuple[int, str]
"""A target, and ADD or REMOVE."""

_STEP = 1 << 20

_COLUMNS = """
SELECT op, settle_from IS NOT NULL AS late,
       value IS DISTINCT FROM lag(value) OVER () OR kind IS DISTINCT FROM lag(kind) OVER () AS first
FROM sorted
"""


def pack_delta(
    db: duckdb.DuckDBPyConnection, actions: Sequence[Action], counting: Counting
) -> PackingSummary:
    """Pack ``sorted``, whose operations are numbered as ``actions``; fill ``places``.

    What waits for a settle time is packed apart and goes last.
    """
    found = db.execute(_COLUMNS).fetchnumpy()
    first, op, late = (np.asarray(found[name]) for name in ("first", "op", "late"))
    person: Numbers = np.cumsum(first, dtype=np.int32)
    person -= 1
    removal = np.array([action == "REMOVE" for _, action in actions], dtype=np.bool_)
    limits = Limits(counting=counting)
    if not bool(late.any()):
        placing = place(person, op, removal=removal, limits=limits)
        _write(db, person, op, placing.entry, placing.request)
        return _packed(placing)
    now = place(person[~late], op[~late], removal=removal, limits=limits)
    then = place(person[late], op[late], removal=removal, limits=limits)
    entry: Numbers = np.empty(len(op), np.int32)
    entry[~late] = now.entry
    entry[late] = then.entry + len(now.request)
    request = np.concatenate([now.request, then.request + now.requests])
    _write(db, person, op, entry, request)
    return PackingSummary(
        requests=now.requests + then.requests,
        naive=now.naive + then.naive,
        floor=now.floor + then.floor,
        settle_from=now.requests,
    )


def _packed(placing: Placing) -> PackingSummary:
    return PackingSummary(
        requests=placing.requests,
        naive=placing.naive,
        floor=placing.floor,
        settle_from=placing.requests,
    )


def _write(
    db: duckdb.DuckDBPyConnection, person: Numbers, op: Numbers, entry: Numbers, request: Numbers
) -> None:
    """Put beside each change where it travels, and whether it names a user or an action there.

    An entry is the product of its users and its operations: its first operation has all
    users, its first user all operations.
    """
    first = np.empty(len(request), np.int32)
    first[entry[::-1]] = np.arange(len(entry), dtype=np.int32)[::-1]  # the last one counts
    names, acts = np.empty(len(entry), np.bool_), np.empty(len(entry), np.bool_)
    for begin in range(0, len(entry), _STEP):
        some = slice(begin, begin + _STEP)
        opening = first[entry[some]]
        names[some] = op[some] == op[opening]
        acts[some] = person[some] == person[opening]
    columns = {"entry": entry, "request": request[entry], "person": person}
    db.register("columns_in", {**columns, "names": names, "acts": acts})
    db.execute("CREATE OR REPLACE TABLE places AS FROM columns_in")
    db.unregister("columns_in")
