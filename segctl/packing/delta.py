"""The delta as a sparse 0/1 matrix, users by operations, in one canonical form.

Everything after this module sees only the canonical form, so that the packing is
a function of the set of changes, never of the order in which they were given.
"""

from dataclasses import dataclass

import numpy as np

from segctl.packing.model import Bools, Ints
from segctl.packing.ragged import offsets, spans


@dataclass(frozen=True, kw_only=True)
class Delta:
    """U users, M operations in use, N changes, and C classes of users with equal rows."""

    users: Ints  # (U,) user numbers as given, ascending
    ops: Ints  # (M,) operation numbers as given, ascending
    removal: Bools  # (M,) whether the operation removes
    row_start: Ints  # (U + 1,)
    cols: Ints  # (N,) indices into ops, ascending within a row
    members: Ints  # (U,) indices into users, class by class
    member_start: Ints  # (C + 1,)
    class_start: Ints  # (C + 1,) the one row all members of a class share
    class_cols: Ints

    @property
    def class_size(self) -> Ints:
        """Return how many users each class has, (C,)."""
        return np.diff(self.member_start)


def mix(x: Ints, salt: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Scatter numbers over 64 bits (splitmix64): fixed, so equal on every machine."""
    z = x.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def group_rows(start: Ints, cols: Ints) -> tuple[Ints, Ints]:
    """Give equal rows of a ragged array, sorted and not empty, one class number.

    Returns (R,) the class of each row and (C,) the first row of each class; classes are
    numbered by first row.  Rows meet by a 64-bit sum hash, which is then checked
    against the rows themselves: a collision costs another salt, never a wrong answer.
    """
    lengths = np.diff(start)
    for salt in range(1, 9):
        digest = np.add.reduceat(mix(cols, salt), start[:-1])
        _, first, label = np.unique(digest, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        order = np.argsort(first, kind="stable")
        rank[order] = np.arange(len(first))
        label, first = rank[label], first[order]
        twin = first[label]
        if not bool((lengths == lengths[twin]).all()):
            continue
        if bool((cols == cols[spans(start[twin], lengths)]).all()):
            return label, first
    raise AssertionError("eight independent hashes collided")


def canonical(user: Ints, op: Ints, removal: Bools) -> Delta:
    """Build the canonical delta of at least one change from its rows in any order."""
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
            raise ValueError("a change is given twice")
    row, cols = np.divmod(key, len(ops))
    row_start = offsets(np.bincount(row, minlength=len(users)))
    label, first = group_rows(row_start, cols)
    class_lengths = np.diff(row_start)[first]
    return Delta(
        users=users,
        ops=ops,
        removal=removal[ops],
        row_start=row_start,
        cols=cols,
        members=np.argsort(label, kind="stable"),
        member_start=offsets(np.bincount(label, minlength=len(first))),
        class_start=offsets(class_lengths),
        class_cols=cols[spans(row_start[first], class_lengths)],
    )
