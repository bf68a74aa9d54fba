"""A cover: entries that together are the delta, before they are put into requests.

Entries here are as large as their pattern allows; ``bins`` cuts them.
"""

from dataclasses import dataclass

import numpy as np

from segctl.packing.delta import Delta
from segctl.packing.model import Bools, Ints
from segctl.packing.ragged import offsets, spans, take


@dataclass(frozen=True, kw_only=True)
class Cover:
    """E entries, each users by ops; indices into ``Delta.users`` and ``Delta.ops``."""

    user_start: Ints  # (E + 1,)
    users: Ints
    op_start: Ints  # (E + 1,)
    ops: Ints

    def removes(self, delta: Delta) -> Bools:
        """Say of each entry whether it carries a removal, (E,)."""
        return np.logical_or.reduceat(delta.removal[self.ops], self.op_start[:-1])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A cover said by class: class ``row[k]`` carries pattern ``pattern[k]`` as one part."""

    row: Ints  # (K,)
    pattern: Ints  # (K,)
    op_start: Ints  # (P + 1,) the operations of each pattern
    ops: Ints


def whole_rows(delta: Delta) -> Parts:
    """Carry each class as one part: the fewest user slots, many operation slots."""
    every = np.arange(len(delta.class_start) - 1, dtype=np.int64)
    return Parts(row=every, pattern=every, op_start=delta.class_start, ops=delta.class_cols)


def single_ops(delta: Delta) -> Parts:
    """Carry each operation by itself: the fewest operation slots, many user slots."""
    rows = np.repeat(
        np.arange(len(delta.class_start) - 1, dtype=np.int64), np.diff(delta.class_start)
    )
    every = np.arange(len(delta.ops), dtype=np.int64)
    return Parts(
        row=rows,
        pattern=delta.class_cols,
        op_start=np.arange(len(every) + 1, dtype=np.int64),
        ops=every,
    )


def expand(delta: Delta, parts: Parts, widest: int) -> Cover:
    """Give each pattern its users; cut patterns of more than ``widest`` operations."""
    used, pattern = np.unique(parts.pattern, return_inverse=True)
    order = np.lexsort((parts.row, pattern))
    row, pattern = parts.row[order], pattern[order]
    size = delta.class_size[row]
    users = delta.members[spans(delta.member_start[row], size)]
    count = np.bincount(pattern, weights=size, minlength=len(used)).astype(np.int64)
    user_start = offsets(count)
    op_start, ops = take(parts.op_start, parts.ops, used)
    width = np.diff(op_start)
    if int(width.max()) <= widest:
        return Cover(user_start=user_start, users=users, op_start=op_start, ops=ops)
    slices = -(-width // widest)
    entry = np.repeat(np.arange(len(used), dtype=np.int64), slices)
    nth = np.arange(len(entry), dtype=np.int64) - np.repeat(offsets(slices)[:-1], slices)
    begin = op_start[entry] + nth * widest
    end = np.minimum(begin + widest, op_start[entry + 1])
    new_start, new_users = take(user_start, users, entry)
    return Cover(user_start=new_start, users=new_users, op_start=offsets(end - begin), ops=ops)
