"""Search for a set cover with balanced user slots and operation slots.

The number of requests is about the larger of user slots / limits.users and
operation slots / limits.segments.  By Lagrangian relaxation, a cover of least
p * user slots + (1 - p) * operation slots, for a price p between 0 and 1, is optimal for its
own ratio of the two.  So the search is over p and, for each p, over covers.  Long rows
are first split into rectangles (``rectangles.py``).  Rounds of local search follow: some parts
of each row are merged and split again into the cheapest subsets, at prices that depend on
how many users chose each subset in the previous iteration.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.cover import Parts, join
from segctl.packing.delta import Delta, hash_numbers
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets, sort_within, take_rows
from segctl.packing.rectangles import SlotUsage, mine_rectangles
from segctl.packing.subsets import MAX_PRICE, UNIT, Split, Subsets, list_part_ops

MAX_SUBSETS = 8_000_000  # limits memory: about 100 bytes each
MAX_WIDTH = 8  # operations of a row that is split by enumerating all its subsets
UNUSED_SHARE = 0.1  # initial estimate for an unused pattern: this share of its possible users
MAX_ROUNDS = 4  # rounds of local search on the parts of long rows
# cuts use additional operation slots; how many is known only after bin packing, so the best
# cover is kept for each of these factors
SLACKS = (1.0, 1.01, 1.02, 1.04)
MIN_IMPROVEMENT = 0.9995  # stop if no round of two has a score below this share of the best
MAX_ODDS = 64.0  # p / (1 - p) stays between 1/MAX_ODDS and MAX_ODDS
BISECTION_STEPS = 14  # prices tried without a known cover
DESCENT_STEPS = 10  # prices tried from a known cover

Estimate = npt.NDArray[np.float64]  # (P,) estimated users of each pattern


@dataclass(frozen=True, kw_only=True)
class _FixedSlots:
    """Slots of the parts that a round does not change."""

    usage: Ints  # (P,) users that these parts add to each pattern of the round
    users: int  # user slots of parts that are not a pattern of the round
    ops: int  # operation slots of parts that are not a pattern of the round
    capacity: Ints  # (P,) users of a pattern that share its operation slots


@dataclass(frozen=True, kw_only=True)
class _PricedSplit:
    """A split, the price it was computed at, and its slots in units of whole requests."""

    users: float
    ops: float
    price: float
    split: Split

    @property
    def imbalance(self) -> float:
        """Return user slots minus operation slots with slack, in requests."""
        return self.users - self.ops * SLACKS[1]

    def score(self, slack: float) -> float:
        """Return the estimated requests, plus a small term that prefers fewer slots."""
        return max(self.users, self.ops * slack) + 0.01 * (self.users + self.ops)


@dataclass(frozen=True, kw_only=True)
class _RoundResult:
    """Covers of the whole delta, and the price and score for the next round."""

    covers: list[Parts]
    price: float
    score: float


def search_covers(delta: Delta, limits: Limits) -> Iterator[Parts]:
    """Yield covers to pack into requests, improving from round to round."""
    size = delta.class_size
    width = np.diff(delta.class_start)
    widest = _max_affordable_width(width, min(MAX_WIDTH, limits.segments))
    short, long = np.flatnonzero(width <= widest), np.flatnonzero(width > widest)
    whole = _select_rows(delta, short)
    none = whole.select(short[:0])
    used = SlotUsage(users=0, ops=0, price=0.75)
    first = none
    if len(short):
        # an approximate price is enough if long rows follow
        steps = 9 if len(long) else BISECTION_STEPS
        result = _split_again(whole, none, none, size, limits=limits, price=used.price, steps=steps)
        if len(long) == 0:
            yield from result.covers
            return
        first = result.covers[0]
        users, ops = _count_slots(first, size, limits)
        used = SlotUsage(users=users, ops=ops, price=result.price)
    start, cols = take_rows(delta.class_start, delta.class_cols, long)
    mined, used = mine_rectangles(start, cols, size[long], limits, used)
    mined = Parts(row=long[mined.row], start=mined.start, ops=mined.ops)
    current = join([first, mined])
    yield current
    price, score, failed = used.price, float("inf"), 0
    merged_width = min(max(widest, 6), MAX_WIDTH, limits.segments)
    budget = max(MAX_SUBSETS - int((1 << width[short]).sum()), MAX_SUBSETS // 4)
    for round_number in range(MAX_ROUNDS):
        mined = current.select(np.flatnonzero(width[current.row] > widest))
        movable, kept = _merge_parts(mined, merged_width, round_number, budget)
        if len(movable.row) == 0:
            return
        result = _split_again(
            join([whole, movable]), kept, current, size, limits=limits, price=price
        )
        yield from result.covers
        failed = failed + 1 if result.score > score * MIN_IMPROVEMENT else 0
        if failed == 2:
            return
        current, price, score = result.covers[0], result.price, min(score, result.score)


def _select_rows(delta: Delta, rows: Ints) -> Parts:
    start, cols = take_rows(delta.class_start, delta.class_cols, rows)
    return Parts(row=rows, start=start, ops=cols)


def _max_affordable_width(width: Ints, most: int) -> int:
    """Return the largest row width for which all subsets fit into ``MAX_SUBSETS``."""
    count = np.bincount(np.minimum(width, most + 1), minlength=most + 2)
    total = np.cumsum(count[: most + 1] << np.arange(most + 1))
    return int(np.searchsorted(total, MAX_SUBSETS, side="right")) - 1


def _count_slots(parts: Parts, size: Ints, limits: Limits) -> tuple[int, int]:
    """Return the user slots and operation slots of a cover."""
    _, first, pattern = np.unique(parts.digest(), return_index=True, return_inverse=True)
    users = np.bincount(pattern, weights=size[parts.row]).astype(np.int64)
    return int(users.sum()), int((np.diff(parts.start)[first] * -(-users // limits.users)).sum())


def _merge_parts(parts: Parts, widest: int, salt: int, budget: int) -> tuple[Parts, Parts]:
    """Merge random parts of each row into rows of up to ``widest`` operations.

    Returns the merged rows, which are split again, and the other parts.  ``salt`` selects
    the parts, and ``budget`` limits the subsets of all merged rows together.
    """
    width = np.diff(parts.start)
    order = np.lexsort((hash_numbers(np.arange(len(width)), salt + 500), parts.row))
    row, wide = parts.row[order], width[order]
    first = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1])))
    end = np.cumsum(wide)
    begin = end - wide
    base = np.repeat(begin[first], np.diff(np.concatenate((first, [len(row)]))))
    slot = (begin - base) // widest
    fits = (end - base - 1) // widest == slot
    is_group_start = np.concatenate(([True], (row[1:] != row[:-1]) | (slot[1:] != slot[:-1])))
    group = np.cumsum(is_group_start) - 1
    total = np.bincount(group, weights=wide * fits).astype(np.int64)
    # a group of one part can be split too, so groups are chosen at random up to the budget
    random_order = np.argsort(hash_numbers(np.arange(len(total)), salt + 900), kind="stable")
    chosen = np.zeros(len(total), np.bool_)
    chosen[random_order[np.cumsum(1 << total[random_order]) <= budget]] = True
    movable = fits & chosen[group]
    picked = parts.select(order[movable])
    merged_row = np.cumsum(np.diff(group[movable], prepend=-1) != 0) - 1
    length = np.bincount(merged_row, weights=np.diff(picked.start)).astype(np.int64)
    start = offsets(length)
    rows = np.zeros(len(length), np.int64)
    rows[merged_row] = picked.row
    merged = Parts(row=rows, start=start, ops=sort_within(start, picked.ops))
    return merged, parts.select(np.sort(order[~movable]))


def _split_again(
    rows: Parts,
    kept: Parts,
    current: Parts,
    size: Ints,
    *,
    limits: Limits,
    price: float,
    steps: int = 0,
) -> _RoundResult:
    """Split rows again, searching for the price that balances the two kinds of slot.

    ``kept`` are parts that do not change.  ``current`` is the current cover, or empty.
    """
    subsets = Subsets(rows.start, rows.ops, size[rows.row], shared=kept.digest())
    fixed = _count_fixed_slots(subsets, kept, size, limits)
    possible = np.minimum(subsets.support + fixed.usage, fixed.capacity).astype(np.float64)
    best_splits: list[_PricedSplit | None] = [None for _ in SLACKS]
    if len(current.row):
        usage, _ = subsets.count_usage(current.digest(), size[current.row])
        known = np.where(usage > 0, np.minimum(usage, limits.users), UNUSED_SHARE * possible)
        tries = _descend(subsets, fixed, np.maximum(known, 1.0), price, limits)
    else:
        tries = _bisect(subsets, fixed, possible, price, limits, steps=steps)
    for split in _add_mixtures(subsets, fixed, tries, limits):
        for i, slack in enumerate(SLACKS):
            best = best_splits[i]
            if best is None or split.score(slack) < best.score(slack):
                best_splits[i] = split
    covers: list[Parts] = []
    distinct_splits = {id(f): f for f in best_splits if f is not None}
    for priced_split in distinct_splits.values():
        start, ops = list_part_ops(priced_split.split, rows.start, rows.ops)
        covers.append(
            join([Parts(row=rows.row[priced_split.split.row], start=start, ops=ops), kept])
        )
    middle = best_splits[2]
    return _RoundResult(
        covers=covers,
        price=next(iter(distinct_splits.values())).price,
        score=middle.score(SLACKS[2]) if middle else float("inf"),
    )


def _count_fixed_slots(subsets: Subsets, kept: Parts, size: Ints, limits: Limits) -> _FixedSlots:
    digest = kept.digest()
    users = size[kept.row]
    usage, known = subsets.count_usage(digest, users)
    unknown = np.flatnonzero(~known)
    ops = _count_slots(kept.select(unknown), size, limits)[1] if len(unknown) else 0
    capacity = np.full(len(usage), limits.users)
    capacity[: subsets.unshared] = 1
    return _FixedSlots(
        usage=usage, users=int(users.sum() - usage.sum()), ops=ops, capacity=capacity
    )


def _bisect(
    subsets: Subsets,
    fixed: _FixedSlots,
    estimate: Estimate,
    price: float,
    limits: Limits,
    *,
    steps: int,
) -> Iterator[_PricedSplit]:
    """Yield splits during a bisection on the odds of the price.

    Each price starts from the same estimate, for four iterations.
    """
    low, high, step = 1 / MAX_ODDS, MAX_ODDS, 2.0
    odds = price / (1 - price)
    for _ in range(steps):
        guess = estimate
        imbalance = 0.0
        for _ in range(4):
            priced, guess = _split_at_odds(subsets, fixed, guess, odds, limits)
            imbalance = priced.imbalance
            yield priced
        low, high = (odds, high) if imbalance > 0 else (low, odds)
        if low > 1 / MAX_ODDS and high < MAX_ODDS:
            # sqrt is correctly rounded on every machine; a power is not
            odds = math.sqrt(low * high)
        else:
            odds = odds * step if imbalance > 0 else odds / step
            step *= step
            if not 1 / MAX_ODDS < odds < MAX_ODDS:
                return


def _descend(
    subsets: Subsets, fixed: _FixedSlots, estimate: Estimate, price: float, limits: Limits
) -> Iterator[_PricedSplit]:
    """Yield splits while the price moves in small steps from that of a known cover."""
    odds, step, before = price / (1 - price), 0.07, 0.0
    for round_number in range(DESCENT_STEPS):
        priced, estimate = _split_at_odds(subsets, fixed, estimate, odds, limits)
        yield priced
        if round_number == 0:
            # start with larger steps if the slots are far from balanced
            step = max(step, min(1.0, 2 * abs(priced.imbalance) / (priced.users + priced.ops)))
        if round_number > 1:
            step *= 0.6 if priced.imbalance * before < 0 else 1.2
        before = priced.imbalance
        odds = odds * (1 + step) if priced.imbalance > 0 else odds / (1 + step)
        odds = min(max(odds, 1 / MAX_ODDS), MAX_ODDS)


def _split_at_odds(
    subsets: Subsets, fixed: _FixedSlots, estimate: Estimate, odds: float, limits: Limits
) -> tuple[_PricedSplit, Estimate]:
    """Return the cheapest split at the estimated usage, and the estimate updated from it."""
    price = odds / (1 + odds)
    width = subsets.width
    share = np.where(fixed.usage > 0, limits.users, estimate)
    ops_price = (1 - price) * limits.users / limits.segments
    cost = np.minimum(np.rint(UNIT * (price + ops_price * width / share)), MAX_PRICE).astype(
        np.int32
    )
    split = subsets.split(cost)
    usage = split.usage + fixed.usage
    unused = np.maximum(estimate * 0.5, 1.0)
    estimate = np.where(usage > 0, np.minimum(usage, fixed.capacity), unused)
    return _price_split(subsets, fixed, split, price, limits), estimate


def _price_split(
    subsets: Subsets, fixed: _FixedSlots, split: Split, price: float, limits: Limits
) -> _PricedSplit:
    usage = split.usage + fixed.usage
    entries = -(-usage // fixed.capacity)
    return _PricedSplit(
        users=(int(usage.sum()) + fixed.users) / limits.users,
        ops=(int((subsets.width * entries).sum()) + fixed.ops) / limits.segments,
        price=price,
        split=split,
    )


def _add_mixtures(
    subsets: Subsets, fixed: _FixedSlots, tries: Iterator[_PricedSplit], limits: Limits
) -> Iterator[_PricedSplit]:
    """Yield the tried splits, then mixtures of the best two on each side of balance.

    Many rows can switch their split at one price, which jumps over the balance.  A mixture
    takes some rows from one split and the rest from the other.
    """
    tall: _PricedSplit | None = None
    wide: _PricedSplit | None = None
    for priced in tries:
        yield priced
        if priced.imbalance > 0 and (
            tall is None or priced.score(SLACKS[2]) < tall.score(SLACKS[2])
        ):
            tall = priced
        if priced.imbalance <= 0 and (
            wide is None or priced.score(SLACKS[2]) < wide.score(SLACKS[2])
        ):
            wide = priced
    if tall is None or wide is None:
        return
    low, high = 0, 1024
    for _ in range(5):
        share = (low + high) // 2
        split = subsets.mix_splits(tall.split, wide.split, share)
        priced = _price_split(subsets, fixed, split, (tall.price + wide.price) / 2, limits)
        yield priced
        low, high = (share, high) if priced.imbalance > 0 else (low, share)
