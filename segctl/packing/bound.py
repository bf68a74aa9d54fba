"""Numbers of requests that no packing can go below; ``docs/packing.md`` has the proofs."""

import numpy as np

from segctl.packing.delta import Delta
from segctl.packing.model import Limits


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
