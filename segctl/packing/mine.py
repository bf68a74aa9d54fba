"""Find rectangles: groups of operations that many long rows share, best first.

A rectangle of n users by w operations costs n user slots and w operation slots
and carries n * w changes.  At slot prices p (user) and q (operation) its yield
is n * w / (p * n + q * w) changes a price unit.  Rectangles are grown from one
operation by adding, again and again, the one most of its users still have; those of
high yield are taken out of the matrix first, and what is asked for then sinks step by
step.  Prices follow what has been spent, so that both kinds of slot run out together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.cover import Parts
from segctl.packing.delta import mix
from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets, spans, take

Yields = npt.NDArray[np.float64]

BLOCK = 1 << 26  # cells of the dense matrix that are looked at together
GRAIN = 800  # one seed for so many changes left, a round
BATCH = 256  # seeds grown at a time
BRANCH = 4  # third operations tried a pair
COLUMN = 16384  # users of a seed's first operation that are looked at
SAMPLE = 512  # users a growing rectangle is judged by
ROUNDS = 240  # a block: work is bounded whatever the delta
SINK = 0.95  # each step asks for so much less
GAIN = 0.05
WORTH = 0.01  # a round that takes a smaller share of what is left ends its step


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Slots spent so far, and what a user slot costs when both slots together cost 1."""

    users: int
    ops: int
    price: float


@dataclass(frozen=True, kw_only=True)
class _Terms:
    """On what terms rectangles are taken: a yield asked for, at a price, within limits."""

    asked: float
    price: float
    limits: Limits

    def met(self, users: int, ops: int) -> bool:
        """Tell whether so many users by so many operations yield nearly what is asked."""
        entries = max(users / self.limits.users, 1.0)
        slots = self.price * users + (1 - self.price) * ops * entries
        return users * ops >= 0.97 * self.asked * slots


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Grown rectangles: members (C, M), their known users, their estimated yield."""

    member: Bools
    start: Ints  # (C + 1,) into rows
    rows: Ints
    whole: Bools  # (C,) all users are known, not a sample of them
    gain: Yields


class _Matrix:
    """The changes that are not yet carried, of one block of rows."""

    def __init__(self, start: Ints, cols: Ints, size: Ints, width: int) -> None:
        self.size = size
        # operations by rows: what is looked up together lies together
        self.dense = np.zeros((width, len(size)), np.bool_)
        self.row = np.repeat(np.arange(len(size), dtype=np.int32), np.diff(start))
        self.col = cols.astype(np.int32)
        self.dense[self.col, self.row] = True
        order = np.argsort(self.col, kind="stable")
        self.row_by_col, self.col_by_col = self.row[order], self.col[order]
        self.refresh()

    def refresh(self) -> None:
        """Forget the changes that have been carried since."""
        left = self.dense[self.col, self.row]
        self.row, self.col = self.row[left], self.col[left]
        left = self.dense[self.col_by_col, self.row_by_col]
        self.row_by_col, self.col_by_col = self.row_by_col[left], self.col_by_col[left]
        self.row_start = offsets(np.bincount(self.row, minlength=len(self.size)))
        self.col_start = offsets(np.bincount(self.col, minlength=len(self.dense)))

    def counts(self, owner: Ints, rows: Ints, owners: int) -> Ints:
        """Count for each owner of rows how many users still have each operation, (owners, M)."""
        width = len(self.dense)
        length = self.row_start[rows + 1] - self.row_start[rows]
        key = np.repeat(owner * width, length) + self.col[spans(self.row_start[rows], length)]
        if int(self.size.max()) == 1:
            count = np.bincount(key, minlength=owners * width)
        else:
            weight = np.repeat(self.size[rows], length)
            count = np.bincount(key, weights=weight, minlength=owners * width).astype(np.int64)
        return count.reshape(owners, width)

    def users_of(self, ops: Ints) -> Ints:
        """Find all rows that still have all of these operations."""
        length = self.col_start[ops + 1] - self.col_start[ops]
        rare = int(ops[np.argmin(length)])
        rows = self.row_by_col[self.col_start[rare] : self.col_start[rare + 1]].astype(np.int64)
        for op in ops.tolist():
            if op != rare:
                rows = rows[self.dense[op, rows]]
        return rows


def mine(start: Ints, cols: Ints, size: Ints, limits: Limits, spent: Spent) -> tuple[Parts, Spent]:
    """Split long rows, V of them standing for ``size[v]`` users each, into parts.

    ``spent`` is what the rest of the delta is going to take.  Prices follow the sums.
    """
    width = int(cols.max()) + 1
    step = max(1, BLOCK // width)
    rows, lengths, ops = [], [], []
    # with other rows beside them, long rows need not balance by themselves
    balance = spent.users == 0
    for low in range(0, len(size), step):
        high = min(low + step, len(size))
        block_start = start[low : high + 1] - start[low]
        block = _Matrix(block_start, cols[start[low] : start[high]], size[low:high], width)
        parts, spent = _mine_block(block, limits, spent, balance=balance)
        rows.append(parts.row + low)
        lengths.append(np.diff(parts.start))
        ops.append(parts.ops)
    parts = Parts(
        row=np.concatenate(rows),
        start=offsets(np.concatenate(lengths)),
        ops=np.concatenate(ops),
    )
    return parts, spent


def _mine_block(
    matrix: _Matrix, limits: Limits, spent: Spent, *, balance: bool
) -> tuple[Parts, Spent]:
    """Take rectangles out until what is left is better carried row by row."""
    taken: list[tuple[Ints, Ints]] = []
    asked = np.inf
    for number in range(ROUNDS):
        left = len(matrix.row)
        if left == 0:
            break
        seeds = max(8, min(left // GRAIN, 4 * BATCH))
        found = [
            _grow(matrix, number * 64 + batch, min(BATCH, seeds - low), spent.price, limits)
            for batch, low in enumerate(range(0, seeds, BATCH))
        ]
        gains = np.sort(np.concatenate([f.gain for f in found]))
        if len(gains) == 0:
            break
        # begin with what only one candidate in twenty yields, never wait for more than there is
        asked = min(asked, float(gains[-1 - len(gains) // 20]))
        terms = _Terms(asked=asked, price=spent.price, limits=limits)
        before = len(taken)
        carried = 0
        for candidates in found:
            carried += _accept(matrix, candidates, terms, taken)
        matrix.refresh()
        spent = _settle(matrix, spent, taken[before:], limits)
        if carried <= WORTH * left:
            asked *= SINK
            # by then an operation alone, for all its users, yields nearly as much
            if asked * spent.price < 1.3:
                break
    rest = np.diff(matrix.row_start)
    if balance:
        together = _balancing(matrix, rest, spent, limits)
    else:
        together = np.less((1 - spent.price) * rest, spent.price * (rest - 1))
    return _parts(matrix, taken, together & (rest > 1)), spent


def _grow(matrix: _Matrix, salt: int, seeds: int, price: float, limits: Limits) -> _Candidates:
    """Grow rectangles from single operations, drawn as often as they occur."""
    member, owner, rows, scale = _seed(matrix, salt, seeds)
    results: list[_Candidates] = []
    best = np.zeros(seeds)
    level = 1
    while len(member):
        start = offsets(np.bincount(owner, minlength=len(member)))
        known = np.bincount(owner, weights=matrix.size[rows], minlength=len(member))
        keep = _thin(start, SAMPLE if level == 2 else SAMPLE // 4)
        sample_owner, sample = owner[keep[1]], rows[keep[1]]
        count = matrix.counts(sample_owner, sample, len(member))
        held = np.bincount(sample_owner, weights=matrix.size[sample], minlength=len(member)).astype(
            np.int64
        )
        # what all of them have comes along for nothing
        member |= (count == held[:, None]) & (held > 0)[:, None]
        wide = member.sum(axis=1)
        gain = _yield(known * scale, wide, price, limits)
        gain[wide > limits.segments] = 0
        if level > 1:
            good = np.flatnonzero((gain > 0) & (gain >= 0.8 * best))
            part_start, part_rows = take(start, rows, good)
            results.append(
                _Candidates(
                    member=member[good],
                    start=part_start,
                    rows=part_rows,
                    whole=scale[good] == 1.0,
                    gain=gain[good],
                )
            )
        best = np.maximum(best, gain)
        count[member] = 0
        if level == 1:
            # nearly equal counts are chosen among by lot: seeds shall not all go one way
            lot = mix(np.arange(count.size), salt).reshape(count.shape) % np.uint64(256)
            count = count * (1024 + lot.astype(np.int64))
            nexts = count.argmax(axis=1)[:, None]
        elif level == 2:
            nexts = _top(count, min(BRANCH, member.shape[1]))
        else:
            nexts = count.argmax(axis=1)[:, None]
        value = np.take_along_axis(count, nexts, 1)
        go = (value > 0) & ((gain >= 0.8 * best) & (wide < limits.segments))[:, None]
        parent, which = np.nonzero(go)
        op = nexts[parent, which]
        sub_start, sub_rows = take(start, rows, parent)
        owner = np.repeat(np.arange(len(parent), dtype=np.int64), np.diff(sub_start))
        has = matrix.dense[op[owner], sub_rows]
        owner, rows = owner[has], sub_rows[has]
        member = member[parent]
        member[np.arange(len(parent)), op] = True
        scale, best = scale[parent], best[parent]
        level += 1
    return _join(results, len(matrix.dense))


def _seed(matrix: _Matrix, salt: int, seeds: int) -> tuple[Bools, Ints, Ints, Yields]:
    """Draw first operations: (members, owner and row of each user seen, users a user seen)."""
    width = len(matrix.dense)
    drawn = (mix(np.arange(seeds), salt + 1000) % np.uint64(len(matrix.col))).astype(np.int64)
    first = matrix.col[drawn].astype(np.int64)
    begin = matrix.col_start[first]
    length = matrix.col_start[first + 1] - begin
    seen = np.minimum(length, COLUMN)
    owner = np.repeat(np.arange(seeds, dtype=np.int64), seen)
    nth = np.arange(len(owner), dtype=np.int64) - np.repeat(offsets(seen)[:-1], seen)
    rows = matrix.row_by_col[begin[owner] + nth * length[owner] // seen[owner]].astype(np.int64)
    member = np.zeros((seeds, width), np.bool_)
    member[np.arange(seeds), first] = True
    return member, owner, rows, length / seen


def _top(count: Ints, most: int) -> Ints:
    """Find the ``most`` greatest of each row, the lower index first among equals.

    Not by partition or a quick sort: which of equals those pick depends on the processor.
    """
    left = count.copy()
    nexts = np.empty((len(count), most), np.int64)
    for j in range(most):
        nexts[:, j] = left.argmax(axis=1)
        left[np.arange(len(left)), nexts[:, j]] = -1
    return nexts


def _thin(start: Ints, most: int) -> tuple[Ints, Ints]:
    """Pick up to ``most`` entries of each ragged row, evenly: (offsets, indices)."""
    length = np.diff(start)
    seen = np.minimum(length, most)
    thin = offsets(seen)
    owner = np.repeat(np.arange(len(length), dtype=np.int64), seen)
    nth = np.arange(len(owner), dtype=np.int64) - thin[:-1][owner]
    return thin, start[:-1][owner] + nth * length[owner] // seen[owner]


def _join(results: list[_Candidates], width: int) -> _Candidates:
    if not results:
        none: Ints = np.zeros(0, np.int64)
        return _Candidates(
            member=np.zeros((0, width), np.bool_),
            start=np.zeros(1, np.int64),
            rows=none,
            whole=np.zeros(0, np.bool_),
            gain=np.zeros(0),
        )
    return _Candidates(
        member=np.concatenate([r.member for r in results]),
        start=offsets(np.concatenate([np.diff(r.start) for r in results])),
        rows=np.concatenate([r.rows for r in results]),
        whole=np.concatenate([r.whole for r in results]),
        gain=np.concatenate([r.gain for r in results]),
    )


def _yield(users: Yields, ops: Ints, price: float, limits: Limits) -> Yields:
    """Say how many changes a price unit carries; beyond a request's users it is paid again."""
    entries = np.maximum(users / limits.users, 1.0)
    gain: Yields = users * ops / (price * users + (1 - price) * ops * entries)
    return gain


def _accept(
    matrix: _Matrix,
    candidates: _Candidates,
    terms: _Terms,
    taken: list[tuple[Ints, Ints]],
) -> int:
    """Take candidates out of the matrix, best first, while they meet the terms."""
    good = np.flatnonzero(candidates.gain >= terms.asked)
    good = good[np.argsort(-candidates.gain[good], kind="stable")]
    carried = 0
    for c in good.tolist():
        ops = np.flatnonzero(candidates.member[c])
        if candidates.whole[c]:
            rows = candidates.rows[candidates.start[c] : candidates.start[c + 1]]
        else:
            rows = matrix.users_of(ops)
        rows = rows[matrix.dense[ops[:, None], rows].all(axis=0)]
        if len(rows) == 0:
            continue
        if not terms.met(int(matrix.size[rows].sum()), len(ops)):
            continue
        matrix.dense[ops[:, None], rows] = False
        taken.append((rows, ops))
        carried += len(rows) * len(ops)
    return carried


def _settle(matrix: _Matrix, spent: Spent, taken: list[tuple[Ints, Ints]], limits: Limits) -> Spent:
    """Add what was taken, and move the price towards the kind of slot that runs short."""
    users, ops = spent.users, spent.ops
    for rows, columns in taken:
        held = int(matrix.size[rows].sum())
        users += held
        ops += len(columns) * -(-held // limits.users)
    lead = (users * limits.segments + 1) / (ops * limits.users + 1)
    lead = min(max(lead, 0.5), 2.0)
    pull = 1 + GAIN * (lead - 1) if lead > 1 else 1 / (1 + GAIN * (1 / lead - 1))
    odds = spent.price / (1 - spent.price) * pull
    odds = min(max(odds, 1 / 50), 50.0)
    return Spent(users=users, ops=ops, price=odds / (1 + odds))


def _balancing(matrix: _Matrix, left: Ints, spent: Spent, limits: Limits) -> Bools:
    """Choose the rows whose rest goes together, so that both sums come out alike.

    Those with most left come first: they save most user slots for an operation slot.
    """
    order = np.argsort(-left, kind="stable")
    size = matrix.size[order]
    saved = np.cumsum(size * np.maximum(left[order] - 1, 0))
    costs = np.cumsum(left[order] * -(-size // limits.users))
    users = spent.users + int((matrix.size * left).sum()) - saved
    tall = users * limits.segments > (spent.ops + costs) * limits.users
    together = np.zeros(len(left), np.bool_)
    together[order[: int(np.count_nonzero(tall))]] = True
    return together


def _parts(matrix: _Matrix, taken: list[tuple[Ints, Ints]], together: Bools) -> Parts:
    """Write the parts out; what is left of a row is one part, or one part an operation."""
    left = np.diff(matrix.row_start)
    alone = ~together[matrix.row]
    rest_rows = np.flatnonzero(together)
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
