"""Greedy set cover of long rows by rectangles: sets of operations shared by many rows.

A rectangle of n users by w operations covers n * w changes with n user slots and w operation
slots.  At prices p (user slot) and q (operation slot) its yield is n * w / (p * n + q * w)
changes per unit of cost.  A rectangle starts as one operation and grows by the operation
that most of its users still have.  Rectangles above a yield threshold are removed from the
matrix, then the threshold is lowered step by step.  Prices are adjusted to the slots used so
far, so that both kinds of slot stay balanced.
"""

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from segctl.packing.cover import Parts
from segctl.packing.delta import hash_numbers
from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets, spans, take_rows

Yields = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int32]

BLOCK_CELLS = 1 << 26  # cells of the dense matrix of one block
CHANGES_PER_SEED = 800  # each round has one seed for this many uncovered changes
SEED_BATCH = 256  # seeds grown together
BRANCHES = 4  # third operations tried for each pair
MAX_SEED_USERS = 16384  # users of a seed's first operation; more are sampled
SAMPLE_USERS = 512  # users sampled to choose the next operation of a rectangle
DENSE_CELLS = 24  # cells per change up to which a matrix counts as dense
DENSE_ROWS = 64  # rows per rectangle from which a loop over rectangles is faster
POOL_SHARE = 0.8  # candidates above this share of the threshold are kept for later rounds
STALE_SHARE = 0.05  # share of covered changes in the indexes that are removed together
MAX_ROUNDS = 240  # for each block; limits the work for any delta
THRESHOLD_DECAY = 0.95  # factor of the yield threshold at each step
PRICE_GAIN = 0.05  # rate at which the price follows the imbalance
MIN_COVERED_SHARE = 0.01  # lower the threshold if a round covers a smaller share of the changes


@dataclass(frozen=True, kw_only=True)
class SlotUsage:
    """Slots used so far, and the price p of a user slot; an operation slot costs 1 - p."""

    users: int
    ops: int
    price: float


@dataclass(frozen=True, kw_only=True)
class _Prices:
    """The price of a user slot, and the limits, that a yield is computed with."""

    price: float
    limits: Limits

    def compute_yields(self, users: Yields, ops: Ints) -> Yields:
        """Return changes per unit of cost; each ``limits.users`` users pay the operations again."""
        entries = np.maximum(users / self.limits.users, 1.0)
        yields: Yields = users * ops / (self.price * users + (1 - self.price) * ops * entries)
        return yields

    def compute_yield(self, users: int, ops: int) -> float:
        """Return the yield of one rectangle."""
        entries = max(users / self.limits.users, 1.0)
        return users * ops / (self.price * users + (1 - self.price) * ops * entries)


@dataclass(frozen=True, kw_only=True)
class _Level:
    """C candidates of one size: operations (C, M), sampled rows, and the yield."""

    has_op: Bools
    start: Ints  # (C + 1,) into rows
    rows: Rows
    is_complete: Bools  # (C,) whether rows has all users rather than a sample
    lineage: Ints  # (C,) candidates of one lineage grew from one another
    yields: Yields


class _Matrix:
    """The uncovered changes of one block of rows."""

    def __init__(self, start: Ints, cols: Ints, size: Ints, width: int) -> None:
        self.size = size
        # operations by rows, so that the rows of an operation are contiguous
        self.dense = np.zeros((width, len(size)), np.bool_)
        self.row = np.repeat(np.arange(len(size), dtype=np.int32), np.diff(start))
        self.col = cols.astype(np.int32)
        self.dense[self.col, self.row] = True
        self.by_row = np.ascontiguousarray(self.dense.T)
        self.is_weighted = int(size.max()) > 1
        # whole rows of the dense matrix are added up if they have few more cells than changes
        self.is_dense = not self.is_weighted and width * len(size) <= DENSE_CELLS * len(cols)
        order = np.argsort(self.col, kind="stable")
        self.row_by_col, self.col_by_col = self.row[order], self.col[order]
        self.left = len(self.row)  # changes that are not covered
        self._count()

    def refresh(self, max_share: float = STALE_SHARE) -> None:
        """Remove covered changes from the indexes, of a dense matrix if they are a larger share.

        Until then the dense matrix decides what is covered.
        """
        if self.left == len(self.row) or (
            self.is_dense and self.left >= (1 - max_share) * len(self.row)
        ):
            return
        left = self.dense[self.col, self.row]
        self.row, self.col = self.row[left], self.col[left]
        left = self.dense[self.col_by_col, self.row_by_col]
        self.row_by_col, self.col_by_col = self.row_by_col[left], self.col_by_col[left]
        self._count()

    def _count(self) -> None:
        self.row_start = offsets(np.bincount(self.row, minlength=len(self.size)))
        self.col_start = offsets(np.bincount(self.col, minlength=len(self.dense)))

    def cover(self, rows: Rows, ops: Ints) -> None:
        """Remove the changes of a rectangle."""
        self.dense[ops[:, None], rows] = False
        self.by_row[rows[:, None], ops] = False
        self.left -= len(rows) * len(ops)

    def rows_of(self, op: int) -> Rows:
        """Return all rows that still have the operation."""
        rows = self.row_by_col[self.col_start[op] : self.col_start[op + 1]]
        still: Rows = rows[self.dense[op].take(rows)]
        return still

    def count_users(self, start: Ints, rows: Rows) -> Ints:
        """Return, per ragged row of rows, the users that still have each operation, (R, M)."""
        owners, width = len(start) - 1, len(self.dense)
        if self.is_dense and len(rows) >= DENSE_ROWS * owners:
            count = np.empty((owners, width), np.int64)
            for i, (low, high) in enumerate(pairwise(start.tolist())):
                count[i] = self.by_row[rows[low:high]].sum(axis=0, dtype=np.int16)
            return count
        length = self.row_start[rows + 1] - self.row_start[rows]
        key = np.repeat(np.arange(owners, dtype=np.int64) * width, np.diff(start))
        key = np.repeat(key, length)
        col = self.col[spans(self.row_start[rows], length)]
        key += col
        weight = np.repeat(self.size[rows], length) if self.is_weighted else None
        if self.left < len(self.row):
            still = self.by_row[np.repeat(rows, length), col]
            key, weight = key[still], None if weight is None else weight[still]
        if weight is None:
            count = np.bincount(key, minlength=owners * width)
        else:
            count = np.bincount(key, weights=weight, minlength=owners * width).astype(np.int64)
        return count.reshape(owners, width)

    def narrow(self, start: Ints, rows: Rows, parent: Ints, op: Ints) -> tuple[Ints, Rows]:
        """Return the rows of ``parent[i]`` that have ``op[i]`` too, for each i: (offsets, rows)."""
        if len(rows) >= DENSE_ROWS * (len(start) - 1):
            found = []
            for i, j in zip(parent.tolist(), op.tolist(), strict=True):
                own = rows[start[i] : start[i + 1]]
                found.append(own[self.dense[j].take(own)])
            lengths = np.array([len(own) for own in found], np.int64)
            return offsets(lengths), np.concatenate([rows[:0], *found])
        sub_start, sub_rows = take_rows(start, rows, parent)
        owner = np.repeat(np.arange(len(parent), dtype=np.int64), np.diff(sub_start))
        has = self.dense[op[owner], sub_rows]
        return offsets(np.bincount(owner[has], minlength=len(parent))), sub_rows[has]

    def rows_with(self, ops: Ints) -> Rows:
        """Return all rows that still have all of these operations."""
        length = self.col_start[ops + 1] - self.col_start[ops]
        rare = int(ops[np.argmin(length)])
        rows = self.rows_of(rare)
        for op in ops.tolist():
            rows = rows[self.dense[op].take(rows)]
        return rows


class _Pool:
    """Candidate rectangles that are not taken, the best first.

    The yield of a candidate is that of the time when it was last looked at.  It only falls
    as changes are covered, so a candidate is looked at again only if its known yield
    reaches the threshold.
    """

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Rows | None, Ints]] = []
        self.serial = 0

    def put(self, value: float, rows: Rows | None, ops: Ints) -> None:
        """Add a candidate; without rows, all rows that have its operations are meant."""
        heapq.heappush(self.heap, (-value, self.serial, rows, ops))
        self.serial += 1

    def add_level(self, level: _Level, which: Ints) -> None:
        """Add these candidates of a level."""
        for c in which.tolist():
            ops = np.flatnonzero(level.has_op[c])
            rows = level.rows[level.start[c] : level.start[c + 1]].copy()
            self.put(float(level.yields[c]), rows if level.is_complete[c] else None, ops)

    def take(
        self, matrix: _Matrix, prices: _Prices, min_yield: float, least: float
    ) -> list[tuple[Rows, Ints]]:
        """Remove rectangles of at least ``min_yield`` from the matrix and return them.

        Candidates below ``least`` are dropped.
        """
        taken: list[tuple[Rows, Ints]] = []
        while self.heap and -self.heap[0][0] >= min_yield:
            _, _, rows, ops = heapq.heappop(self.heap)
            rows = matrix.rows_with(ops) if rows is None else rows
            rows = rows[matrix.dense[ops[:, None], rows].all(axis=0)]
            if len(rows) == 0:
                continue
            users = int(matrix.size[rows].sum()) if matrix.is_weighted else len(rows)
            value = prices.compute_yield(users, len(ops))
            if value >= 0.97 * min_yield:
                matrix.cover(rows, ops)
                taken.append((rows, ops))
            elif value >= least:
                self.put(value, rows, ops)
        return taken


def mine_rectangles(
    start: Ints, cols: Ints, size: Ints, limits: Limits, used: SlotUsage
) -> tuple[Parts, SlotUsage]:
    """Return V long rows split into parts, and the slots used; row v has ``size[v]`` users.

    ``used`` has the slots of the rest of the delta.  The price follows the totals.
    """
    width = int(cols.max()) + 1
    step = max(1, BLOCK_CELLS // width)
    rows, lengths, ops = [], [], []
    # balance the long rows alone only if there are no other rows
    balance = used.users == 0
    for low in range(0, len(size), step):
        high = min(low + step, len(size))
        block_start = start[low : high + 1] - start[low]
        block = _Matrix(block_start, cols[start[low] : start[high]], size[low:high], width)
        parts, used = _mine_block(block, limits, used, balance=balance)
        rows.append(parts.row + low)
        lengths.append(np.diff(parts.start))
        ops.append(parts.ops)
    parts = Parts(
        row=np.concatenate(rows),
        start=offsets(np.concatenate(lengths)),
        ops=np.concatenate(ops),
    )
    return parts, used


def _mine_block(
    matrix: _Matrix, limits: Limits, used: SlotUsage, *, balance: bool
) -> tuple[Parts, SlotUsage]:
    """Remove rectangles until single operations and whole rows cover the rest as cheaply."""
    taken: list[tuple[Rows, Ints]] = []
    pool = _Pool()
    min_yield = np.inf
    for number in range(MAX_ROUNDS):
        left = matrix.left
        if left == 0:
            break
        seeds = max(8, min(left // CHANGES_PER_SEED, 4 * SEED_BATCH))
        prices = _Prices(price=used.price, limits=limits)
        grown = [
            _grow(matrix, number * 64 + batch, min(SEED_BATCH, seeds - low), prices)
            for batch, low in enumerate(range(0, seeds, SEED_BATCH))
        ]
        levels = [level for batch in grown for level in batch]
        sorted_yields = np.sort(np.concatenate([np.zeros(0), *(b.yields for b in levels)]))
        if len(sorted_yields) == 0 and not pool.heap:
            break
        if len(sorted_yields):
            # start at the 95th percentile of the yields; never above that of the candidates
            high = float(sorted_yields[-1 - len(sorted_yields) // 20])
            min_yield = min(min_yield, high)
        for batch in grown:
            _select_best(batch, pool, POOL_SHARE * min_yield)
        found = pool.take(matrix, prices, min_yield, POOL_SHARE * min_yield)
        taken += found
        matrix.refresh()
        used = _update_price(matrix, used, found, limits)
        if sum(len(rows) * len(ops) for rows, ops in found) <= MIN_COVERED_SHARE * left:
            min_yield *= THRESHOLD_DECAY
            # below this, an operation alone for all its users has nearly the same yield
            if min_yield * used.price < 1.3:
                break
    matrix.refresh(0.0)
    rest = np.diff(matrix.row_start)
    if balance:
        as_one_part = _choose_rests(matrix, rest, used, limits)
    else:
        as_one_part = np.less((1 - used.price) * rest, used.price * (rest - 1))
    return _collect_parts(matrix, taken, as_one_part & (rest > 1)), used


def _select_best(levels: list[_Level], pool: _Pool, least: float) -> None:
    """Add the best candidate of each lineage to the pool, if its yield is at least ``least``."""
    if not levels:
        return
    lineage = np.concatenate([level.lineage for level in levels])
    yields = np.concatenate([level.yields for level in levels])
    order = np.lexsort((-yields, lineage))
    first = np.concatenate(([True], lineage[order][1:] != lineage[order][:-1]))
    is_best = np.zeros(len(order), np.bool_)
    is_best[order[first]] = True
    is_best &= yields >= least
    end = 0
    for level in levels:
        begin, end = end, end + len(level.yields)
        pool.add_level(level, np.flatnonzero(is_best[begin:end]))


def _grow(matrix: _Matrix, salt: int, seeds: int, prices: _Prices) -> list[_Level]:
    """Return rectangles grown from random operations, weighted by their number of changes."""
    limits = prices.limits
    has_op, start, rows, scale = _seed(matrix, salt, seeds, limits)
    levels: list[_Level] = []
    best = np.zeros(len(has_op))
    lineage = np.arange(len(has_op), dtype=np.int64) * BRANCHES
    level = 2
    while len(has_op):
        sample_start, sample = _sample_evenly(
            start, SAMPLE_USERS if level == 2 else SAMPLE_USERS // 4
        )
        count = matrix.count_users(sample_start, rows[sample])
        known, sampled = np.diff(start), np.diff(sample_start)
        if matrix.is_weighted:
            known = _sum_within(start, matrix.size[rows])
            sampled = _sum_within(sample_start, matrix.size[rows[sample]])
        # an operation that all users have adds changes and no user slots
        has_op |= (count == sampled[:, None]) & (sampled > 0)[:, None]
        wide = has_op.sum(axis=1)
        yields = prices.compute_yields(known * scale, wide)
        yields[wide > limits.segments] = 0
        good = np.flatnonzero((yields > 0) & (yields >= 0.8 * best))
        part_start, part_rows = take_rows(start, rows, good)
        levels.append(
            _Level(
                has_op=has_op[good],
                start=part_start,
                rows=part_rows,
                is_complete=scale[good] == 1.0,
                lineage=lineage[good],
                yields=yields[good],
            )
        )
        best = np.maximum(best, yields)
        count[has_op] = 0
        next_ops = _top_columns(count, min(BRANCHES if level == 2 else 1, has_op.shape[1]))
        value = np.take_along_axis(count, next_ops, 1)
        grows = (value > 0) & ((yields >= 0.8 * best) & (wide < limits.segments))[:, None]
        parent, which = np.nonzero(grows)
        op = next_ops[parent, which]
        start, rows = matrix.narrow(start, rows, parent, op)
        has_op = has_op[parent]
        has_op[np.arange(len(parent)), op] = True
        scale, best, lineage = scale[parent], best[parent], lineage[parent] + which
        level += 1
    return levels


def _seed(
    matrix: _Matrix, salt: int, seeds: int, limits: Limits
) -> tuple[Bools, Ints, Rows, Yields]:
    """Draw pairs of operations: (operations, offsets and rows, users per sampled user).

    The first is drawn, and the second is one that most users of the first have.
    """
    width = len(matrix.dense)
    drawn = (hash_numbers(np.arange(seeds), salt + 1000) % np.uint64(len(matrix.col))).astype(
        np.int64
    )
    first = matrix.col[drawn].astype(np.int64)
    length = matrix.col_start[first + 1] - matrix.col_start[first]
    start, sample = _sample_evenly(offsets(length), SAMPLE_USERS // 4)
    sample += np.repeat(matrix.col_start[first] - offsets(length)[:-1], np.diff(start))
    rows, of_seed = matrix.row_by_col[sample], np.repeat(np.arange(seeds), np.diff(start))
    still = matrix.dense[first[of_seed], rows]
    rows, start = rows[still], offsets(np.bincount(of_seed[still], minlength=seeds))
    count = matrix.count_users(start, rows)
    users = _sum_within(start, matrix.size[rows])
    has_op = np.zeros((seeds, width), np.bool_)
    has_op[np.arange(seeds), first] = True
    has_op |= count == users[:, None]
    count[has_op] = 0
    # break near ties at random, so that seeds grow in different directions
    noise = hash_numbers(np.arange(count.size), salt).reshape(count.shape) % np.uint64(256)
    count = count * (1024 + noise.astype(np.int64))
    second = count.argmax(axis=1)
    grows = np.flatnonzero((count.max(axis=1) > 0) & (has_op.sum(axis=1) < limits.segments))
    first, second, length, has_op = first[grows], second[grows], length[grows], has_op[grows]
    has_op[np.arange(len(grows)), second] = True
    begin, sampled = matrix.col_start[first], np.minimum(length, MAX_SEED_USERS)
    found = []
    for i, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        own = matrix.row_by_col[begin[i] : begin[i] + length[i]]
        if length[i] > MAX_SEED_USERS:
            own = own[np.arange(MAX_SEED_USERS) * length[i] // MAX_SEED_USERS]
        own = own[matrix.dense[b].take(own)]
        found.append(own[matrix.dense[a].take(own)])
    found_start = offsets(np.array([len(own) for own in found], np.int64))
    return has_op, found_start, np.concatenate([rows[:0], *found]), length / sampled


def _sum_within(start: Ints, flat: Ints) -> Ints:
    """Return the sum of each row of a ragged array, (R,)."""
    return np.diff(offsets(flat)[start])


def _top_columns(count: Ints, most: int) -> Ints:
    """Return the indexes of the ``most`` greatest of each row; ties go to the lower index.

    argpartition and quicksort are not used: their order of ties depends on the processor.
    """
    left = count.copy()
    next_ops = np.empty((len(count), most), np.int64)
    for j in range(most):
        next_ops[:, j] = left.argmax(axis=1)
        left[np.arange(len(left)), next_ops[:, j]] = -1
    return next_ops


def _sample_evenly(start: Ints, most: int) -> tuple[Ints, Ints]:
    """Return up to ``most`` evenly spaced items of each ragged row: (offsets, indexes)."""
    length = np.diff(start)
    sampled = np.minimum(length, most)
    sample_start = offsets(sampled)
    owner = np.repeat(np.arange(len(length), dtype=np.int64), sampled)
    nth = np.arange(len(owner), dtype=np.int64) - sample_start[:-1][owner]
    return sample_start, start[:-1][owner] + nth * length[owner] // sampled[owner]


def _update_price(
    matrix: _Matrix, used: SlotUsage, taken: list[tuple[Rows, Ints]], limits: Limits
) -> SlotUsage:
    """Return the slots used with the new rectangles, and the price moved toward balance."""
    users, ops = used.users, used.ops
    for rows, columns in taken:
        rect_users = int(matrix.size[rows].sum())
        users += rect_users
        ops += len(columns) * -(-rect_users // limits.users)
    ratio = (users * limits.segments + 1) / (ops * limits.users + 1)
    ratio = min(max(ratio, 0.5), 2.0)
    factor = 1 + PRICE_GAIN * (ratio - 1) if ratio > 1 else 1 / (1 + PRICE_GAIN * (1 / ratio - 1))
    odds = used.price / (1 - used.price) * factor
    odds = min(max(odds, 1 / 50), 50.0)
    return SlotUsage(users=users, ops=ops, price=odds / (1 + odds))


def _choose_rests(matrix: _Matrix, left: Ints, used: SlotUsage, limits: Limits) -> Bools:
    """Return which rows keep their uncovered changes as one part, to balance the slots.

    Rows with the most changes left come first: they save the most user slots for each
    operation slot.
    """
    order = np.argsort(-left, kind="stable")
    size = matrix.size[order]
    saved = np.cumsum(size * np.maximum(left[order] - 1, 0))
    costs = np.cumsum(left[order] * -(-size // limits.users))
    users = used.users + int((matrix.size * left).sum()) - saved
    tall = users * limits.segments > (used.ops + costs) * limits.users
    as_one_part = np.zeros(len(left), np.bool_)
    as_one_part[order[: int(np.count_nonzero(tall))]] = True
    return as_one_part


def _collect_parts(matrix: _Matrix, taken: list[tuple[Rows, Ints]], as_one_part: Bools) -> Parts:
    """Return rectangles as parts; the rest of a row is one part, or one for each operation."""
    left = np.diff(matrix.row_start)
    alone = ~as_one_part[matrix.row]
    rest_rows = np.flatnonzero(as_one_part)
    rows = [r.astype(np.int64) for r, _ in taken]
    lengths = [np.full(len(r), len(o), np.int64) for r, o in taken]
    ops = [np.tile(o, len(r)) for r, o in taken]
    rows += [rest_rows, matrix.row[alone].astype(np.int64)]
    lengths += [left[rest_rows], np.ones(int(alone.sum()), np.int64)]
    ops += [matrix.col[~alone].astype(np.int64), matrix.col[alone].astype(np.int64)]
    return Parts(
        row=np.concatenate(rows),
        start=offsets(np.concatenate(lengths)),
        ops=np.concatenate(ops),
    )
