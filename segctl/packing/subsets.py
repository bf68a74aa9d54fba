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
Hashes = npt.NDArray[np.uint64]
UNIT = 1 << 16  # prices are integers in 1/UNIT slot, so sums are exact on every machine
MAX_PRICE = 1 << 27  # prices fit into 32 bits
PRICE_BITS = 20  # of a price in a split: sums of eight prices, with the choice, fit into 31 bits
CHOICE_BITS = 8  # a part of a row is a set of at most eight operations
CHOICE_MASK = np.int32((1 << CHOICE_BITS) - 1)
CHUNK_ROWS = 4096  # rows solved together; fits in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split of every row: part j is ``bits[j]`` of row ``row[j]``, which is ``pattern[j]``."""

    row: Ints
    bits: Ints  # the part's operations, as a bit set of positions in the row
    pattern: Ints
    usage: Ints  # (P,) users of each pattern


@dataclass(frozen=True, kw_only=True)
class _Group:
    """All rows of one width, with the pattern number of each subset."""

    width: int
    row: Ints  # (R,)
    pattern: npt.NDArray[np.int32]  # (2**width, R); row 0 (the empty set) is unused


class Subsets:
    """Every non-empty subset of every row; equal sets have the same pattern number.

    Sets are compared by a 64-bit hash.  A collision makes a price inexact, nothing else.
    With ``shared``, the sets of one user only are numbered by their width: they differ in
    nothing that a price depends on, and they are most of all sets.
    """

    def __init__(
        self,
        start: Ints,
        cols: Ints,
        size: Ints,
        *,
        shared: Hashes | None = None,
    ) -> None:
        """Enumerate the subsets of V rows: (V + 1,) offsets into cols, (V,) users of each row.

        ``shared`` are hashes of sets that users elsewhere have.
        """
        self.size = size
        width = np.diff(start)
        widths = np.unique(width).tolist()
        rows = [np.flatnonzero(width == k) for k in widths]
        edges = offsets(
            np.array([len(r) << k for k, r in zip(widths, rows, strict=True)], np.int64)
        )
        digest = np.empty(int(edges[-1]), np.uint64)
        users = np.empty(len(digest), np.int32)  # of the row of each set
        ops = np.empty(len(digest), np.uint8)  # of each set
        seeds = hash_numbers(np.arange(int(cols.max(initial=0)) + 1), 77)
        for k, row, low, high in zip(widths, rows, edges, edges[1:], strict=False):
            sets = digest[low:high].reshape(1 << k, len(row))
            sets[0] = 0
            for j in range(k):
                sets[1 << j : 2 << j] = sets[: 1 << j] + seeds[cols[start[row] + j]]
            users[low:high].reshape(sets.shape)[:] = size[row]
            ops[low:high].reshape(sets.shape)[:] = np.bitwise_count(np.arange(1 << k))[:, None]
        order, self.hashes, first = _group_equal(digest)
        del digest
        self.support = np.add.reduceat(users[order], first, dtype=np.int64)
        self.width = ops[order[first]].astype(np.int64)
        self.unshared = 0  # patterns below this number are the sets of one user, by width
        pattern = np.arange(len(first), dtype=np.int32)
        if shared is not None:
            pattern = self._merge_unshared(shared)
        number = np.empty(len(order), np.int32)
        number[order] = np.repeat(pattern, np.diff(first, append=len(order)))
        self.groups = [
            _Group(width=k, row=row, pattern=number[low:high].reshape(1 << k, len(row)))
            for k, row, low, high in zip(widths, rows, edges, edges[1:], strict=False)
        ]

    def _merge_unshared(self, shared: Hashes) -> npt.NDArray[np.int32]:
        """Give all sets of one user and width one number. Return the new number of each pattern."""
        alone = self.support == 1
        alone[self._find(shared)[0]] = False
        self.unshared = int(self.width.max()) + 1
        pattern = np.where(alone, self.width, 0).astype(np.int32)
        more = ~alone
        pattern[more] = self.unshared + np.arange(int(more.sum()), dtype=np.int32)
        widths = np.arange(self.unshared)
        self.hashes = self.hashes[more]
        self.support = np.concatenate((np.ones_like(widths), self.support[more]))
        self.width = np.concatenate((widths, self.width[more]))
        return pattern

    def _find(self, digest: Hashes) -> tuple[Ints, Bools]:
        """Return the pattern of each hash that has one, and which hashes have one."""
        if len(self.hashes) == 0:
            return np.zeros(0, np.int64), np.zeros(len(digest), np.bool_)
        index = np.minimum(np.searchsorted(self.hashes, digest), len(self.hashes) - 1)
        known: Bools = self.hashes[index] == digest
        return index[known] + self.unshared, known

    def count_usage(self, digest: Hashes, users: Ints) -> tuple[Ints, Bools]:
        """Return the users of parts per pattern, (P,), and which parts have a pattern."""
        pattern, known = self._find(digest)
        count = np.bincount(pattern, weights=users[known], minlength=len(self.width))
        return count.astype(np.int64), known

    def split(self, price: Prices) -> Split:
        """Return the split of every row with the least total price.

        Prices of more than ``PRICE_BITS`` are all rounded down to a multiple of a power of two.
        """
        shift = max(0, int(price.max()).bit_length() - PRICE_BITS)
        price = (price >> shift) << CHOICE_BITS
        rows, parts, patterns = [], [], []
        for group in self.groups:
            for low in range(0, len(group.row), CHUNK_ROWS):
                row = group.row[low : low + CHUNK_ROWS]
                pattern = group.pattern[:, low : low + CHUNK_ROWS]
                choice = _cheapest_partitions(group.width, price[pattern])
                open_rows = np.arange(len(row))
                rest = np.full(len(row), (1 << group.width) - 1)
                while len(open_rows):
                    part = choice[rest, open_rows].astype(np.int64)
                    rows.append(row[open_rows])
                    parts.append(part)
                    patterns.append(pattern[part, open_rows].astype(np.int64))
                    rest = rest ^ part
                    more = rest > 0
                    open_rows, rest = open_rows[more], rest[more]
        return self.build_split(
            np.concatenate(rows), np.concatenate(parts), np.concatenate(patterns)
        )

    def build_split(self, row: Ints, bits: Ints, pattern: Ints) -> Split:
        """Build a split from its parts."""
        usage = np.bincount(pattern, weights=self.size[row], minlength=len(self.width))
        return Split(row=row, bits=bits, pattern=pattern, usage=usage.astype(np.int64))

    def mix_splits(self, one: Split, other: Split, share: int) -> Split:
        """Return a split with ``share`` of 1024 rows, chosen at random, from ``other``."""
        draw = (hash_numbers(np.arange(len(self.size)), 4242) % np.uint64(1024)).astype(np.int64)
        from_one, from_other = draw[one.row] >= share, draw[other.row] < share
        return self.build_split(
            np.concatenate((one.row[from_one], other.row[from_other])),
            np.concatenate((one.bits[from_one], other.bits[from_other])),
            np.concatenate((one.pattern[from_one], other.pattern[from_other])),
        )


def _group_equal(digest: Hashes) -> tuple[npt.NDArray[np.uint32], Hashes, Ints]:
    """Group equal hashes: (their order by hash, the distinct hashes, the first of each).

    One sort of plain numbers, the index in the low bits, is several times faster than a
    sort of indexes.  Hashes that differ only in the low bits are ordered afterwards.
    """
    low_bits = np.uint64((1 << len(digest).bit_length()) - 1)
    key = (digest & ~low_bits) | np.arange(len(digest), dtype=np.uint64)
    key.sort()
    order = (key & low_bits).astype(np.uint32)
    key &= ~low_bits
    ordered = digest[order]
    differs = ordered[1:] != ordered[:-1]
    mixed = key[1:][differs & (key[1:] == key[:-1])]
    if len(mixed):
        where = np.flatnonzero(np.isin(key, mixed))
        order[where] = order[where][np.argsort(ordered[where], kind="stable")]
        ordered[where] = digest[order[where]]
        differs = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(np.concatenate(([True], differs)))
    return order, ordered[first], first


def _cheapest_partitions(width: int, price: Prices) -> npt.NDArray[np.uint8]:
    """Return the first part (2**k, R) of the cheapest partition of each subset of each row.

    ``price`` is (2**k, R): each subset of each row as a single part, shifted left by
    ``CHOICE_BITS``.  These bits take the number of the part, so that the minimum of the
    prices is also the choice; equal prices choose the lower number.
    """
    best = np.zeros_like(price)
    choice = np.zeros(price.shape, np.uint8)
    marked = price | np.arange(1 << width, dtype=np.int32)[:, None]
    other = np.empty_like(price[0])
    for whole in range(1, 1 << width):
        # choose the part with the lowest operation first, so each partition is tried once
        first = whole & -whole
        rest = whole ^ first
        cost = marked[whole].copy()
        sub = rest
        while sub:
            sub = (sub - 1) & rest
            np.add(marked[first | sub], best[rest ^ sub], out=other)
            np.minimum(cost, other, out=cost)
        choice[whole] = cost & CHOICE_MASK
        best[whole] = cost & ~CHOICE_MASK
    return choice


def list_part_ops(split: Split, start: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Return the operations of each part of a split: (offsets, operations)."""
    widest = int(np.diff(start).max(initial=0))
    has = (split.bits[:, None] >> np.arange(widest)) & 1
    part, bit = np.nonzero(has)
    return offsets(has.sum(axis=1)), cols[start[split.row[part]] + bit]
