"""The lower bound by widths: a wide entry has few users, so it is expensive for each of them.

For deltas with long rows. ``docs/packing.md`` has the proof. A line is a user or an operation, and
a cell one of the other kind: the bound holds with both exchanged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, exp

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import COST_UNITS, PRICE_UNITS, Certificate
from segctl.packing.delta import Delta
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets, spans

MAX_MATRIX = 1 << 26  # lines times cells
MAX_OCCURRENCES = 160_000_000  # sets of cells in all lines that are counted
MAX_SETS = 160_000_000  # sets of cells that are counted
WORK_PER_CHANGE = 180  # both are less for a small delta
MAX_TRIPLES = 1 << 23  # counted at once
MAX_HOLDERS = 4_000_000  # lines in the groups that are examined
MAX_EXAMINED = 1_500_000_000  # lines in groups, times cells
MAX_BLOCKS = 32
_LEAST_SET, _MOST_SET = 3, 5
_MEAN_LINES = 8.0  # of a set: sets that more lines have on average say little
_GROUP_CELLS = 1 << 22

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """R lines with ascending cells, of ``cells`` kinds."""

    start: Ints  # (R + 1,)
    cols: Ints
    cells: int

    @property
    def width(self) -> Ints:
        return np.diff(self.start)


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """Which sets are counted: ``size`` cells of one block, if ``least`` lines have them."""

    blocks: int
    size: int
    least: int


def prove_by_widths(delta: Delta, limits: Limits, *, by_ops: bool) -> Certificate | None:
    """Return the certificate for strict counting, by users or by operations as lines.

    ``None`` if it takes too much work.
    """
    if len(delta.users) * len(delta.ops) > MAX_MATRIX:
        return None
    lines = _take_lines(delta, by_ops=by_ops)
    scan = _choose_scan(lines)
    if scan is None:
        return None
    widest = _find_widest(lines, scan)
    if widest is None:
        return None
    own, other = (limits.segments, limits.users) if by_ops else (limits.users, limits.segments)
    costs = {
        price: _total_cost(lines.width, scan, widest, price, own=own, other=other)
        for price in range(32, PRICE_UNITS, 32)
    }
    price = max(costs, key=lambda price: costs[price])
    return Certificate(
        proof="operation widths" if by_ops else "user widths",
        floor=-(-costs[price] // (COST_UNITS * own)),
        price=price,
        blocks=scan.blocks,
        subset_ops=scan.size,
        least_group=scan.least,
    )


def _take_lines(delta: Delta, *, by_ops: bool) -> _Lines:
    row = np.repeat(np.arange(len(delta.users), dtype=np.int64), np.diff(delta.row_start))
    if not by_ops:
        return _Lines(start=delta.row_start, cols=delta.cols, cells=len(delta.ops))
    order = np.argsort(delta.cols, kind="stable")
    per_op = np.bincount(delta.cols, minlength=len(delta.ops))
    return _Lines(start=offsets(per_op), cols=row[order], cells=len(delta.users))


def _choose_scan(lines: _Lines) -> _Scan | None:
    """Return the fewest blocks that the work allows, for the smallest sets that few lines have."""
    row = np.repeat(np.arange(len(lines.width), dtype=np.int64), lines.width)
    work = WORK_PER_CHANGE * len(lines.cols)
    for size in range(_LEAST_SET, _MOST_SET + 1):
        for blocks in range(1, MAX_BLOCKS + 1):
            edges = _block_edges(lines.cells, blocks)
            sets = sum(comb(int(m), size) for m in np.diff(edges))
            if sets == 0:
                break
            triples = comb(int(np.diff(edges).max()), 3)
            if sets > min(MAX_SETS, work) or triples > MAX_TRIPLES:
                continue
            block = np.searchsorted(edges, lines.cols, side="right") - 1
            own = np.bincount(row * blocks + block, minlength=len(lines.width) * blocks)
            number = np.bincount(own)
            occurrences = sum(comb(k, size) * int(n) for k, n in enumerate(number.tolist()))
            if occurrences > min(MAX_OCCURRENCES, work):
                continue
            mean = occurrences / sets
            if mean > _MEAN_LINES:
                break
            return _Scan(blocks=blocks, size=size, least=_choose_least(sets, mean, lines))
    return None


def _choose_least(sets: int, mean: float, lines: _Lines) -> int:
    """Return the smallest group for which a random delta has few enough lines in groups."""
    chance, least = exp(-mean), 0
    holders = sets * mean
    # Less than the limit: real deltas have more large groups.
    most = min(0.75 * MAX_HOLDERS, MAX_EXAMINED / lines.cells, 8 * len(lines.cols))
    while holders > most or least < 2:
        holders -= sets * chance * least
        least += 1
        chance *= mean / least
    return least


def _block_edges(cells: int, blocks: int) -> Ints:
    """Return the (blocks + 1,) first cells of the blocks."""
    return np.arange(blocks + 1, dtype=np.int64) * cells // blocks


def _find_widest(lines: _Lines, scan: _Scan) -> list[int] | None:
    """Return for each number of lines n an upper bound on the cells that n lines have in common.

    It holds for numbers from ``scan.least``, if the cells have ``scan.size`` in one block. ``None``
    if too many lines are in groups.
    """
    widest: dict[int, int] = {}
    holders = 0
    edges = _block_edges(lines.cells, scan.blocks)
    has = np.zeros((len(lines.width), lines.cells), np.bool_)
    has[np.repeat(np.arange(len(lines.width)), lines.width), lines.cols] = True
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        for groups, members in _Block(has[:, low:high], scan).groups():
            holders += len(members)
            if holders > MAX_HOLDERS:
                return None
            _examine(lines, groups, members, scan.least, widest)
    most = max(widest, default=0)
    found = [0] * (most + 1)
    for n in range(most, scan.least - 1, -1):
        found[n] = max(widest.get(n, 0), found[n + 1] if n < most else 0)
    return found


class _Block:
    """The sets of cells of one block; a set is found by its cells in descending order."""

    def __init__(self, has: Bools, scan: _Scan) -> None:
        """Index the (R, m) matrix of the lines that have each cell of the block."""
        self._has = has
        self._scan = scan
        row, col = np.nonzero(has)
        width = np.bincount(row, minlength=len(has))
        self._cells = np.zeros((int(width.max(initial=0)), len(has)), np.int64)
        self._cells[np.arange(len(row)) - offsets(width)[row], row] = col
        self._upto = np.cumsum(has, axis=1, dtype=np.int16)

    def groups(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield (G,) sizes of groups and the lines in them: those that have all cells of a set."""
        every = np.arange(len(self._has), dtype=np.int64)
        yield from self._extend(every, self._has.shape[1], self._scan.size - 3)

    def _extend(self, lines: Ints, end: int, more: int) -> Iterator[tuple[Ints, Ints]]:
        """Yield the groups of sets that begin with ``more`` cells, all before ``end``."""
        if len(lines) < self._scan.least:
            return
        if more:
            own = self._has[lines]
            for cell in range(2 + more, end):
                yield from self._extend(lines[own[:, cell]], cell, more - 1)
            return
        width = self._upto[lines, end - 1].astype(np.int64)
        order = np.argsort(-width, kind="stable")
        order = order[: int((width > 2).sum())]
        if len(order) >= self._scan.least:
            lines, width = lines[order], width[order]
            yield from _scan_triples(self._cells[:, lines], width, lines, self._scan.least)


def _scan_triples(cells: Ints, width: Ints, lines: Ints, least: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield the groups of triples; the columns of ``cells`` are lines, the widest first."""
    longest = int(width[0])
    wider = np.searchsorted(-width, -np.arange(longest + 1), side="right")
    second, third = cells * (cells - 1) // 2, cells * (cells - 1) * (cells - 2) // 6
    pairs = np.empty((comb(longest, 2), len(lines)), np.int64)
    keys = np.empty(sum(comb(int(w), 3) for w in width.tolist()), np.int64)
    ends = [0]
    for k in range(1, longest):
        count, here = comb(k, 2), int(wider[k + 1])
        if count:
            total = ends[-1] + count * here
            part = keys[ends[-1] : total].reshape(count, here)
            np.add(pairs[:count, :here], third[k, :here], out=part)
            ends.append(total)
        np.add(cells[:k, :here], second[k, :here], out=pairs[count : count + k, :here])
    often = np.bincount(keys) >= least
    if not often.any():
        return
    hits = np.flatnonzero(often[keys])
    segment = np.searchsorted(np.array(ends), hits, side="right") - 1
    line = (hits - np.array(ends)[segment]) % wider[segment + 3]
    order = np.argsort(keys[hits], kind="stable")
    found = keys[hits][order]
    begins = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    yield np.diff(np.append(begins, len(found))), lines[line[order]]


def _examine(lines: _Lines, sizes: Ints, members: Ints, least: int, widest: dict[int, int]) -> None:
    """Raise ``widest[n]`` to the number of cells that n lines of one group have."""
    step = max(1, _GROUP_CELLS // lines.cells)
    start = offsets(sizes)
    for low in range(0, len(sizes), step):
        high = min(low + step, len(sizes))
        some = members[start[low] : start[high]]
        group = np.repeat(np.arange(high - low, dtype=np.int64), sizes[low:high])
        width = lines.width[some]
        key = np.repeat(group * lines.cells, width) + lines.cols[spans(lines.start[some], width)]
        count = np.bincount(key, minlength=(high - low) * lines.cells)
        count = count.reshape(high - low, lines.cells)
        for n in range(least, int(sizes[low:high].max()) + 1):
            most = int((count >= n).sum(axis=1).max())
            widest[n] = max(widest.get(n, 0), most)


def _total_cost(
    width: Ints, scan: _Scan, widest: list[int], price: int, *, own: int, other: int
) -> int:
    """Return the cost of all lines at a price of their slots, in ``COST_UNITS`` of one.

    ``own`` and ``other`` are the limits of a request: of lines, and of cells.
    """
    number = np.bincount(width)
    first = scan.blocks * (scan.size - 1) + 1
    least = [0]
    part = [0]
    for cells in range(1, min(len(number) - 1, other) + 1):
        lines = own
        if cells >= first:
            found = [n for n in range(scan.least, len(widest)) if widest[n] >= cells]
            lines = min(own, max(found, default=scan.least - 1))
        of_cells = COST_UNITS * (PRICE_UNITS - price) * own * cells
        part.append(COST_UNITS // PRICE_UNITS * price + of_cells // (PRICE_UNITS * other * lines))
    for cells in range(1, len(number)):
        most = min(cells, other)
        least.append(min(part[w] + least[cells - w] for w in range(1, most + 1)))
    return sum(int(n) * c for n, c in zip(number.tolist(), least, strict=True))
