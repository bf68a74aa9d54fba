"""Packing for pair counting: a request has at most ``limits.pairs`` (user, operation) pairs.

Any cut of the changes into runs of that length is optimal.  The rows of users with equal
changes are placed end to end, so that a request has few entries, and most users have all
their changes in one request.
"""

import numpy as np

from segctl.packing.bound import naive_requests, prove_floor
from segctl.packing.delta import Delta
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.placed import Numbers, Placed, sort_removals_first
from segctl.packing.ragged import offsets, spans


def cut_rows(
    width: Ints | Numbers, class_number: Ints | Numbers, removes: Bools, limits: Limits
) -> Placed:
    """Return the entries and requests of all changes, requests with most removals first.

    User ``u`` has ``width[u]`` changes and is in the class ``class_number[u]`` of users with
    equal changes.  ``removes`` is whether each change removes, in the order of the users.
    """
    start = offsets(width.astype(np.int64))
    removals = np.add.reduceat(removes.astype(np.int64), start[:-1])
    order = np.lexsort((class_number, -removals))
    ordered_width = width[order].astype(np.int64)
    ordered_class = class_number[order]
    ordered_start = offsets(ordered_width)
    begin, end = ordered_start[:-1], ordered_start[1:]
    is_cut = begin // limits.pairs != (end - 1) // limits.pairs
    # An entry has whole rows of one class, or a part of one row.
    opens = is_cut.copy()
    opens[0] = True
    opens[1:] |= is_cut[:-1] | (ordered_class[1:] != ordered_class[:-1])
    opens_entry = np.zeros(int(start[-1]), np.bool_)
    opens_entry[begin[opens]] = True
    opens_entry[:: limits.pairs] = True
    entry = np.empty(len(opens_entry), np.int32)
    entry[spans(start[order], ordered_width)] = np.cumsum(opens_entry, dtype=np.int32) - 1
    request = np.flatnonzero(opens_entry) // limits.pairs
    placed = Placed(entry=entry, request=request, requests=int(request[-1]) + 1)
    return sort_removals_first(placed, removes)


def pack_pairs(delta: Delta, limits: Limits) -> Packing:
    """Return the packing of a delta."""
    width = np.diff(delta.row_start)
    class_number = np.empty(len(width), np.int64)
    class_number[delta.members] = np.repeat(
        np.arange(len(delta.class_size), dtype=np.int64), delta.class_size
    )
    placed = cut_rows(width, class_number, delta.removal[delta.cols], limits)
    order = np.argsort(placed.entry, kind="stable")
    entry = placed.entry[order]
    user = np.repeat(np.arange(len(width), dtype=np.int64), width)[order]
    is_first = np.concatenate(([True], entry[1:] != entry[:-1]))
    # Each user of an entry has all its operations: its first user names them.
    names_user = is_first | np.concatenate(([True], user[1:] != user[:-1]))
    names_op = user == user[is_first][entry]
    return Packing(
        request=placed.request,
        user_start=offsets(np.bincount(entry[names_user])),
        users=delta.users[user[names_user]],
        op_start=offsets(np.bincount(entry[names_op])),
        ops=delta.ops[delta.cols[order][names_op]],
        requests=placed.requests,
        naive=naive_requests(delta, limits),
        certificate=prove_floor(delta, limits, requests=placed.requests),
    )
