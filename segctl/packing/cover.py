"""Set covers of the delta: rows split into parts, and one entry for each group of equal parts."""

from dataclasses import dataclass

import numpy as np

from segctl.packing.delta import Delta, group_rows, hash_numbers
from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets, sort_within, spans, take_rows


@dataclass(frozen=True, kw_only=True)
class Cover:
    """E entries, each a rectangle of users by ops: indexes into ``Delta.users``, ``Delta.ops``."""

    user_start: Ints  # (E + 1,)
    users: Ints
    op_start: Ints  # (E + 1,)
    ops: Ints

    def removes(self, delta: Delta) -> Bools:
        """Return whether each entry has a removal, (E,)."""
        return np.logical_or.reduceat(delta.removal[self.ops], self.op_start[:-1])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A split of every class of users: part k is a set of operations of class ``row[k]``."""

    row: Ints  # (K,)
    start: Ints  # (K + 1,) offsets into ops
    ops: Ints

    def digest(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """Return a hash of each part's set of operations, (K,)."""
        seeds = hash_numbers(np.arange(int(self.ops.max(initial=0)) + 1), 77)
        if len(self.row) == 0:
            return np.zeros(0, np.uint64)
        return np.add.reduceat(seeds[self.ops], self.start[:-1])

    def select(self, which: Ints) -> "Parts":
        """Return the parts with these indexes, in their order."""
        start, ops = take_rows(self.start, self.ops, which)
        return Parts(row=self.row[which], start=start, ops=ops)


def join(parts: list[Parts]) -> Parts:
    """Return the concatenation of parts that have no change in common."""
    return Parts(
        row=np.concatenate([p.row for p in parts]),
        start=offsets(np.concatenate([np.diff(p.start) for p in parts])),
        ops=np.concatenate([p.ops for p in parts]),
    )


def whole_rows(delta: Delta) -> Parts:
    """Return one part for each class: the fewest user slots, many operation slots."""
    every = np.arange(len(delta.class_start) - 1, dtype=np.int64)
    return Parts(row=every, start=delta.class_start, ops=delta.class_cols)


def single_ops(delta: Delta) -> Parts:
    """Return one part for each operation: the fewest operation slots, many user slots."""
    rows = np.arange(len(delta.class_start) - 1, dtype=np.int64)
    return Parts(
        row=np.repeat(rows, np.diff(delta.class_start)),
        start=np.arange(len(delta.class_cols) + 1, dtype=np.int64),
        ops=delta.class_cols,
    )


def build_cover(delta: Delta, parts: Parts, limits: Limits) -> Cover:
    """Return one entry for each group of equal parts, after cutting parts wider than a request."""
    parts = _cut_wide(parts, limits.segments)
    ops = sort_within(parts.start, parts.ops)
    pattern, first = group_rows(parts.start, ops)
    order = np.lexsort((parts.row, pattern))
    row, pattern = parts.row[order], pattern[order]
    size = delta.class_size[row]
    op_start, ops = take_rows(parts.start, ops, first)
    count = np.bincount(pattern, weights=size, minlength=len(first)).astype(np.int64)
    return Cover(
        user_start=offsets(count),
        users=delta.members[spans(delta.member_start[row], size)],
        op_start=op_start,
        ops=ops,
    )


def _cut_wide(parts: Parts, widest: int) -> Parts:
    """Return parts of at most ``widest`` operations, cutting wider ones."""
    width = np.diff(parts.start)
    if int(width.max()) <= widest:
        return parts
    slices = -(-width // widest)
    part = np.repeat(np.arange(len(width), dtype=np.int64), slices)
    nth = np.arange(len(part), dtype=np.int64) - np.repeat(offsets(slices)[:-1], slices)
    begin = parts.start[part] + nth * widest
    length = np.minimum(begin + widest, parts.start[part + 1]) - begin
    return Parts(row=parts.row[part], start=offsets(length), ops=parts.ops[spans(begin, length)])
