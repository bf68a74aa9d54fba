"""Optimal splits of short rows into subsets (patterns) at given prices.

Dynamic programming over the 2**k subsets of a row of k operations finds its cheapest
partition, for all rows at once.  Rows depend on each other because all users of a pattern
share its operation slots; the price of a pattern includes the share of one user.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.delta import hash_numbers
from segctl.packing.model import Bools, Ints
from segctl.packing.ragged import offsets

Prices = npt.NDArray[np.int32]
UNIT = 1 << 16  # prices are integers in 1/UNIT slot, so sums are exact on every machine
MAX_PRICE = 1 << 27  # sums of prices fit into 32 bits
CHUNK_ROWS = 4096  # rows solved together; fits in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split of every row: part j is ``bits[j]`` of row ``row[j]``, which is ``pattern[j]``."""

    row: Ints
    bits: Ints  # the part's operations, as a bit set of positions in the row
    pattern: Ints
    usage: Ints  # (P,) users of each pattern
    value: int  # total price of all rows, in 1/UNIT slot; 0 if not computed


@dataclass(frozen=True, kw_only=True)
class _Group:
    """All rows of one width, with the pattern number of each subset."""

    width: int
    row: Ints  # (R,)
    pattern: npt.NDArray[np.int32]  # (R, 2**width); column 0 (the empty set) is unused


class Subsets:
    """Every non-empty subset of every row; equal sets have the same pattern number.

    Sets are compared by a 64-bit hash.  A collision makes a price inexact, nothing else.
    """

    def __init__(
        self, start: Ints, cols: Ints, size: Ints, *, counted: Bools | None = None
    ) -> None:
        """Enumerate the subsets of V rows: (V + 1,) offsets into cols, (V,) users of each row.

        ``counted`` selects the rows whose users count as support; the default is all rows.
        """
        self.size = size
        width = np.diff(start)
        seeds = hash_numbers(np.arange(int(cols.max(initial=0)) + 1), 77)
        hashes = []
        rows_by_width = []
        for k in np.unique(width).tolist():
            row = np.flatnonzero(width == k)
            digest = np.zeros((len(row), 1 << k), np.uint64)
            for j in range(k):
                op_hash = seeds[cols[start[row] + j]]
                digest[:, 1 << j : 2 << j] = digest[:, : 1 << j] + op_hash[:, None]
            hashes.append(digest[:, 1:].ravel())
            rows_by_width.append((k, row))
        self.hashes, inverse = np.unique(np.concatenate(hashes), return_inverse=True)
        del hashes
        patterns = len(self.hashes)
        self.support = np.zeros(patterns, np.int64)  # users whose row contains the pattern
        self.width = np.zeros(patterns, np.int64)
        self.groups: list[_Group] = []
        offset = 0
        for k, row in rows_by_width:
            count = len(row) * ((1 << k) - 1)
            number = np.zeros((len(row), 1 << k), np.int32)
            number[:, 1:] = inverse[offset : offset + count].reshape(len(row), -1)
            offset += count
            users = size[row] if counted is None else np.where(counted[row], size[row], 0)
            weight = np.repeat(users, (1 << k) - 1)
            self.support += np.bincount(
                number[:, 1:].ravel(), weights=weight, minlength=patterns
            ).astype(np.int64)
            self.width[number[:, 1:]] = np.bitwise_count(np.arange(1, 1 << k))
            self.groups.append(_Group(width=k, row=row, pattern=number))

    def min_over_ops(self, start: Ints, cols: Ints, number: Ints) -> Ints:
        """Return the minimum of ``number`` over the operations of each pattern, (P,)."""
        result = np.zeros(len(self.hashes), np.int64)
        for group in self.groups:
            minimum = np.full(group.pattern.shape, np.iinfo(np.int64).max)
            for j in range(group.width):
                op_values = number[cols[start[group.row] + j]]
                minimum[:, 1 << j : 2 << j] = np.minimum(minimum[:, : 1 << j], op_values[:, None])
            result[group.pattern[:, 1:]] = minimum[:, 1:]
        return result

    def count_usage(self, digest: npt.NDArray[np.uint64], users: Ints) -> Ints:
        """Return the users of parts per pattern, (P,); parts with an unknown hash are ignored."""
        index = np.minimum(np.searchsorted(self.hashes, digest), len(self.hashes) - 1)
        known = self.hashes[index] == digest
        count = np.bincount(index[known], weights=users[known], minlength=len(self.hashes))
        return count.astype(np.int64)

    def split(self, price: Prices) -> Split:
        """Return the split of every row with the least total price."""
        value = 0
        rows, parts, patterns = [], [], []
        for group in self.groups:
            for low in range(0, len(group.row), CHUNK_ROWS):
                row = group.row[low : low + CHUNK_ROWS]
                pattern = group.pattern[low : low + CHUNK_ROWS]
                cost, choice = _cheapest_partitions(group.width, price[pattern].T.copy())
                value += int((cost.astype(np.int64) * self.size[row]).sum())
                open_rows = np.arange(len(row))
                rest = np.full(len(row), (1 << group.width) - 1)
                while len(open_rows):
                    part = choice[rest, open_rows].astype(np.int64)
                    rows.append(row[open_rows])
                    parts.append(part)
                    patterns.append(pattern[open_rows, part].astype(np.int64))
                    rest = rest ^ part
                    more = rest > 0
                    open_rows, rest = open_rows[more], rest[more]
        return self.build_split(
            np.concatenate(rows), np.concatenate(parts), np.concatenate(patterns), value
        )

    def build_split(self, row: Ints, bits: Ints, pattern: Ints, value: int = 0) -> Split:
        """Build a split from its parts."""
        usage = np.bincount(pattern, weights=self.size[row], minlength=len(self.hashes))
        return Split(row=row, bits=bits, pattern=pattern, usage=usage.astype(np.int64), value=value)

    def mix_splits(self, one: Split, other: Split, share: int) -> Split:
        """Return a split with ``share`` of 1024 rows, chosen at random, from ``other``."""
        draw = (hash_numbers(np.arange(len(self.size)), 4242) % np.uint64(1024)).astype(np.int64)
        from_one, from_other = draw[one.row] >= share, draw[other.row] < share
        return self.build_split(
            np.concatenate((one.row[from_one], other.row[from_other])),
            np.concatenate((one.bits[from_one], other.bits[from_other])),
            np.concatenate((one.pattern[from_one], other.pattern[from_other])),
        )


def _cheapest_partitions(width: int, price: Prices) -> tuple[Prices, npt.NDArray[np.int16]]:
    """Return the least price (R,) and the first part (2**k, R) of the cheapest partitions.

    ``price`` is (2**k, R): each subset of each row as a single part.
    """
    best = np.zeros_like(price)
    choice = np.zeros(price.shape, np.int16)
    for whole in range(1, 1 << width):
        # choose the part with the lowest operation first, so each partition is tried once
        first = whole & -whole
        rest = whole ^ first
        cost = price[whole].copy()
        chosen = choice[whole]
        chosen[:] = whole
        sub = rest
        while sub:
            sub = (sub - 1) & rest
            other = price[first | sub] + best[rest ^ sub]
            chosen[other < cost] = first | sub
            np.minimum(cost, other, out=cost)
        best[whole] = cost
    return best[-1], choice


def list_part_ops(split: Split, start: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Return the operations of each part of a split: (offsets, operations)."""
    widest = int(np.diff(start).max(initial=0))
    has = (split.bits[:, None] >> np.arange(widest)) & 1
    part, bit = np.nonzero(has)
    return offsets(has.sum(axis=1)), cols[start[split.row[part]] + bit]
