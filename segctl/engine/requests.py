"""From the delta to requests: its columns to the packer, and the packer's answer beside them."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.engine.base import Counting, Packed
from segctl.packing import Limits
from segctl.packing.placing import Numbers, Placing, place

Action = tuple[int, str]
"""A target, and ADD or REMOVE."""


def pack_delta(
    db: duckdb.DuckDBPyConnection, actions: Sequence[Action], counting: Counting
) -> Packed:
    """Pack ``changes``, whose operations are numbered as ``actions``; fill ``assigned``.

    What waits for a settle time is packed apart and goes last.
    """
    columns = db.execute("SELECT person, op, settle_from IS NOT NULL AS late FROM changes")
    found = columns.fetchnumpy()
    person, op, late = (np.asarray(found[name]) for name in ("person", "op", "late"))
    removal = np.array([action == "REMOVE" for _, action in actions], dtype=np.bool_)
    limits = Limits(counting=counting)
    if not bool(late.any()):
        placing = place(person, op, removal=removal, limits=limits)
        _assign(db, placing.entry, placing.request)
        return _packed(placing)
    now = place(person[~late], op[~late], removal=removal, limits=limits)
    then = place(person[late], op[late], removal=removal, limits=limits)
    entry: Numbers = np.empty(len(op), np.int32)
    entry[~late] = now.entry
    entry[late] = then.entry + len(now.request)
    _assign(db, entry, np.concatenate([now.request, then.request + now.requests]))
    first, last = _packed(now), _packed(then)
    return Packed(
        requests=first.requests + last.requests,
        naive=first.naive + last.naive,
        floor=first.floor + last.floor,
        settle_from=first.requests,
    )


def _packed(placing: Placing) -> Packed:
    return Packed(
        requests=placing.requests,
        naive=placing.naive,
        floor=placing.floor,
        settle_from=placing.requests,
    )


def _assign(db: duckdb.DuckDBPyConnection, entry: Numbers, request: Numbers) -> None:
    """Put the entry and the request of each change beside it, row by row."""
    db.register("columns_in", {"entry": entry, "request": request[entry]})
    db.execute("CREATE OR REPLACE TABLE assigned AS SELECT entry, request FROM columns_in")
    db.unregister("columns_in")
