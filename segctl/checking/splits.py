"""Recompute the lower bound by splits that a certificate claims.

Every set of operations is named by a 64-bit number. Sets with equal numbers are counted as one,
which lowers the bound: a wrong bound is never confirmed. Sets are counted in passes over the rows,
so that memory is limited.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import COST_UNITS, MAX_COST, PRICE_UNITS, Certificate

Ints = npt.NDArray[np.int64]
Names = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

PASS_SETS = 1 << 22
"""Sets of operations that are counted in one pass: about 200 MB."""

MAX_ROW_OPS = 10
MAX_ROW = 16
MAX_SUBSET_OPS = 4
"""Limits of the numbers of a certificate. Above them the check would take hours."""

_BLOCK_SETS = 1 << 19
"""Sets of operations computed together."""


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Rows of k operations each: (k, n) operations, the rarest first, and (n,) users of each."""

    ops: Ints
    users: Ints


def is_checkable(certificate: Certificate) -> bool:
    """Return whether the numbers of a certificate by splits are within the limits."""
    return (
        0 < certificate.price < PRICE_UNITS
        and 0 < certificate.row_ops <= MAX_ROW_OPS
        and 0 <= certificate.max_row <= MAX_ROW
        and 0 < certificate.subset_ops <= MAX_SUBSET_OPS
    )


def recompute_floor(
    user: Ints, op: Ints, certificate: Certificate, *, max_users: int, max_ops: int
) -> int:
    """Return the lower bound that the numbers of the certificate prove for strict counting.

    ``user`` (N,) ascends, with N > 0; ``op`` (N,) are numbers from 0. ``max_users`` and
    ``max_ops`` are the limits of a request.
    """
    blocks = list(_build_blocks(user, op, certificate.max_op_users))
    names = np.random.Generator(np.random.PCG64(15)).integers(
        0, 2**64, int(op.max()) + 1, dtype=np.uint64
    )
    short = [block for block in blocks if len(block.ops) <= certificate.max_row]
    long = [block for block in blocks if len(block.ops) > certificate.max_row]
    split = [_Block(ops=block.ops[: certificate.row_ops], users=block.users) for block in blocks]
    holders = _count_holders(split, names, [(b, _all_sets(b)) for b in short])
    small = [(b, _small_sets(b, certificate.subset_ops)) for b in long]
    others = _count_holders(split, names, small)
    total = 0
    for block, exact, rest in zip(split, holders, others, strict=True):
        if long:
            _extend(rest, certificate.subset_ops)
        count = np.clip(exact.astype(np.int64) + rest, 1, max_users)
        width = np.array([bits.bit_count() for bits in range(len(count))])[:, None]
        of_ops = COST_UNITS * (PRICE_UNITS - certificate.price) * max_users * width
        cost = COST_UNITS * certificate.price // PRICE_UNITS
        cost = np.minimum(cost + of_ops // (PRICE_UNITS * max_ops * count), MAX_COST)
        total += int((_least_cost(cost) * block.users).sum())
    return -(-total // (COST_UNITS * max_users))


def _build_blocks(user: Ints, op: Ints, max_op_users: int) -> Iterator[_Block]:
    """Yield the distinct rows, without the operations that have too many users."""
    users_of_op = np.bincount(op)
    kept = users_of_op[op] <= max_op_users
    user, op = user[kept], op[kept]
    order = np.lexsort((op, users_of_op[op], user))
    user, op = user[order], op[order]
    first = np.flatnonzero(np.diff(user, prepend=-1))
    width = np.diff(first, append=len(user))
    for ops in sorted(set(width.tolist())):
        rows = op[first[width == ops] + np.arange(ops)[:, None]]
        distinct, users = np.unique(rows, axis=1, return_counts=True)
        step = max(1, _BLOCK_SETS >> min(ops, MAX_ROW))
        for low in range(0, len(users), step):
            yield _Block(ops=distinct[:, low : low + step], users=users[low : low + step])


def _all_sets(block: _Block) -> list[tuple[int, ...]]:
    """Return the sets of positions in a row, but for the empty one."""
    return _small_sets(block, len(block.ops))


def _small_sets(block: _Block, most: int) -> list[tuple[int, ...]]:
    """Return the sets of up to ``most`` positions in a row."""
    positions = range(len(block.ops))
    return [chosen for size in range(1, most + 1) for chosen in combinations(positions, size)]


def _name_sets(block: _Block, names: Names, sets: list[tuple[int, ...]]) -> Names:
    """Return (sets, n) the name of each set of operations: the names of its members, combined."""
    # A row of zeros stands for the missing members of smaller sets.
    own = np.concatenate((names[block.ops], np.zeros((1, len(block.users)), np.uint64)))
    size = max(map(len, sets))
    members = np.full((len(sets), size), len(block.ops))
    for nth, chosen in enumerate(sets):
        members[nth, : len(chosen)] = chosen
    named: Names = own[members[:, 0]]
    for column in members.T[1:]:
        named ^= own[column]
    return named


def _count_holders(
    blocks: list[_Block], names: Names, holders: list[tuple[_Block, list[tuple[int, ...]]]]
) -> list[Counts]:
    """Return for each block (2**k, n) the users of ``holders`` who have each subset of its rows."""
    total = sum(len(block.users) * len(sets) for block, sets in holders)
    passes = max(0, -(-total // PASS_SETS) - 1).bit_length()
    counts: list[Counts] = [np.zeros((1 << len(b.ops), len(b.users)), np.int32) for b in blocks]
    for number in range(1 << passes if total else 0):
        named = _collect(holders, names, number, passes)
        for block, count in zip(blocks, counts, strict=True):
            asked = _name_sets(block, names, _bit_sets(len(block.ops)))
            chosen = _in_pass(asked, number, passes)
            count[chosen] = _look_up(named, asked[chosen])
    return counts


def _bit_sets(width: int) -> list[tuple[int, ...]]:
    """Return the positions in each bit set of ``width`` positions."""
    return [tuple(j for j in range(width) if bits >> j & 1) for bits in range(1 << width)]


def _in_pass(named: Names, number: int, passes: int) -> Bools:
    """Return whether each set is counted in this pass of 2**passes."""
    if not passes:
        return np.ones(named.shape, np.bool_)
    chosen: Bools = (named >> np.uint64(64 - passes)) == np.uint64(number)
    return chosen


def _collect(
    holders: list[tuple[_Block, list[tuple[int, ...]]]], names: Names, number: int, passes: int
) -> tuple[Names, Ints]:
    """Return the distinct names of the pass, ascending, and the users who have each."""
    found, users = [], []
    for block, sets in holders:
        named = _name_sets(block, names, sets)
        chosen = _in_pass(named, number, passes)
        found.append(named[chosen])
        users.append(np.broadcast_to(block.users, named.shape)[chosen])
    every, weight = np.concatenate(found), np.concatenate(users)
    order = np.argsort(every)
    every, upto = every[order], np.cumsum(weight[order])
    last = np.flatnonzero(np.append(every[1:] != every[:-1], [True]))
    return every[last], np.diff(upto[last], prepend=0)


def _look_up(named: tuple[Names, Ints], asked: Names) -> Ints:
    """Return the users of each name, 0 if nobody has the set."""
    every, users = named
    index = np.minimum(np.searchsorted(every, asked), len(every) - 1)
    found: Ints = np.where(every[index] == asked, users[index], 0)
    return found


def _extend(count: Counts, most: int) -> None:
    """Set the count of each set above ``most`` operations to the least of its subsets."""
    for bits in range(1, len(count)):
        if bits.bit_count() > most:
            members = [1 << j for j in range(bits.bit_length()) if bits >> j & 1]
            count[bits] = np.min([count[bits - member] for member in members], axis=0)


def _least_cost(cost: Ints) -> Ints:
    """Return (n,) the least sum of costs of disjoint sets that make up each row."""
    least = [np.zeros(cost.shape[1], np.int64)]
    for whole in range(1, len(cost)):
        # One of the sets has the last operation.
        last = 1 << (whole.bit_length() - 1)
        others = whole - last
        found = cost[whole]
        rest = others
        while rest:
            found = np.minimum(found, cost[whole - rest] + least[rest])
            rest = (rest - 1) & others
        least.append(found)
    return least[-1]
