"""Bounds on the number of requests; ``docs/packing.md`` has the proofs of the lower bounds."""

import numpy as np

from segctl.packing.delta import Delta
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets, spans
from segctl.packing.subsets import MAX_PRICE, UNIT, Subsets

MAX_SUBSETS = 4_000_000  # limits work and memory
MAX_WIDTH = 6  # operations of a row that the priced bound uses


def naive_requests(delta: Delta, limits: Limits) -> int:
    """Return the requests needed if each has one operation and as many users as fit."""
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    return int((-(-per_op // limits.users_of_one_op)).sum())


def pair_floor(changes: int, limits: Limits) -> int:
    """Return the requests that any packing of so many pairs needs."""
    return -(-changes // limits.pairs)


def slot_floor(delta: Delta, limits: Limits) -> int:
    """Return a lower bound on requests that holds for both ways of counting.

    A user with k changes needs a slot in at least ceil(k / limits.segments) requests;
    an operation on n users needs one in at least ceil(n / limits.users).
    """
    per_user = np.diff(delta.row_start)
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    user_slots = int((-(-per_user // limits.segments)).sum())
    op_slots = int((-(-per_op // limits.users)).sum())
    return max(-(-user_slots // limits.users), -(-op_slots // limits.segments))


def priced_floor(delta: Delta, limits: Limits) -> int:
    """Return a lower bound on requests for strict counting, by Lagrangian prices.

    At any price p in [0, 1] the slots of one request cost at most 1.  An entry with the
    operations T has at most n users, the lesser of ``limits.users`` and the users with all
    of T.  So each of its users pays at least
    p / limits.users + (1 - p) * |T| / limits.segments / n, and each user pays at least the
    cost of the cheapest split of its row.  Long rows are reduced to a few operations;
    leaving operations out never makes a split more expensive.
    """
    lengths = np.diff(delta.class_start)
    widest = min(MAX_WIDTH, max(1, (MAX_SUBSETS // len(lengths)).bit_length() - 1))
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    start, cols = _keep_rarest(delta, per_op, widest)
    size = delta.class_size
    long = lengths > widest
    # a user of a long row counts for each of its operations: an upper bound for any subset
    weight = np.repeat(np.where(long, size, 0), lengths)
    elsewhere = np.bincount(delta.class_cols, weights=weight, minlength=len(delta.ops))
    subsets = Subsets(start, cols, size, counted=~long)
    holders = subsets.support + subsets.min_over_ops(start, cols, elsewhere.astype(np.int64))
    holders = np.minimum(np.maximum(holders, 1), limits.users)

    def bound_at(price: float) -> int:
        cost_per_user = (
            price + (1 - price) * subsets.width * limits.users / limits.segments / holders
        )
        # round down, and subtract one unit for the error of the floating-point sum
        cost = np.clip(np.floor(UNIT * cost_per_user) - 1, 0, MAX_PRICE).astype(np.int32)
        return -(-subsets.split(cost).value // (UNIT * limits.users))

    # the bound is concave in the price: ternary search for its maximum
    best, low, high = 0, 0.0, 1.0
    for _ in range(7):
        third = (high - low) / 3
        left, right = bound_at(low + third), bound_at(high - third)
        best = max(best, left, right)
        if left < right:
            low += third
        else:
            high -= third
    return best


def _keep_rarest(delta: Delta, per_op: Ints, widest: int) -> tuple[Ints, Ints]:
    """Return the ``widest`` operations of each class that the fewest users have."""
    lengths = np.diff(delta.class_start)
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    order = np.lexsort((delta.class_cols, per_op[delta.class_cols], row))
    kept = np.minimum(lengths, widest)
    start = offsets(kept)
    chosen = delta.class_cols[order][spans(delta.class_start[:-1], kept)]
    return start, chosen
