"""Covers: rows split into parts, and the entries that equal parts make together."""

from dataclasses import dataclass

import numpy as np

from segctl.packing.delta import Delta, group_rows, mix
from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets, sort_within, spans, take


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
    """Every class of users split: part k is some operations of class ``row[k]``."""

    row: Ints  # (K,)
    start: Ints  # (K + 1,) offsets into ops
    ops: Ints

    def digest(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """Hash each part's set of operations, (K,)."""
        seeds = mix(np.arange(int(self.ops.max(initial=0)) + 1), 77)
        if len(self.row) == 0:
            return np.zeros(0, np.uint64)
        return np.add.reduceat(seeds[self.ops], self.start[:-1])

    def only(self, which: Ints) -> "Parts":
        """Keep some parts, in the order given."""
        start, ops = take(self.start, self.ops, which)
        return Parts(row=self.row[which], start=start, ops=ops)


def join(parts: list[Parts]) -> Parts:
    """Put parts of different rows, or of different operations, together."""
    return Parts(
        row=np.concatenate([p.row for p in parts]),
        start=offsets(np.concatenate([np.diff(p.start) for p in parts])),
        ops=np.concatenate([p.ops for p in parts]),
    )


def whole_rows(delta: Delta) -> Parts:
    """Carry each class as one part: the fewest user slots, many operation slots."""
    every = np.arange(len(delta.class_start) - 1, dtype=np.int64)
    return Parts(row=every, start=delta.class_start, ops=delta.class_cols)


def single_ops(delta: Delta) -> Parts:
    """Carry each operation by itself: the fewest operation slots, many user slots."""
    rows = np.arange(len(delta.class_start) - 1, dtype=np.int64)
    return Parts(
        row=np.repeat(rows, np.diff(delta.class_start)),
        start=np.arange(len(delta.class_cols) + 1, dtype=np.int64),
        ops=delta.class_cols,
    )


def expand(delta: Delta, parts: Parts, limits: Limits) -> Cover:
    """Make one entry of all equal parts; cut those of more operations than a request's."""
    parts = _cut(parts, limits.segments)
    ops = sort_within(parts.start, parts.ops)
    pattern, first = group_rows(parts.start, ops)
    order = np.lexsort((parts.row, pattern))
    row, pattern = parts.row[order], pattern[order]
    size = delta.class_size[row]
    op_start, ops = take(parts.start, ops, first)
    count = np.bincount(pattern, weights=size, minlength=len(first)).astype(np.int64)
    return Cover(
        user_start=offsets(count),
        users=delta.members[spans(delta.member_start[row], size)],
        op_start=op_start,
        ops=ops,
    )


def _cut(parts: Parts, widest: int) -> Parts:
    """Cut parts of more than ``widest`` operations."""
    width = np.diff(parts.start)
    if int(width.max()) <= widest:
        return parts
    slices = -(-width // widest)
    part = np.repeat(np.arange(len(width), dtype=np.int64), slices)
    nth = np.arange(len(part), dtype=np.int64) - np.repeat(offsets(slices)[:-1], slices)
    begin = parts.start[part] + nth * widest
    length = np.minimum(begin + widest, parts.start[part + 1]) - begin
    return Parts(row=parts.row[part], start=offsets(length), ops=parts.ops[spans(begin, length)])
