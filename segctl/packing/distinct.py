"""Packing for distinct counting: a request counts each user and each operation once.

The number of entries costs nothing: a request can carry any changes between its users
and its operations.  If the operations fit into one request, any ``limits.users`` users fill
a request, which is optimal.  Otherwise operations are sorted by their number of users and
divided into blocks; each block is sent to the users with at least one of its operations.
"""

import numpy as np

from segctl.packing.bins import Pieces
from segctl.packing.cover import Cover, Parts, build_cover
from segctl.packing.delta import Delta
from segctl.packing.model import Limits
from segctl.packing.ragged import offsets, sort_within


def fill_distinct(delta: Delta, limits: Limits) -> tuple[Cover, Pieces]:
    """Return each block of operations packed for its users, ``limits.users`` a request."""
    users_per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    block = np.empty(len(delta.ops), np.int64)
    block[np.argsort(-users_per_op, kind="stable")] = np.arange(len(delta.ops)) // limits.segments
    lengths = np.diff(delta.class_start)
    row = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    order = np.lexsort((delta.class_cols, block[delta.class_cols], row))
    row, ops = row[order], delta.class_cols[order]
    part_begin = np.flatnonzero(
        np.concatenate(([True], (row[1:] != row[:-1]) | (np.diff(block[ops]) != 0)))
    )
    start = offsets(np.diff(np.concatenate((part_begin, [len(row)]))))
    parts = Parts(row=row[part_begin], start=start, ops=sort_within(start, ops))
    cover = build_cover(delta, parts, limits)

    # the entries of a block are placed end to end, starting at a new request
    entry_block = block[cover.ops[cover.op_start[:-1]]]
    order = np.argsort(entry_block, kind="stable")
    users = np.diff(cover.user_start)[order]
    per_block = np.bincount(entry_block, weights=np.diff(cover.user_start)).astype(np.int64)
    padded = -(-per_block // limits.users) * limits.users
    end = np.cumsum(users)
    begin = end - users + (offsets(padded)[:-1] - offsets(per_block)[:-1])[entry_block[order]]
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
