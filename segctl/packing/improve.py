"""Look for a cover that uses up user slots and operation slots at the same pace.

The number of requests is about the greater of user slots / limits.users and
operation slots / limits.segments.  For any price p between 0 and 1 the cover of least
p * user slots + (1 - p) * operation slots is a best one for its own ratio of the two; so
the search is over p, and, for each p, over covers.  Long rows are first split by
mining; then rounds of splitting and joining follow, in which every row chooses anew
among all subsets of a few of its parts, at prices that count who else chose them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.cover import Parts, join
from segctl.packing.delta import Delta, mix
from segctl.packing.mine import Spent, mine
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets, sort_within, take
from segctl.packing.subsets import DEAREST, UNIT, Split, Subsets, write_out

SUBSETS = 8_000_000  # subsets looked at together: bounds memory, about 100 bytes each
WIDEST = 8  # operations of a row that is split by looking at all its subsets
WARM = 0.1  # what part of its possible users an unused pattern is hoped to get
ROUNDS = 4  # rounds of regrouping the parts of long rows
# operation slots are harder to fill than user slots, since cuts take some: how much harder
# only filling will tell, so a best cover is kept for each guess
SLACKS = (1.0, 1.01, 1.02, 1.04)
ENOUGH = 0.997  # a round that gains less than this is the last
FAR = 64.0  # odds of the price, user slot to operation slot, stay within 1/FAR and FAR
STEPS = 14  # prices tried on the way to balance, from a cold start
DRIFT = 10  # choices made on the way to balance, from a good cover

Estimate = npt.NDArray[np.float64]  # (P,) users a pattern will have, one believes


@dataclass(frozen=True, kw_only=True)
class _Fixed:
    """What a round leaves alone, as it bears on its patterns."""

    usage: Ints  # (P,) users of the round's patterns
    users: int  # user slots in all
    ops: int  # operation slots of patterns the round does not know


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A split of a round: what it takes in requests, and the price it was found at."""

    users: float
    ops: float
    price: float
    split: Split

    @property
    def lead(self) -> float:
        """Tell by how much user slots are scarcer than operation slots, in requests."""
        return self.users - self.ops * SLACKS[1]

    def score(self, slack: float) -> float:
        """Guess the requests it takes; among equals the one of fewer slots is better."""
        return max(self.users, self.ops * slack) + 0.01 * (self.users + self.ops)


@dataclass(frozen=True, kw_only=True)
class _Round:
    """Whole covers, and the price and the score of about the first."""

    covers: list[Parts]
    price: float
    score: float


def improve(delta: Delta, limits: Limits) -> Iterator[Parts]:
    """Yield covers that are worth filling into requests."""
    size = delta.class_size
    width = np.diff(delta.class_start)
    widest = _affordable(width, min(WIDEST, limits.segments))
    short, long = np.flatnonzero(width <= widest), np.flatnonzero(width > widest)
    whole = _rows(delta, short)
    none = whole.only(short[:0])
    spent = Spent(users=0, ops=0, price=0.75)
    first = none
    if len(short):
        # with long rows to come, about the right price is enough
        steps = 9 if len(long) else STEPS
        result = _regroup(whole, none, none, size, limits=limits, price=spent.price, steps=steps)
        if len(long) == 0:
            yield from result.covers
            return
        first = result.covers[0]
        users, ops = _slots(first, size, limits)
        spent = Spent(users=users, ops=ops, price=result.price)
    start, cols = take(delta.class_start, delta.class_cols, long)
    mined, spent = mine(start, cols, size[long], limits, spent)
    mined = Parts(row=long[mined.row], start=mined.start, ops=mined.ops)
    now = join([first, mined])
    yield now
    price, score = spent.price, float("inf")
    regrouped = min(max(widest, 6), WIDEST, limits.segments)
    budget = max(SUBSETS - int((1 << width[short]).sum()), SUBSETS // 4)
    for number in range(ROUNDS):
        mined = now.only(np.flatnonzero(width[now.row] > widest))
        free, kept = _release(mined, regrouped, number, budget)
        if len(free.row) == 0:
            return
        result = _regroup(join([whole, free]), kept, now, size, limits=limits, price=price)
        yield from result.covers
        if result.score > score * ENOUGH:
            return
        now, price, score = result.covers[0], result.price, result.score


def _rows(delta: Delta, rows: Ints) -> Parts:
    start, cols = take(delta.class_start, delta.class_cols, rows)
    return Parts(row=rows, start=start, ops=cols)


def _affordable(width: Ints, most: int) -> int:
    """Find the widest rows whose subsets can all be looked at together."""
    count = np.bincount(np.minimum(width, most + 1), minlength=most + 2)
    total = np.cumsum(count[: most + 1] << np.arange(most + 1))
    return int(np.searchsorted(total, SUBSETS, side="right")) - 1


def _slots(parts: Parts, size: Ints, limits: Limits) -> tuple[int, int]:
    """Count the user slots and operation slots of a cover."""
    _, first, pattern = np.unique(parts.digest(), return_index=True, return_inverse=True)
    users = np.bincount(pattern, weights=size[parts.row]).astype(np.int64)
    return int(users.sum()), int((np.diff(parts.start)[first] * -(-users // limits.users)).sum())


def _release(parts: Parts, widest: int, salt: int, budget: int) -> tuple[Parts, Parts]:
    """Group parts of the same row, other ones each time, into rows to be split anew.

    Returns the groups, as rows of up to ``widest`` operations, and the parts left alone.
    """
    width = np.diff(parts.start)
    order = np.lexsort((mix(np.arange(len(width)), salt + 500), parts.row))
    row, wide = parts.row[order], width[order]
    first = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1])))
    end = np.cumsum(wide)
    begin = end - wide
    base = np.repeat(begin[first], np.diff(np.concatenate((first, [len(row)]))))
    slot = (begin - base) // widest
    fits = (end - base - 1) // widest == slot
    fresh = np.concatenate(([True], (row[1:] != row[:-1]) | (slot[1:] != slot[:-1])))
    group = np.cumsum(fresh) - 1
    total = np.bincount(group, weights=wide * fits).astype(np.int64)
    # a group of one part alone may still be split: all are worth a look, within the budget
    lot = np.argsort(mix(np.arange(len(total)), salt + 900), kind="stable")
    chosen = np.zeros(len(total), np.bool_)
    chosen[lot[np.cumsum(1 << total[lot]) <= budget]] = True
    free = fits & chosen[group]
    picked = parts.only(order[free])
    label = np.cumsum(np.diff(group[free], prepend=-1) != 0) - 1
    length = np.bincount(label, weights=np.diff(picked.start)).astype(np.int64)
    start = offsets(length)
    rows = np.zeros(len(length), np.int64)
    rows[label] = picked.row
    merged = Parts(row=rows, start=start, ops=sort_within(start, picked.ops))
    return merged, parts.only(np.sort(order[~free]))


def _regroup(
    rows: Parts,
    kept: Parts,
    now: Parts,
    size: Ints,
    *,
    limits: Limits,
    price: float,
    steps: int = 0,
) -> _Round:
    """Split rows anew, and look for the price at which both kinds of slot are used alike."""
    subsets = Subsets(rows.start, rows.ops, size[rows.row])
    fixed = _fixed(subsets, kept, size, limits)
    possible = np.minimum(subsets.support + fixed.usage, limits.users).astype(np.float64)
    found: list[_Found | None] = [None for _ in SLACKS]
    if len(now.row):
        usage = subsets.usage_of(now.digest(), size[now.row])
        known = np.where(usage > 0, np.minimum(usage, limits.users), WARM * possible)
        tries = _drift(subsets, fixed, np.maximum(known, 1.0), price, limits)
    else:
        tries = _bisect(subsets, fixed, possible, price, limits, steps=steps)
    for split in _bridged(subsets, fixed, tries, limits):
        for i, slack in enumerate(SLACKS):
            best = found[i]
            if best is None or split.score(slack) < best.score(slack):
                found[i] = split
    covers: list[Parts] = []
    different = {id(f): f for f in found if f is not None}
    for one in different.values():
        start, ops = write_out(one.split, rows.start, rows.ops)
        covers.append(join([Parts(row=rows.row[one.split.row], start=start, ops=ops), kept]))
    middle = found[2]
    return _Round(
        covers=covers,
        price=next(iter(different.values())).price,
        score=middle.score(SLACKS[2]) if middle else float("inf"),
    )


def _fixed(subsets: Subsets, kept: Parts, size: Ints, limits: Limits) -> _Fixed:
    digest = kept.digest()
    users = size[kept.row]
    usage = subsets.usage_of(digest, users)
    at = np.minimum(np.searchsorted(subsets.hashes, digest), len(subsets.hashes) - 1)
    unknown = np.flatnonzero(subsets.hashes[at] != digest)
    ops = _slots(kept.only(unknown), size, limits)[1] if len(unknown) else 0
    return _Fixed(usage=usage, users=int(users.sum() - usage.sum()), ops=ops)


def _bisect(
    subsets: Subsets, fixed: _Fixed, estimate: Estimate, price: float, limits: Limits, *, steps: int
) -> Iterator[_Found]:
    """Find the price by narrowing an interval of odds; each price starts afresh."""
    low, high, step = 1 / FAR, FAR, 2.0
    odds = price / (1 - price)
    for _ in range(steps):
        guess = estimate
        lead = 0.0
        for _ in range(4):
            found, guess = _choose(subsets, fixed, guess, odds, limits)
            lead = found.lead
            yield found
        low, high = (odds, high) if lead > 0 else (low, odds)
        if low > 1 / FAR and high < FAR:
            # a root and no power: the same to the last bit on any machine
            odds = math.sqrt(low * high)
        else:
            odds = odds * step if lead > 0 else odds / step
            step *= step
            if not 1 / FAR < odds < FAR:
                return


def _drift(
    subsets: Subsets, fixed: _Fixed, estimate: Estimate, price: float, limits: Limits
) -> Iterator[_Found]:
    """Move the price a little after every choice, from a cover that is good already."""
    odds, step, before = price / (1 - price), 0.07, 0.0
    for number in range(DRIFT):
        found, estimate = _choose(subsets, fixed, estimate, odds, limits)
        yield found
        if number == 0:
            # far from balance the first steps are long
            step = max(step, min(1.0, 2 * abs(found.lead) / (found.users + found.ops)))
        if number > 1:
            step *= 0.6 if found.lead * before < 0 else 1.2
        before = found.lead
        odds = odds * (1 + step) if found.lead > 0 else odds / (1 + step)
        odds = min(max(odds, 1 / FAR), FAR)


def _choose(
    subsets: Subsets, fixed: _Fixed, estimate: Estimate, odds: float, limits: Limits
) -> tuple[_Found, Estimate]:
    """Let rows choose at estimated prices, and estimates follow what was chosen."""
    price = odds / (1 + odds)
    width = subsets.width
    share = np.where(fixed.usage > 0, limits.users, estimate)
    ops_price = (1 - price) * limits.users / limits.segments
    cost = np.minimum(np.rint(UNIT * (price + ops_price * width / share)), DEAREST).astype(np.int32)
    split = subsets.split(cost)
    usage = split.usage + fixed.usage
    unused = np.maximum(estimate * 0.5, 1.0)
    estimate = np.where(usage > 0, np.minimum(usage, limits.users), unused)
    return _found(subsets, fixed, split, price, limits), estimate


def _found(subsets: Subsets, fixed: _Fixed, split: Split, price: float, limits: Limits) -> _Found:
    usage = split.usage + fixed.usage
    entries = -(-usage // limits.users)
    return _Found(
        users=(int(usage.sum()) + fixed.users) / limits.users,
        ops=(int((subsets.width * entries).sum()) + fixed.ops) / limits.segments,
        price=price,
        split=split,
    )


def _bridged(
    subsets: Subsets, fixed: _Fixed, tries: Iterator[_Found], limits: Limits
) -> Iterator[_Found]:
    """Add mixtures of the best split on either side of balance.

    Many rows may change their mind at one price, and the balance lie in the gap.
    """
    tall: _Found | None = None
    wide: _Found | None = None
    for found in tries:
        yield found
        if found.lead > 0 and (tall is None or found.score(SLACKS[2]) < tall.score(SLACKS[2])):
            tall = found
        if found.lead <= 0 and (wide is None or found.score(SLACKS[2]) < wide.score(SLACKS[2])):
            wide = found
    if tall is None or wide is None:
        return
    low, high = 0, 1024
    for _ in range(5):
        share = (low + high) // 2
        split = subsets.mixed(tall.split, wide.split, share)
        found = _found(subsets, fixed, split, (tall.price + wide.price) / 2, limits)
        yield found
        low, high = (share, high) if found.lead > 0 else (low, share)
