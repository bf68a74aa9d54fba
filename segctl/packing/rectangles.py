"""Greedy set cover of long rows by rectangles: sets of operations shared by many rows.

A rectangle of n users by w operations covers n * w changes with n user slots and w operation
slots.  At prices p (user slot) and q (operation slot) its yield is n * w / (p * n + q * w)
changes per unit of cost.  A rectangle starts as one operation and grows by the operation
that most of its users still have.  Rectangles above a yield threshold are removed from the
matrix, then the threshold is lowered step by step.  Prices are adjusted to the slots used so
far, so that both kinds of slot stay balanced.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.cover import Parts
from segctl.packing.delta import hash_numbers
from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets, spans, take_rows

Yields = npt.NDArray[np.float64]

BLOCK_CELLS = 1 << 26  # cells of the dense matrix of one block
CHANGES_PER_SEED = 800  # each round has one seed for this many uncovered changes
SEED_BATCH = 256  # seeds grown together
BRANCHES = 4  # third operations tried for each pair
MAX_SEED_USERS = 16384  # users of a seed's first operation; more are sampled
SAMPLE_USERS = 512  # users sampled to choose the next operation of a rectangle
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
class _Threshold:
    """The yield threshold for rectangles, with the price and limits it is computed for."""

    min_yield: float
    price: float
    limits: Limits

    def is_met(self, users: int, ops: int) -> bool:
        """Return whether a rectangle of this shape has at least 97% of the threshold yield."""
        entries = max(users / self.limits.users, 1.0)
        slots = self.price * users + (1 - self.price) * ops * entries
        return users * ops >= 0.97 * self.min_yield * slots


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """C candidate rectangles: operations (C, M), sampled rows, and estimated yield."""

    has_op: Bools
    start: Ints  # (C + 1,) into rows
    rows: Ints
    is_complete: Bools  # (C,) whether rows has all users rather than a sample
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
        order = np.argsort(self.col, kind="stable")
        self.row_by_col, self.col_by_col = self.row[order], self.col[order]
        self.refresh()

    def refresh(self) -> None:
        """Remove the changes covered since the last refresh from the indexes."""
        left = self.dense[self.col, self.row]
        self.row, self.col = self.row[left], self.col[left]
        left = self.dense[self.col_by_col, self.row_by_col]
        self.row_by_col, self.col_by_col = self.row_by_col[left], self.col_by_col[left]
        self.row_start = offsets(np.bincount(self.row, minlength=len(self.size)))
        self.col_start = offsets(np.bincount(self.col, minlength=len(self.dense)))

    def count_users(self, owner: Ints, rows: Ints, owners: int) -> Ints:
        """Return, per owner of rows, the users that still have each operation, (owners, M)."""
        width = len(self.dense)
        length = self.row_start[rows + 1] - self.row_start[rows]
        key = np.repeat(owner * width, length) + self.col[spans(self.row_start[rows], length)]
        if int(self.size.max()) == 1:
            count = np.bincount(key, minlength=owners * width)
        else:
            weight = np.repeat(self.size[rows], length)
            count = np.bincount(key, weights=weight, minlength=owners * width).astype(np.int64)
        return count.reshape(owners, width)

    def rows_with(self, ops: Ints) -> Ints:
        """Return all rows that still have all of these operations."""
        length = self.col_start[ops + 1] - self.col_start[ops]
        rare = int(ops[np.argmin(length)])
        rows = self.row_by_col[self.col_start[rare] : self.col_start[rare + 1]].astype(np.int64)
        for op in ops.tolist():
            if op != rare:
                rows = rows[self.dense[op, rows]]
        return rows


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
    taken: list[tuple[Ints, Ints]] = []
    min_yield = np.inf
    for number in range(MAX_ROUNDS):
        left = len(matrix.row)
        if left == 0:
            break
        seeds = max(8, min(left // CHANGES_PER_SEED, 4 * SEED_BATCH))
        batches = [
            _grow(matrix, number * 64 + batch, min(SEED_BATCH, seeds - low), used.price, limits)
            for batch, low in enumerate(range(0, seeds, SEED_BATCH))
        ]
        sorted_yields = np.sort(np.concatenate([b.yields for b in batches]))
        if len(sorted_yields) == 0:
            break
        # start at the 95th percentile of the yields; never above that of the current candidates
        min_yield = min(min_yield, float(sorted_yields[-1 - len(sorted_yields) // 20]))
        threshold = _Threshold(min_yield=min_yield, price=used.price, limits=limits)
        before = len(taken)
        covered = 0
        for candidates in batches:
            covered += _take_rectangles(matrix, candidates, threshold, taken)
        matrix.refresh()
        used = _update_price(matrix, used, taken[before:], limits)
        if covered <= MIN_COVERED_SHARE * left:
            min_yield *= THRESHOLD_DECAY
            # below this, an operation alone for all its users has nearly the same yield
            if min_yield * used.price < 1.3:
                break
    rest = np.diff(matrix.row_start)
    if balance:
        as_one_part = _choose_rests(matrix, rest, used, limits)
    else:
        as_one_part = np.less((1 - used.price) * rest, used.price * (rest - 1))
    return _collect_parts(matrix, taken, as_one_part & (rest > 1)), used


def _grow(matrix: _Matrix, salt: int, seeds: int, price: float, limits: Limits) -> _Candidates:
    """Return rectangles grown from random operations, weighted by their number of changes."""
    has_op, owner, rows, scale = _seed(matrix, salt, seeds)
    results: list[_Candidates] = []
    best = np.zeros(seeds)
    level = 1
    while len(has_op):
        start = offsets(np.bincount(owner, minlength=len(has_op)))
        known = np.bincount(owner, weights=matrix.size[rows], minlength=len(has_op))
        sampled_items = _sample_evenly(start, SAMPLE_USERS if level == 2 else SAMPLE_USERS // 4)
        sample_owner, sample = owner[sampled_items[1]], rows[sampled_items[1]]
        count = matrix.count_users(sample_owner, sample, len(has_op))
        sample_users = np.bincount(
            sample_owner, weights=matrix.size[sample], minlength=len(has_op)
        ).astype(np.int64)
        # an operation that all users have adds changes and no user slots
        has_op |= (count == sample_users[:, None]) & (sample_users > 0)[:, None]
        wide = has_op.sum(axis=1)
        yields = _compute_yields(known * scale, wide, price, limits)
        yields[wide > limits.segments] = 0
        if level > 1:
            good = np.flatnonzero((yields > 0) & (yields >= 0.8 * best))
            part_start, part_rows = take_rows(start, rows, good)
            results.append(
                _Candidates(
                    has_op=has_op[good],
                    start=part_start,
                    rows=part_rows,
                    is_complete=scale[good] == 1.0,
                    yields=yields[good],
                )
            )
        best = np.maximum(best, yields)
        count[has_op] = 0
        if level == 1:
            # break near ties at random, so that seeds grow in different directions
            noise = hash_numbers(np.arange(count.size), salt).reshape(count.shape) % np.uint64(256)
            count = count * (1024 + noise.astype(np.int64))
            next_ops = count.argmax(axis=1)[:, None]
        elif level == 2:
            next_ops = _top_columns(count, min(BRANCHES, has_op.shape[1]))
        else:
            next_ops = count.argmax(axis=1)[:, None]
        value = np.take_along_axis(count, next_ops, 1)
        grows = (value > 0) & ((yields >= 0.8 * best) & (wide < limits.segments))[:, None]
        parent, which = np.nonzero(grows)
        op = next_ops[parent, which]
        sub_start, sub_rows = take_rows(start, rows, parent)
        owner = np.repeat(np.arange(len(parent), dtype=np.int64), np.diff(sub_start))
        has = matrix.dense[op[owner], sub_rows]
        owner, rows = owner[has], sub_rows[has]
        has_op = has_op[parent]
        has_op[np.arange(len(parent)), op] = True
        scale, best = scale[parent], best[parent]
        level += 1
    return _concatenate(results, len(matrix.dense))


def _seed(matrix: _Matrix, salt: int, seeds: int) -> tuple[Bools, Ints, Ints, Yields]:
    """Draw first operations: (operations, owner and row of each sampled user, users per sample)."""
    width = len(matrix.dense)
    drawn = (hash_numbers(np.arange(seeds), salt + 1000) % np.uint64(len(matrix.col))).astype(
        np.int64
    )
    first = matrix.col[drawn].astype(np.int64)
    begin = matrix.col_start[first]
    length = matrix.col_start[first + 1] - begin
    sampled = np.minimum(length, MAX_SEED_USERS)
    owner = np.repeat(np.arange(seeds, dtype=np.int64), sampled)
    nth = np.arange(len(owner), dtype=np.int64) - np.repeat(offsets(sampled)[:-1], sampled)
    rows = matrix.row_by_col[begin[owner] + nth * length[owner] // sampled[owner]].astype(np.int64)
    has_op = np.zeros((seeds, width), np.bool_)
    has_op[np.arange(seeds), first] = True
    return has_op, owner, rows, length / sampled


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


def _concatenate(results: list[_Candidates], width: int) -> _Candidates:
    if not results:
        none: Ints = np.zeros(0, np.int64)
        return _Candidates(
            has_op=np.zeros((0, width), np.bool_),
            start=np.zeros(1, np.int64),
            rows=none,
            is_complete=np.zeros(0, np.bool_),
            yields=np.zeros(0),
        )
    return _Candidates(
        has_op=np.concatenate([r.has_op for r in results]),
        start=offsets(np.concatenate([np.diff(r.start) for r in results])),
        rows=np.concatenate([r.rows for r in results]),
        is_complete=np.concatenate([r.is_complete for r in results]),
        yields=np.concatenate([r.yields for r in results]),
    )


def _compute_yields(users: Yields, ops: Ints, price: float, limits: Limits) -> Yields:
    """Return changes per unit of cost; each ``limits.users`` users pay the operations again."""
    entries = np.maximum(users / limits.users, 1.0)
    yields: Yields = users * ops / (price * users + (1 - price) * ops * entries)
    return yields


def _take_rectangles(
    matrix: _Matrix,
    candidates: _Candidates,
    threshold: _Threshold,
    taken: list[tuple[Ints, Ints]],
) -> int:
    """Remove candidates that meet the threshold, best first; return the changes covered."""
    good = np.flatnonzero(candidates.yields >= threshold.min_yield)
    good = good[np.argsort(-candidates.yields[good], kind="stable")]
    covered = 0
    for c in good.tolist():
        ops = np.flatnonzero(candidates.has_op[c])
        if candidates.is_complete[c]:
            rows = candidates.rows[candidates.start[c] : candidates.start[c + 1]]
        else:
            rows = matrix.rows_with(ops)
        rows = rows[matrix.dense[ops[:, None], rows].all(axis=0)]
        if len(rows) == 0:
            continue
        if not threshold.is_met(int(matrix.size[rows].sum()), len(ops)):
            continue
        matrix.dense[ops[:, None], rows] = False
        taken.append((rows, ops))
        covered += len(rows) * len(ops)
    return covered


def _update_price(
    matrix: _Matrix, used: SlotUsage, taken: list[tuple[Ints, Ints]], limits: Limits
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


def _collect_parts(matrix: _Matrix, taken: list[tuple[Ints, Ints]], as_one_part: Bools) -> Parts:
    """Return rectangles as parts; the rest of a row is one part, or one for each operation."""
    left = np.diff(matrix.row_start)
    alone = ~as_one_part[matrix.row]
    rest_rows = np.flatnonzero(as_one_part)
    rows = [r for r, _ in taken]
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
