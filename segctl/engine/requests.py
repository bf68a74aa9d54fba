"""From the delta to requests: its columns to the packer, and the packer's answer beside them."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.engine.base import Counting, Packed
from segctl.packing import Limits
from segctl.packing.placing import Numbers, place

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
    now = place(person[~late], op[~late], removal=removal, limits=limits)
    then = place(person[late], op[late], removal=removal, limits=limits)
    entry: Numbers = np.empty(len(op), np.int32)
    entry[~late] = now.entry
    entry[late] = then.entry + len(now.request)
    _assign(db, entry, np.concatenate([now.request, then.request + now.requests]))
    return Packed(
        requests=now.requests + then.requests,
        naive=now.naive + then.naive,
        floor=now.floor + then.floor,
        settle_from=now.requests,
    )


def _assign(db: duckdb.DuckDBPyConnection, entry: Numbers, request: Numbers) -> None:
    """Put the entry and the request of each change beside it, row by row."""
    db.register("columns_in", {"entry": entry, "request": request[entry]})
    db.execute("CREATE OR REPLACE TABLE assigned AS SELECT entry, request FROM columns_in")
    db.unregister("columns_in")
