"""The delta as a sparse 0/1 matrix, users by operations, in canonical form.

All other modules use only the canonical form, so the packing depends on the set of
changes and not on the order of the input.
"""

from dataclasses import dataclass

import numpy as np

from segctl.packing.model import Bools, Ints
from segctl.packing.ragged import offsets, spans


@dataclass(frozen=True, kw_only=True)
class Delta:
    """U users, M used operations, N changes, and C classes of users with equal rows."""

    users: Ints  # (U,) the caller's user numbers, ascending
    ops: Ints  # (M,) the caller's operation numbers, ascending
    removal: Bools  # (M,) whether the operation removes
    row_start: Ints  # (U + 1,)
    cols: Ints  # (N,) indexes into ops, ascending within a row
    members: Ints  # (U,) indexes into users, grouped by class
    member_start: Ints  # (C + 1,)
    class_start: Ints  # (C + 1,) offsets into class_cols: the row of each class
    class_cols: Ints

    @property
    def class_size(self) -> Ints:
        """Return the number of users of each class, (C,)."""
        return np.diff(self.member_start)


def hash_numbers(x: Ints, salt: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return 64-bit hashes of numbers (splitmix64), the same on every machine."""
    z = x.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def group_rows(start: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Group equal rows of a ragged array; each row is sorted and not empty.

    Returns (R,) the class of each row and (C,) the first row of each class; classes are
    numbered by first row.  Rows are grouped by a 64-bit sum hash and then compared: a
    collision only costs another try with the next salt.
    """
    lengths = np.diff(start)
    for salt in range(1, 9):
        digest = np.add.reduceat(hash_numbers(cols, salt), start[:-1])
        _, first, class_number = np.unique(digest, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        order = np.argsort(first, kind="stable")
        rank[order] = np.arange(len(first))
        class_number, first = rank[class_number], first[order]
        representative = first[class_number]
        if not bool((lengths == lengths[representative]).all()):
            continue
        if bool((cols == cols[spans(start[representative], lengths)]).all()):
            return class_number, first
    raise AssertionError("eight independent hashes collided")


def build_delta(user: Ints, op: Ints, removal: Bools) -> Delta:
    """Build the canonical delta from one or more changes in any order.

    Raises ValueError if a change is repeated.
    """
    if bool((user[1:] >= user[:-1]).all()):
        users = user[np.flatnonzero(np.concatenate(([True], user[1:] != user[:-1])))]
        row = np.cumsum(np.concatenate(([0], (user[1:] != user[:-1]).astype(np.int64))))
    else:
        users, row = np.unique(user, return_inverse=True)
    used = np.zeros(len(removal), np.bool_)
    used[op] = True
    ops = np.flatnonzero(used)
    key = row * len(ops) + (np.cumsum(used) - 1)[op]
    if not bool((key[1:] > key[:-1]).all()):
        key.sort()
        if bool((key[1:] == key[:-1]).any()):
            raise ValueError("a change is given twice; each (user, operation) must be unique")
    row, cols = np.divmod(key, len(ops))
    row_start = offsets(np.bincount(row, minlength=len(users)))
    class_number, first = group_rows(row_start, cols)
    class_lengths = np.diff(row_start)[first]
    return Delta(
        users=users,
        ops=ops,
        removal=removal[ops],
        row_start=row_start,
        cols=cols,
        members=np.argsort(class_number, kind="stable"),
        member_start=offsets(np.bincount(class_number, minlength=len(first))),
        class_start=offsets(class_lengths),
        class_cols=cols[spans(row_start[first], class_lengths)],
    )
