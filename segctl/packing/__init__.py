"""Packing: carry a delta in as few update requests as possible.

A request carries entries, each a product of users and operations (an operation is
one action on one segment).  ``docs/packing.md`` tells the problem and the method;
``pack`` is the whole interface.
"""

from collections.abc import Iterator

import numpy as np

from segctl.packing.assemble import assemble, empty, order_requests, send_naively
from segctl.packing.bins import fill
from segctl.packing.bound import floor, naive, priced_floor
from segctl.packing.cover import Parts, expand, single_ops, whole_rows
from segctl.packing.delta import Delta, canonical
from segctl.packing.distinct import fill_distinct
from segctl.packing.improve import improve
from segctl.packing.model import Bools, Ints, Limits, Packing

__all__ = ["Limits", "Packing", "pack"]


def pack(user: Ints, op: Ints, *, removal: Bools, limits: Limits | None = None) -> Packing:
    """Pack the changes ``(user[i], op[i])``, all different, into few requests.

    ``user`` and ``op`` are (N,) numbers from 0 on; ``removal[op]`` says which operations
    remove.  The result depends on the set of changes alone: not on their order, nor on
    the machine.  It never takes more requests than one operation at a time would.
    Requests that carry removals come first.

    Raises ValueError if a change is given twice or the arrays do not match.
    """
    limits = limits or Limits()
    user, op = np.asarray(user, np.int64), np.asarray(op, np.int64)
    removal = np.asarray(removal, np.bool_)
    if user.shape != op.shape or user.ndim != 1:
        raise ValueError("user and op must be of one length: a change is one of each")
    if len(user) == 0:
        return empty()
    if int(user.min()) < 0 or int(op.min()) < 0 or int(op.max()) >= len(removal):
        raise ValueError("users and operations are numbered from 0, operations as in removal")
    delta = canonical(user, op, removal)
    least = floor(delta, limits)
    cover, pieces = send_naively(delta, limits)
    if limits.counting == "distinct":
        trial, filled = fill_distinct(delta, limits)
        if filled.requests < pieces.requests:
            cover, pieces = trial, filled
    covers = _covers(delta, limits)
    while pieces.requests > least and (parts := next(covers, None)) is not None:
        trial = expand(delta, parts, limits)
        users, ops = np.diff(trial.user_start), np.diff(trial.op_start)
        # the slots alone may say that filling it is in vain
        if max(users.sum() / limits.users, ops.sum() / limits.segments) <= pieces.requests - 1:
            filled = fill(users, ops, trial.removes(delta), limits)
            if filled.requests < pieces.requests:
                cover, pieces = trial, filled
    if pieces.requests > least and limits.counting == "strict":
        least = max(least, priced_floor(delta, limits))
    pieces = order_requests(cover, pieces, delta, swap=limits.counting == "strict")
    return assemble(delta, cover, pieces, naive=naive(delta, limits), floor=least)


def _covers(delta: Delta, limits: Limits) -> Iterator[Parts]:
    """Yield covers to try, the cheap ones first: a small delta needs no other."""
    yield whole_rows(delta)
    yield single_ops(delta)
    yield from improve(delta, limits)
