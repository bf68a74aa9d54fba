"""Best splits of short rows: every subset of a row is a pattern, every pattern has a price.

A row of k operations can be split into parts in few enough ways (Bell(k)) to find the
cheapest by dynamic programming over its 2**k subsets, for all rows at once.  What makes
the rows depend on each other is that a pattern's operation slots are paid once,
however many rows use it; prices say what share of them a row will have to bear.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.delta import mix
from segctl.packing.model import Bools, Ints
from segctl.packing.ragged import offsets

Prices = npt.NDArray[np.int32]
UNIT = 1 << 16  # prices are whole multiples of 1/UNIT slot: sums are exact anywhere
DEAREST = 1 << 27  # no price is higher, so that no sum leaves 32 bits
CHUNK = 4096  # rows that are solved together: what fits in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Split:
    """A way to split every row: part j is pattern ``pattern[j]``, row ``row[j]``'s bits."""

    row: Ints
    bits: Ints  # which of the row's operations, as a bit set over their positions
    pattern: Ints
    usage: Ints  # (P,) users of each pattern
    value: int  # what the rows pay together, in 1/UNIT slots


@dataclass(frozen=True, kw_only=True)
class _Group:
    """All rows of one width."""

    width: int
    row: Ints  # (R,)
    pattern: npt.NDArray[np.int32]  # (R, 2**width); column 0, the empty set, is no pattern


class Subsets:
    """Every non-empty subset of every row, numbered so that equal sets share a number.

    Numbers come from a 64-bit hash: a collision would mislead a price, nothing else.
    """

    def __init__(
        self, start: Ints, cols: Ints, size: Ints, *, counted: Bools | None = None
    ) -> None:
        """Take V rows, (V + 1,) offsets into cols, and the (V,) users each stands for.

        ``counted`` says whose users count as support; all do if it is not given.
        """
        self.size = size
        width = np.diff(start)
        seeds = mix(np.arange(int(cols.max(initial=0)) + 1), 77)
        hashes = []
        found = []
        for k in np.unique(width).tolist():
            row = np.flatnonzero(width == k)
            digest = np.zeros((len(row), 1 << k), np.uint64)
            for j in range(k):
                one = seeds[cols[start[row] + j]]
                digest[:, 1 << j : 2 << j] = digest[:, : 1 << j] + one[:, None]
            hashes.append(digest[:, 1:].ravel())
            found.append((k, row))
        self.hashes, inverse = np.unique(np.concatenate(hashes), return_inverse=True)
        del hashes
        patterns = len(self.hashes)
        self.support = np.zeros(patterns, np.int64)  # users whose row contains the pattern
        self.width = np.zeros(patterns, np.int64)
        self.groups: list[_Group] = []
        at = 0
        for k, row in found:
            count = len(row) * ((1 << k) - 1)
            number = np.zeros((len(row), 1 << k), np.int32)
            number[:, 1:] = inverse[at : at + count].reshape(len(row), -1)
            at += count
            users = size[row] if counted is None else np.where(counted[row], size[row], 0)
            weight = np.repeat(users, (1 << k) - 1)
            self.support += np.bincount(
                number[:, 1:].ravel(), weights=weight, minlength=patterns
            ).astype(np.int64)
            self.width[number[:, 1:]] = np.bitwise_count(np.arange(1, 1 << k))
            self.groups.append(_Group(width=k, row=row, pattern=number))

    def least(self, start: Ints, cols: Ints, number: Ints) -> Ints:
        """Find for each pattern the least of its operations' numbers, (P,)."""
        result = np.zeros(len(self.hashes), np.int64)
        for group in self.groups:
            least = np.full(group.pattern.shape, np.iinfo(np.int64).max)
            for j in range(group.width):
                one = number[cols[start[group.row] + j]]
                least[:, 1 << j : 2 << j] = np.minimum(least[:, : 1 << j], one[:, None])
            result[group.pattern[:, 1:]] = least[:, 1:]
        return result

    def usage_of(self, digest: npt.NDArray[np.uint64], users: Ints) -> Ints:
        """Count the users of parts given by their hashes, (P,); unknown ones are left out."""
        at = np.minimum(np.searchsorted(self.hashes, digest), len(self.hashes) - 1)
        known = self.hashes[at] == digest
        count = np.bincount(at[known], weights=users[known], minlength=len(self.hashes))
        return count.astype(np.int64)

    def split(self, price: Prices) -> Split:
        """Split every row at the least total price; ties go to the lower bit set."""
        value = 0
        rows, parts, patterns = [], [], []
        for group in self.groups:
            for low in range(0, len(group.row), CHUNK):
                row = group.row[low : low + CHUNK]
                pattern = group.pattern[low : low + CHUNK]
                cost, choice = _cheapest(group.width, price[pattern].T.copy())
                value += int((cost.astype(np.int64) * self.size[row]).sum())
                at = np.arange(len(row))
                rest = np.full(len(row), (1 << group.width) - 1)
                while len(at):
                    part = choice[rest, at].astype(np.int64)
                    rows.append(row[at])
                    parts.append(part)
                    patterns.append(pattern[at, part].astype(np.int64))
                    rest = rest ^ part
                    more = rest > 0
                    at, rest = at[more], rest[more]
        return self.made_of(
            np.concatenate(rows), np.concatenate(parts), np.concatenate(patterns), value
        )

    def made_of(self, row: Ints, bits: Ints, pattern: Ints, value: int = 0) -> Split:
        """Make a split of its parts."""
        usage = np.bincount(pattern, weights=self.size[row], minlength=len(self.hashes))
        return Split(row=row, bits=bits, pattern=pattern, usage=usage.astype(np.int64), value=value)

    def mixed(self, one: Split, other: Split, share: int) -> Split:
        """Split ``share`` of 1024 rows, drawn by lot, as in ``other``, the rest as in ``one``."""
        lot = (mix(np.arange(len(self.size)), 4242) % np.uint64(1024)).astype(np.int64)
        mine, yours = lot[one.row] >= share, lot[other.row] < share
        return self.made_of(
            np.concatenate((one.row[mine], other.row[yours])),
            np.concatenate((one.bits[mine], other.bits[yours])),
            np.concatenate((one.pattern[mine], other.pattern[yours])),
        )


def _cheapest(width: int, price: Prices) -> tuple[Prices, npt.NDArray[np.int16]]:
    """Price (2**k, R) of each subset as one part -> (R,) least price, (2**k, R) first part."""
    best = np.zeros_like(price)
    choice = np.zeros(price.shape, np.int16)
    for whole in range(1, 1 << width):
        # the part that holds the lowest operation is chosen first: each split is seen once
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


def write_out(split: Split, start: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """List the operations of each part of a split: (offsets, operations)."""
    widest = int(np.diff(start).max(initial=0))
    has = (split.bits[:, None] >> np.arange(widest)) & 1
    part, bit = np.nonzero(has)
    return offsets(has.sum(axis=1)), cols[start[split.row[part]] + bit]
