"""Numbers of requests that no packing can go below; ``docs/packing.md`` has the proofs."""

import numpy as np

from segctl.packing.delta import Delta
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets, spans
from segctl.packing.subsets import DEAREST, UNIT, Subsets

SUBSETS = 4_000_000  # subsets looked at: bounds work and memory
WIDEST = 6


def naive(delta: Delta, limits: Limits) -> int:
    """Count the requests that carry one operation for up to ``limits.users`` users each."""
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    return int((-(-per_op // limits.users)).sum())


def floor(delta: Delta, limits: Limits) -> int:
    """Bound from below under either way of counting.

    A user with k changes takes a slot in at least ceil(k / limits.segments) requests;
    an operation on n users in at least ceil(n / limits.users).
    """
    per_user = np.diff(delta.row_start)
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    user_slots = int((-(-per_user // limits.segments)).sum())
    op_slots = int((-(-per_op // limits.users)).sum())
    return max(-(-user_slots // limits.users), -(-op_slots // limits.segments))


def priced_floor(delta: Delta, limits: Limits) -> int:
    """Bound from below when entries' users and operations are summed.

    At any price p the slots of one request cost at most 1.  An entry with operations T
    has no more users than a request takes, nor than have all of T; so each of its
    users can be charged p / limits.users + (1 - p) * |T| / limits.segments / that number,
    and no user gets off cheaper than by the cheapest split of its row.  Of long rows a
    few operations are looked at: to leave some out makes no split dearer.
    """
    lengths = np.diff(delta.class_start)
    widest = min(WIDEST, max(1, (SUBSETS // len(lengths)).bit_length() - 1))
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    start, cols = _rarest(delta, per_op, widest)
    size = delta.class_size
    long = lengths > widest
    # users of long rows may hold any set of the operations they have
    weight = np.repeat(np.where(long, size, 0), lengths)
    elsewhere = np.bincount(delta.class_cols, weights=weight, minlength=len(delta.ops))
    subsets = Subsets(start, cols, size, counted=~long)
    holders = subsets.support + subsets.least(start, cols, elsewhere.astype(np.int64))
    holders = np.minimum(np.maximum(holders, 1), limits.users)

    def value(price: float) -> int:
        one = price + (1 - price) * subsets.width * limits.users / limits.segments / holders
        # rounded down, and one unit more for the last bit of the floating-point sum
        cost = np.clip(np.floor(UNIT * one) - 1, 0, DEAREST).astype(np.int32)
        return -(-subsets.split(cost).value // (UNIT * limits.users))

    # the value is concave in the price: halve towards its top
    best, low, high = 0, 0.0, 1.0
    for _ in range(7):
        third = (high - low) / 3
        left, right = value(low + third), value(high - third)
        best = max(best, left, right)
        if left < right:
            low += third
        else:
            high -= third
    return best


def _rarest(delta: Delta, per_op: Ints, widest: int) -> tuple[Ints, Ints]:
    """Keep of each class the ``widest`` operations that fewest users have."""
    lengths = np.diff(delta.class_start)
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    order = np.lexsort((delta.class_cols, per_op[delta.class_cols], row))
    kept = np.minimum(lengths, widest)
    start = offsets(kept)
    chosen = delta.class_cols[order][spans(delta.class_start[:-1], kept)]
    return start, chosen
