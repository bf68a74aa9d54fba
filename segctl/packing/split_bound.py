"""The lower bound by splits: each user pays at least for the cheapest split of its row.

``docs/packing.md`` has the proof. The users who have all of a set of operations are counted
in two tables by hashes of the set; of the two counts the smaller is used. Sets that share a
cell raise a count, which lowers the bound and keeps it valid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import COST_UNITS, MAX_COST, PRICE_UNITS, Certificate
from segctl.packing.delta import Delta, hash_numbers
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int32]

MAX_CHANGES = 4_000_000  # of a delta; limits memory
MAX_SUBSETS = 1 << 25  # subsets of short rows that are counted
MAX_LONG_SUBSETS = 1 << 24  # subsets of long rows that are counted
SUBSETS_PER_CHANGE = 64  # both are less for a small delta
MAX_ROW = 14  # operations of a row all of whose subsets are counted
MAX_SUBSET_OPS = 4  # operations of the counted subsets of a longer row
MAX_ROW_OPS = 10  # operations of a row that are split
MAX_PARTS = 600_000_000  # parts tried in the splits of all rows
PARTS_PER_CHANGE = 900  # less for a small delta
MAX_TABLE_BITS = 25
_CELLS = 1 << 18  # subsets computed together; fits in the processor's cache
_SAMPLE = 1024  # classes that choose the price: so many of the largest, and so many of the others
_SAMPLE_PARTS = 1 << 21  # parts tried in the splits of half the sample
_MAX_LONG = 0.1  # share of users with long rows, above which operations are left out
_MAX_LONG_LEFT = 0.02  # share of users with long rows after that
_MAX_DROPPED = 0.3  # share of the changes that may be left out


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """C classes of users with their operations, the rarest first."""

    start: Ints  # (C + 1,)
    cols: Ints
    size: Ints  # (C,)

    @property
    def width(self) -> Ints:
        return np.diff(self.start)

    def chunks(self, chosen: Ints, most: int, cells: int) -> Iterator[tuple[Ints, Ints]]:
        """Yield positions (n,) in ``chosen`` and the (w, n) first operations of their classes.

        Classes of one number of operations come together; w is that number, or ``most``.
        """
        width = np.minimum(self.width[chosen], most)
        for ops in np.unique(width[width > 0]).tolist():
            same = np.flatnonzero(width == ops)
            step = max(1, cells >> ops) if cells else len(same)
            for low in range(0, len(same), step):
                nth = same[low : low + step]
                yield nth, self.cols[self.start[chosen[nth]] + np.arange(ops)[:, None]]


def prove_by_splits(delta: Delta, limits: Limits) -> Certificate | None:
    """Return the certificate for strict counting; ``None`` if the rows are too long for it."""
    if len(delta.cols) > MAX_CHANGES:
        return None
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    max_op_users = _choose_ops(delta, per_op)
    rows = _take_rows(delta, per_op, max_op_users)
    max_row = _choose_max_row(rows.width)
    is_long = rows.width > max_row
    if 2 * int(rows.size[is_long].sum()) > int(rows.size.sum()):
        return None
    subset_ops = _choose_subset_ops(rows.width[is_long], len(rows.cols))
    holders = _Holders(rows, len(delta.ops), max_row, subset_ops)
    row_ops = _choose_row_ops(rows.width, len(rows.cols))
    price = _choose_price(rows, holders, row_ops, limits)
    every = np.arange(len(rows.size), dtype=np.int64)
    [cost] = _cheapest_splits(
        rows, every, rows.size, holders=holders, row_ops=row_ops, prices=[price], limits=limits
    )
    return Certificate(
        proof="splits",
        floor=-(-cost // (COST_UNITS * limits.users)),
        price=price,
        max_op_users=max_op_users,
        row_ops=row_ops,
        max_row=max_row,
        subset_ops=subset_ops,
    )


def _choose_ops(delta: Delta, per_op: Ints) -> int:
    """Return the most users of an operation that is not left out.

    Operations are left out only if that makes nearly all rows short, at the cost of few changes.
    """
    row = np.repeat(np.arange(len(delta.class_size)), np.diff(delta.class_start))
    users_of_change = per_op[delta.class_cols]
    numbers = np.unique(per_op)

    def long_share(max_op_users: int) -> float:
        width = np.bincount(row[users_of_change <= max_op_users], minlength=len(delta.class_size))
        long = delta.class_size[width > _choose_max_row(width)]
        return float(long.sum() / len(delta.users))

    every = int(numbers[-1])
    if long_share(every) <= _MAX_LONG:
        return every
    kept = np.cumsum(np.bincount(np.searchsorted(numbers, per_op), weights=per_op))
    low = int(np.searchsorted(kept, (1 - _MAX_DROPPED) * kept[-1]))
    if long_share(int(numbers[low])) > _MAX_LONG_LEFT:
        return every
    high = len(numbers) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if long_share(int(numbers[middle])) <= _MAX_LONG_LEFT:
            low = middle
        else:
            high = middle
    return int(numbers[low])


def _take_rows(delta: Delta, per_op: Ints, max_op_users: int) -> _Rows:
    """Return the operations of each class with up to ``max_op_users`` users, the rarest first."""
    row = np.repeat(np.arange(len(delta.class_size)), np.diff(delta.class_start))
    users_of_change = per_op[delta.class_cols]
    kept = users_of_change <= max_op_users
    row, cols = row[kept], delta.class_cols[kept]
    order = np.lexsort((cols, users_of_change[kept], row))
    width = np.bincount(row, minlength=len(delta.class_size))
    return _Rows(start=offsets(width), cols=cols[order], size=delta.class_size)


def _choose_max_row(width: Ints) -> int:
    """Return the longest rows all of whose subsets are counted."""
    subsets = np.bincount(np.minimum(width, MAX_ROW + 1), minlength=MAX_ROW + 2)[: MAX_ROW + 1]
    total = np.cumsum(subsets << np.arange(MAX_ROW + 1))
    most = min(MAX_SUBSETS, SUBSETS_PER_CHANGE * int(width.sum()))
    return int(np.flatnonzero(total <= max(most, int(total[0])))[-1])


def _choose_subset_ops(width: Ints, changes: int) -> int:
    """Return the most operations of the counted subsets of rows that are longer."""
    widths, classes = np.unique(width, return_counts=True)
    most = min(MAX_LONG_SUBSETS, SUBSETS_PER_CHANGE * changes)
    total = 0
    for ops in range(1, MAX_SUBSET_OPS + 1):
        total += sum(
            comb(w, ops) * n for w, n in zip(widths.tolist(), classes.tolist(), strict=True)
        )
        if total > most:
            return max(ops - 1, 1)
    return MAX_SUBSET_OPS


def _choose_row_ops(width: Ints, changes: int) -> int:
    """Return the most operations of a row that are split; fewer if there is little to split."""
    most = 1
    for ops in range(2, MAX_ROW_OPS + 1):
        parts = (3 ** np.minimum(width, ops)).sum()
        if parts > min(MAX_PARTS, PARTS_PER_CHANGE * changes) or 3**ops > 4 * changes:
            break
        most = ops
    return most


def _choose_price(rows: _Rows, holders: "_Holders", row_ops: int, limits: Limits) -> int:
    """Return the price at which a sample of the users costs most."""
    order = np.argsort(-rows.size, kind="stable")
    parts = int((3 ** np.minimum(rows.width, row_ops)).sum()) // len(order)
    half = min(_SAMPLE, max(32, _SAMPLE_PARTS // parts))
    step = max(1, (len(order) - half) // half)
    sample = np.concatenate((order[:half], order[half::step]))
    weight = rows.size[sample]
    weight[half:] *= step
    prices = list(range(64, PRICE_UNITS, 64))
    for width in (64, 16):
        costs = _cheapest_splits(
            rows, sample, weight, holders=holders, row_ops=row_ops, prices=prices, limits=limits
        )
        best = prices[int(np.argmax(costs))]
        prices = list(range(best - width + width // 4, best + width, width // 4))
    return best


class _Holders:
    """Upper bounds on the users who have all of a set of operations."""

    def __init__(self, rows: _Rows, ops: int, max_row: int, subset_ops: int) -> None:
        """Count all subsets of rows of up to ``max_row`` operations, and small ones of others."""
        self._seeds = hash_numbers(np.arange(ops), 77)
        self._subset_ops = subset_ops
        width = rows.width
        short, long = np.flatnonzero(width <= max_row), np.flatnonzero(width > max_row)
        self._short = _Tables(int((1 << width[short]).sum()))
        for nth, cols in rows.chunks(short, max_row, _CELLS):
            self._short.add(_subset_digests(self._seeds[cols])[1:], rows.size[short[nth]])
        self._long = _Tables(0)
        if len(long):
            counts = [
                sum(comb(w, n) for n in range(1, subset_ops + 1)) for w in width[long].tolist()
            ]
            self._long = _Tables(sum(counts))
            for nth, cols in rows.chunks(long, int(width.max()), 0):
                self._count_small_subsets(self._seeds[cols], rows.size[long[nth]])

    def _count_small_subsets(self, seeds: Hashes, size: Ints) -> None:
        for ops in range(1, self._subset_ops + 1):
            chosen = np.array(list(combinations(range(len(seeds)), ops)))
            step = max(1, _CELLS // len(chosen))
            for low in range(0, len(size), step):
                part = seeds[:, low : low + step]
                digest = part[chosen[:, 0]]
                for nth in range(1, ops):
                    digest += part[chosen[:, nth]]
                self._long.add(digest, size[low : low + step])

    def bound(self, cols: Ints) -> Ints:
        """Return (2**w, n) bounds for the subsets, by bit set, of the rows ``cols`` (w, n)."""
        digest = _subset_digests(self._seeds[cols])
        holders = self._short.read(digest).astype(np.int64)
        if self._long.is_empty:
            return holders
        others = self._long.read(digest)
        for bits in range(1, len(digest)):
            if bits.bit_count() > self._subset_ops:
                smaller = [bits ^ (1 << j) for j in range(len(cols)) if bits >> j & 1]
                others[bits] = others[smaller].min(axis=0)
        return holders + others


class _Tables:
    """Upper bounds on weights by hash: the smaller of two cells."""

    def __init__(self, subsets: int) -> None:
        self.is_empty = subsets == 0
        bits = subsets.bit_length()
        self._bits = min(MAX_TABLE_BITS, max(bits + 3, min(bits + 5, 23)))
        self._tables = [np.zeros(1 << self._bits, np.int32) for _ in range(2)]

    def _cells(self, digest: Hashes) -> tuple[Ints, Ints]:
        shift = np.uint64(64 - self._bits)
        other = digest * np.uint64(0x9E3779B97F4A7C15)
        return (digest >> shift).astype(np.int64), (other >> shift).astype(np.int64)

    def add(self, digest: Hashes, size: Ints) -> None:
        """Add the (n,) sizes to the cells of the (k, n) digests."""
        weight = np.broadcast_to(size.astype(np.int32), digest.shape).ravel()
        for table, cells in zip(self._tables, self._cells(digest.ravel()), strict=True):
            np.add.at(table, cells, weight)

    def read(self, digest: Hashes) -> Counts:
        """Return the bound of each digest."""
        first, second = self._cells(digest)
        return np.minimum(self._tables[0][first], self._tables[1][second])


def _subset_digests(seeds: Hashes) -> Hashes:
    """Return (2**w, n) digests of the subsets, by bit set, of rows of (w, n) seeds."""
    digest = np.zeros((1 << len(seeds), seeds.shape[1]), np.uint64)
    for j, seed in enumerate(seeds):
        digest[1 << j : 2 << j] = digest[: 1 << j] + seed
    return digest


def _cheapest_splits(
    rows: _Rows,
    chosen: Ints,
    weight: Ints,
    *,
    holders: _Holders,
    row_ops: int,
    prices: Sequence[int],
    limits: Limits,
) -> list[int]:
    """Return the total cost of the chosen classes at each price, in ``COST_UNITS``.

    ``weight`` (n,) is the number of users that each of them counts for.
    """
    total = [0] * len(prices)
    price = np.array(prices, dtype=np.int64)[:, None]
    for nth, cols in rows.chunks(chosen, row_ops, max(1, (_CELLS << 2) // len(prices))):
        bound = np.clip(holders.bound(cols), 1, limits.users)[:, None] * limits.segments
        ops = np.bitwise_count(np.arange(len(bound))).astype(np.int64)[:, None, None]
        of_ops = COST_UNITS * (PRICE_UNITS - price) * limits.users * ops
        cost = COST_UNITS // PRICE_UNITS * price + of_ops // (PRICE_UNITS * bound)
        least = _cheapest_split(np.minimum(cost, MAX_COST).astype(np.int32))
        for index, cheapest in enumerate(least.astype(np.int64)):
            total[index] += int((cheapest * weight[nth]).sum())
    return total


def _cheapest_split(cost: Counts) -> Counts:
    """Return the least cost of a partition of each row; ``cost`` (2**w, ...) is by bit set."""
    best = np.zeros_like(cost)
    for whole in range(1, len(cost)):
        # The part with the lowest operation comes first, so each partition is tried once.
        lowest = whole & -whole
        rest = part = whole ^ lowest
        best[whole] = cost[whole]
        while part:
            part = (part - 1) & rest
            np.minimum(best[whole], cost[lowest | part] + best[rest ^ part], out=best[whole])
    least: Counts = best[-1]
    return least
