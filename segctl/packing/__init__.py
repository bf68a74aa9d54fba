"""Packing: carry a delta in as few update requests as possible.

A request carries entries, each a product of users and operations (an operation is
one action on one segment).  ``docs/packing.md`` tells the problem and the method;
``pack`` is the whole interface.
"""

from collections.abc import Iterator

import numpy as np

from segctl.packing.assemble import assemble, empty, order_requests, send_naively
from segctl.packing.bins import fill
from segctl.packing.bound import floor, naive
from segctl.packing.cover import Parts, expand, single_ops, whole_rows
from segctl.packing.delta import Delta, canonical
from segctl.packing.improve import improve
from segctl.packing.model import Bools, Ints, Limits, Packing

__all__ = ["Limits", "Packing", "pack"]


def pack(user: Ints, op: Ints, *, removal: Bools, limits: Limits | None = None) -> Packing:
    """Pack the changes ``(user[i], op[i])``, all different, into few requests.

    ``user`` and ``op`` are (N,) numbers from 0 on; ``removal[op]`` says which operations
    remove.  The result depends on the set of changes alone: not on their order, nor on
    the machine.  It never takes more requests than one operation at a time would.
    """
    limits = limits or Limits()
    user, op = np.asarray(user, np.int64), np.asarray(op, np.int64)
    if user.shape != op.shape or user.ndim != 1:
        raise ValueError("user and op must be of one length: a change is one of each")
    if len(user) == 0:
        return empty()
    delta = canonical(user, op, np.asarray(removal, np.bool_))
    naively, least = naive(delta, limits), floor(delta, limits)
    cover, pieces = send_naively(delta, limits)
    for parts in _covers(delta, limits):
        trial = expand(delta, parts, limits)
        filled = fill(
            np.diff(trial.user_start), np.diff(trial.op_start), trial.removes(delta), limits
        )
        if filled.requests < pieces.requests:
            cover, pieces = trial, filled
        if pieces.requests == least:
            break
    pieces = order_requests(cover, pieces, delta)
    return assemble(delta, cover, pieces, naive=naively, floor=least)


def _covers(delta: Delta, limits: Limits) -> Iterator[Parts]:
    """Yield covers to try, the cheap ones first."""
    yield whole_rows(delta)
    yield single_ops(delta)
    yield from improve(delta, limits)
