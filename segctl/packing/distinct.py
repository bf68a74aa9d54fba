"""Packing when a request counts each user and each operation once.

Then entries cost nothing: a request carries any changes between its users and its
operations.  With no more operations than a request takes, any 100 users make a request,
which is the least possible.  With more, operations are dealt into blocks, the busiest
together, and each block is sent to those who have any of it.
"""

import numpy as np

from segctl.packing.bins import Pieces
from segctl.packing.cover import Cover, Parts, expand
from segctl.packing.delta import Delta
from segctl.packing.model import Limits
from segctl.packing.ragged import offsets, sort_within


def fill_distinct(delta: Delta, limits: Limits) -> tuple[Cover, Pieces]:
    """Send each block of operations to its users, ``limits.users`` a request."""
    busy = np.bincount(delta.cols, minlength=len(delta.ops))
    block = np.empty(len(delta.ops), np.int64)
    block[np.argsort(-busy, kind="stable")] = np.arange(len(delta.ops)) // limits.segments
    lengths = np.diff(delta.class_start)
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    order = np.lexsort((delta.class_cols, block[delta.class_cols], row))
    row, ops = row[order], delta.class_cols[order]
    fresh = np.flatnonzero(
        np.concatenate(([True], (row[1:] != row[:-1]) | (np.diff(block[ops]) != 0)))
    )
    start = offsets(np.diff(np.concatenate((fresh, [len(row)]))))
    parts = Parts(row=row[fresh], start=start, ops=sort_within(start, ops))
    cover = expand(delta, parts, limits)

    # the entries of a block lie end to end, from a fresh request on
    of = block[cover.ops[cover.op_start[:-1]]]
    order = np.argsort(of, kind="stable")
    users = np.diff(cover.user_start)[order]
    per_block = np.bincount(of, weights=np.diff(cover.user_start)).astype(np.int64)
    padded = -(-per_block // limits.users) * limits.users
    end = np.cumsum(users)
    begin = end - users + (offsets(padded)[:-1] - offsets(per_block)[:-1])[of[order]]
    end = begin + users
    first, last = begin // limits.users, (end - 1) // limits.users
    count = last - first + 1
    piece = np.repeat(np.arange(len(order), dtype=np.int64), count)
    nth = np.arange(len(piece), dtype=np.int64) - np.repeat(offsets(count)[:-1], count)
    request = first[piece] + nth
    return cover, Pieces(
        entry=order[piece],
        begin=np.maximum(request * limits.users, begin[piece]) - begin[piece],
        end=np.minimum((request + 1) * limits.users, end[piece]) - begin[piece],
        request=request,
        requests=int(padded.sum()) // limits.users,
    )
