"""From the delta to requests: columns to the packer, and its answer back into tables."""

from collections.abc import Sequence

import duckdb
import numpy as np

from segctl.engine.base import Counting, Packed
from segctl.packing import Limits, Packing, pack

Action = tuple[int, str]
"""A target, and ADD or REMOVE."""


def pack_delta(
    db: duckdb.DuckDBPyConnection,
    keys: Sequence[str],
    counting: Counting,
    *,
    settle_seconds: float,
) -> Packed:
    """Pack the delta; see ``Engine.pack``.

    ``people`` and ``delta`` are there; makes ``ops`` and what each entry holds.
    """
    found = db.execute("SELECT DISTINCT target, action FROM delta").fetchall()
    actions: list[Action] = sorted(found, key=lambda op: (keys[op[0]], op[1]))
    db.execute(
        "CREATE OR REPLACE TABLE ops AS SELECT unnest($1::INTEGER[]) AS target, "
        "unnest($2::VARCHAR[]) AS action, unnest($3::INTEGER[]) AS number",
        [
            [target for target, _ in actions],
            [action for _, action in actions],
            list(range(len(actions))),
        ],
    )
    limits = Limits(counting=counting)
    now = _packed(db, "settle_from IS NULL", actions, limits)
    late = _packed(db, "settle_from IS NOT NULL", actions, limits)
    _carry(db, now, late)
    [[asked]] = db.execute("SELECT max(settle_from) FROM delta").fetchall()
    return Packed(
        requests=now.requests + late.requests,
        naive=now.naive + late.naive,
        floor=now.floor + late.floor,
        settle_from=now.requests,
        settled_at=0.0 if asked is None else asked + settle_seconds,
    )


def _packed(
    db: duckdb.DuckDBPyConnection, which: str, actions: Sequence[Action], limits: Limits
) -> Packing:
    columns = db.execute(
        "SELECT p.number AS person, o.number AS op FROM delta AS d "
        "JOIN people AS p ON d.kind = p.kind AND d.value = p.value "
        f"JOIN ops AS o ON d.target = o.target AND d.action = o.action WHERE {which}"
    ).fetchnumpy()
    removal = np.array([action == "REMOVE" for _, action in actions], dtype=np.bool_)
    return pack(
        np.asarray(columns["person"], dtype=np.int64),
        np.asarray(columns["op"], dtype=np.int64),
        removal=removal,
        limits=limits,
    )


def _carry(db: duckdb.DuckDBPyConnection, now: Packing, late: Packing) -> None:
    """Put both packings into tables: who and what each entry of each request holds."""
    request = np.concatenate([now.request, late.request + now.requests])
    entry = np.arange(len(request), dtype=np.int64)
    user_counts = np.concatenate([np.diff(now.user_start), np.diff(late.user_start)])
    op_counts = np.concatenate([np.diff(now.op_start), np.diff(late.op_start)])
    tables = {
        "entry_requests": {"entry": entry, "request": request},
        "entry_people": {
            "entry": np.repeat(entry, user_counts),
            "number": np.concatenate([now.users, late.users]),
        },
        "entry_ops": {
            "entry": np.repeat(entry, op_counts),
            "number": np.concatenate([now.ops, late.ops]),
        },
    }
    for table, columns in tables.items():
        db.register("columns_in", columns)
        db.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM columns_in")
        db.unregister("columns_in")
