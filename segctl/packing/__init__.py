"""Packing: send a delta in as few update requests as possible (``docs/packing.md``).

The engine imports ``placing.place``, which packs deltas of any size; ``pack`` is the algorithm
for one shard, and ``Limits`` and ``Packing`` are its values.  Files, databases, the network,
clocks and segment names never belong here: numbered users and operations go in, arrays come out.
"""

from collections.abc import Iterator

import numpy as np

from segctl.packing.assemble import assemble, empty_packing, fill_naively, order_requests
from segctl.packing.bins import fill_requests
from segctl.packing.bound import naive_requests, prove_floor, slot_floor
from segctl.packing.cover import Parts, build_cover, single_ops, whole_rows
from segctl.packing.cover_search import search_covers
from segctl.packing.delta import Delta, build_delta
from segctl.packing.distinct import fill_distinct
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.pairs import pack_pairs

__all__ = ["Limits", "Packing", "pack"]


def pack(user: Ints, op: Ints, *, removal: Bools, limits: Limits | None = None) -> Packing:
    """Return the distinct changes ``(user[i], op[i])`` packed into few requests.

    An operation is one action on one segment.  ``user`` and ``op`` are (N,) numbers from 0;
    ``removal[op]`` is true for operations that remove users.  The result depends only on
    the set of changes, not on their order or the machine.  It never has more requests than
    sending one operation at a time.  Requests with removals come first.

    Raises ValueError if a change is repeated, the arrays differ in length, or a number is
    out of range.
    """
    limits = limits or Limits()
    user, op = np.asarray(user, np.int64), np.asarray(op, np.int64)
    removal = np.asarray(removal, np.bool_)
    _check_changes(user, op, removal)
    if len(user) == 0:
        return empty_packing()
    delta = build_delta(user, op, removal)
    if limits.counting == "pairs":
        return pack_pairs(delta, limits)
    least = slot_floor(delta, limits)
    cover, pieces = fill_naively(delta, limits)
    if limits.counting == "distinct":
        trial, filled = fill_distinct(delta, limits)
        if filled.requests < pieces.requests:
            cover, pieces = trial, filled
    covers = _candidate_covers(delta, limits)
    while pieces.requests > least and (parts := next(covers, None)) is not None:
        trial = build_cover(delta, parts, limits)
        users, ops = np.diff(trial.user_start), np.diff(trial.op_start)
        # skip bin packing if the slot counts alone rule out an improvement
        if max(users.sum() / limits.users, ops.sum() / limits.segments) <= pieces.requests - 1:
            filled = fill_requests(users, ops, trial.removes(delta), limits)
            if filled.requests < pieces.requests:
                cover, pieces = trial, filled
    certificate = prove_floor(delta, limits, requests=pieces.requests)
    pieces = order_requests(cover, pieces, delta, swap=limits.counting == "strict")
    naive = naive_requests(delta, limits)
    return assemble(delta, cover, pieces, naive=naive, certificate=certificate)


def _check_changes(user: Ints, op: Ints, removal: Bools) -> None:
    """Raise ValueError if the arrays are not changes."""
    if user.shape != op.shape or user.ndim != 1:
        raise ValueError("user and op must be one-dimensional arrays of equal length")
    if len(user) == 0:
        return
    if int(user.min()) < 0 or int(op.min()) < 0 or int(op.max()) >= len(removal):
        raise ValueError("users must be >= 0, and operations must be indexes of removal")


def _candidate_covers(delta: Delta, limits: Limits) -> Iterator[Parts]:
    """Yield covers to try, the cheapest to compute first; they are enough for a small delta."""
    yield whole_rows(delta)
    yield single_ops(delta)
    yield from search_covers(delta, limits)
