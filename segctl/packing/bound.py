"""Bounds on the number of requests; ``docs/packing.md`` has the proofs of the lower bounds."""

import numpy as np

from segctl.core.certificate import Certificate
from segctl.packing.delta import Delta
from segctl.packing.model import Limits
from segctl.packing.split_bound import prove_by_splits
from segctl.packing.width_bound import prove_by_widths


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


def prove_floor(delta: Delta, limits: Limits, *, requests: int) -> Certificate:
    """Return the certificate of the best lower bound for a packing with ``requests`` requests.

    The bound by slots is proven first; if the packing reaches it, no other is tried.
    """
    if limits.counting == "pairs":
        return Certificate(proof="pairs", floor=pair_floor(len(delta.cols), limits))
    best = Certificate(proof="slots", floor=slot_floor(delta, limits))
    if limits.counting == "strict" and requests > best.floor:
        other = prove_by_splits(delta, limits) or prove_by_widths(
            delta, limits, by_ops=len(delta.ops) > len(delta.users)
        )
        if other is not None and other.floor > best.floor:
            best = other
    return best
