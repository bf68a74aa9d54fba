"""Packing at any size: where each change travels, found in pieces of bounded memory.

``pack`` looks at all changes together, which pays for up to a million of them.  Of
more, most belong to users who change alike: as many of these as fill requests are dealt
out by arithmetic, and nothing can carry them in fewer.  What is left is packed in
shards, those users together whose changes are alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing import pack
from segctl.packing.delta import mix
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.ragged import offsets, spans

Numbers = npt.NDArray[np.int32]

MOST = 1_000_000
"""Changes that are packed together: of the hardest kind they take a gigabyte and half a minute."""

LOOKED_AT = 4
"""Operations of a class by which it finds its place among the classes."""

_STEP = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Placing:
    """Where each change goes: change ``i`` in entry ``entry[i]``, entry ``e`` in ``request[e]``.

    Entries are numbered in sending order, requests too, both from 0 without gaps.
    """

    entry: Numbers  # (N,)
    request: Numbers  # (E,)
    requests: int
    naive: int
    floor: int


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """U users in ascending order, each with ``width`` changes from ``start`` on."""

    user: Ints | Numbers  # (N,)
    op: Ints | Numbers  # (N,)
    start: Numbers  # (U,)
    width: Numbers  # (U,)


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """Users with equal changes; classes are numbered by their first user."""

    label: Numbers  # (U,)
    first: Ints  # (C,) the first user of each
    size: Ints  # (C,)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Entries and requests of some of the changes, numbered by themselves."""

    entry: Numbers  # of each change of the part
    request: Ints  # (E,)
    requests: int


def place(
    user: Ints | Numbers,
    op: Ints | Numbers,
    *,
    removal: Bools,
    limits: Limits | None = None,
    most: int = MOST,
) -> Placing:
    """Pack the changes ``(user[i], op[i])``; see ``pack`` for what is promised of the result.

    They come in ascending order, of users and then of operations; ``most`` of them at a
    time are packed together.  Raises ValueError if they come in another order, or one twice.
    """
    limits = limits or Limits()
    if len(user) == 0:
        none = np.zeros(0, np.int32)
        return Placing(entry=none, request=none, requests=0, naive=0, floor=0)
    same = user[1:] == user[:-1]
    if not bool(((user[1:] > user[:-1]) | (same & (op[1:] > op[:-1]))).all()):
        raise ValueError("changes must be given once, by user and then by operation")
    if len(user) <= most:
        packing = _pack(user, op, removal, limits)
        return Placing(
            entry=_entries(packing, user, op, len(removal)),
            request=packing.request.astype(np.int32),
            requests=packing.requests,
            naive=packing.naive,
            floor=packing.floor,
        )
    start = np.flatnonzero(np.concatenate(([True], ~same))).astype(np.int32)
    width = np.diff(start, append=np.int32(len(user)))
    return _place_many(_Rows(user=user, op=op, start=start, width=width), removal, limits, most)


def _pack(user: Ints | Numbers, op: Ints | Numbers, removal: Bools, limits: Limits) -> Packing:
    return pack(user.astype(np.int64), op.astype(np.int64), removal=removal, limits=limits)


def _entries(packing: Packing, user: Ints | Numbers, op: Ints | Numbers, ops: int) -> Numbers:
    """Find the entry of each change, whose products the entries are."""
    users, wide = np.diff(packing.user_start), np.diff(packing.op_start)
    entry = np.repeat(np.arange(len(users), dtype=np.int32), users * wide)
    nth = np.arange(len(entry), dtype=np.int64) - offsets(users * wide)[:-1][entry]
    key = packing.users[packing.user_start[entry] + nth // wide[entry]] * ops
    key += packing.ops[packing.op_start[entry] + nth % wide[entry]]
    order = np.argsort(key, kind="stable")
    if not np.array_equal(key[order], user.astype(np.int64) * ops + op):
        raise AssertionError("the packing lost, repeated or made up a change")
    return entry[order]


def _place_many(rows: _Rows, removal: Bools, limits: Limits, most: int) -> Placing:
    naive, floor = _bounds(rows, len(removal), limits)
    classes = _classes(rows, len(removal))
    parts = _dealt(rows, classes, limits)
    entry, requests, entries = parts.entry, parts.requests, len(parts.request)
    request = [parts.request]
    rest = np.flatnonzero(entry[rows.start] < 0)
    for users in _shards(rows, classes, rest, most):
        at = spans(rows.start[users].astype(np.int64), rows.width[users].astype(np.int64))
        packing = _pack(rows.user[at], rows.op[at], removal, limits)
        entry[at] = _entries(packing, rows.user[at], rows.op[at], len(removal)) + entries
        request.append(packing.request + requests)
        requests += packing.requests
        entries += len(packing.request)
    part = _Part(entry=entry, request=np.concatenate(request), requests=requests)
    if requests > naive:
        part = _naively(rows, len(removal), limits)
    ordered = _removals_first(part, removal[rows.op])
    return Placing(
        entry=ordered.entry,
        request=ordered.request.astype(np.int32),
        requests=ordered.requests,
        naive=naive,
        floor=floor,
    )


def _bounds(rows: _Rows, ops: int, limits: Limits) -> tuple[int, int]:
    """Give the naive number of requests, and the slots' bound; see ``packing/bound.py``."""
    op_slots = int((-(-np.bincount(rows.op, minlength=ops) // limits.users)).sum())
    user_slots = int((-(-rows.width // limits.segments)).sum(dtype=np.int64))
    return op_slots, max(-(-user_slots // limits.users), -(-op_slots // limits.segments))


def _classes(rows: _Rows, ops: int) -> _Classes:
    """Give users with equal changes one number; what a hash brings together is compared."""
    if len(rows.start) == len(rows.op):
        return _classes_of_one(rows, ops)
    for salt in range(1, 9):
        digest = _digest(rows, mix(np.arange(ops), salt))
        _, first, label = np.unique(digest, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty(len(first), np.int32)
        rank[order] = np.arange(len(first), dtype=np.int32)
        classes = _Classes(label=rank[label], first=first[order], size=np.bincount(label)[order])
        if _agree(rows, classes):
            return classes
    raise AssertionError("eight independent hashes collided")


def _classes_of_one(rows: _Rows, ops: int) -> _Classes:
    """Give users of one change each the number of its operation, by first user."""
    first = np.full(ops, len(rows.op), np.int64)
    for begin, end, _, _ in _steps(rows):
        found, at = np.unique(rows.op[begin:end], return_index=True)
        first[found] = np.minimum(first[found], begin + at)
    order = np.argsort(first, kind="stable")[: int((first < len(rows.op)).sum())]
    rank = np.empty(ops, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    size = np.bincount(rows.op, minlength=ops)[order]
    return _Classes(label=rank[rows.op], first=first[order], size=size)


def _digest(rows: _Rows, seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    digest = np.empty(len(rows.start), np.uint64)
    for begin, end, low, high in _steps(rows):
        digest[begin:end] = np.add.reduceat(seeds[rows.op[low:high]], rows.start[begin:end] - low)
    return digest


def _agree(rows: _Rows, classes: _Classes) -> bool:
    """Tell whether all users of each class have the changes of its first."""
    for begin, end, low, high in _steps(rows):
        twin, width = classes.first[classes.label[begin:end]], rows.width[begin:end]
        if not bool((width == rows.width[twin]).all()):
            return False
        at = spans(rows.start[twin].astype(np.int64), width.astype(np.int64))
        if not bool((rows.op[low:high] == rows.op[at]).all()):
            return False
    return True


def _steps(rows: _Rows) -> list[tuple[int, int, int, int]]:
    """Part the users: from user, to user, from change, to change."""
    users = len(rows.start)
    edges = [*range(0, users, _STEP), users]
    at = [*(int(rows.start[edge]) for edge in edges[:-1]), len(rows.op)]
    return list(zip(edges, edges[1:], at, at[1:], strict=False))


def _dealt(rows: _Rows, classes: _Classes, limits: Limits) -> _Part:
    """Fill requests with users of one class each; who is left over has entry -1.

    A request of ``limits.users`` users with all their changes has no user slot to spare, and
    no user can do with fewer.
    """
    width = rows.width[classes.first]
    full = np.where(width <= limits.segments, classes.size // limits.users, 0)
    base, nth = offsets(full)[:-1].astype(np.int32), _within(classes)
    entry = base[classes.label] + nth // limits.users
    entry[nth >= (full * limits.users).astype(np.int32)[classes.label]] = -1
    requests = int(full.sum())
    return _Part(
        entry=np.repeat(entry, rows.width),
        request=np.arange(requests, dtype=np.int64),
        requests=requests,
    )


def _within(classes: _Classes) -> Numbers:
    """Count the users of each class from 0."""
    ramp = np.arange(len(classes.label), dtype=np.int32)
    if len(classes.size) == 1:
        return ramp
    ramp -= np.repeat(offsets(classes.size)[:-1].astype(np.int32), classes.size)
    nth = np.empty_like(ramp)
    nth[np.argsort(classes.label, kind="stable")] = ramp
    return nth


def _shards(rows: _Rows, classes: _Classes, users: Ints, most: int) -> list[Ints]:
    """Part users so that each part has about ``most`` changes, those who are alike together."""
    if len(users) == 0:
        return []
    begin, width = rows.start[classes.first], rows.width[classes.first]
    looks = [
        np.where(width > n, rows.op[begin + np.minimum(n, width - 1)], -1) for n in range(LOOKED_AT)
    ]
    rank = np.empty(len(begin), np.int64)
    rank[np.lexsort(looks[::-1])] = np.arange(len(begin))
    users = users[np.argsort(rank[classes.label[users]], kind="stable")]
    upto = np.cumsum(rows.width[users], dtype=np.int64)
    cuts = np.searchsorted(upto, np.arange(most, int(upto[-1]), most))
    return [np.sort(part) for part in np.split(users, cuts) if len(part)]


def _naively(rows: _Rows, ops: int, limits: Limits) -> _Part:
    """Send one operation for up to ``limits.users`` users a request: the last resort."""
    count = np.bincount(rows.op, minlength=ops)
    requests = -(-count // limits.users)
    nth = np.arange(len(rows.op)) - np.repeat(offsets(count)[:-1], count)
    entry = np.empty(len(rows.op), np.int32)
    order = np.argsort(rows.op, kind="stable")
    entry[order] = np.repeat(offsets(requests)[:-1], count) + nth // limits.users
    total = int(requests.sum())
    return _Part(entry=entry, request=np.arange(total, dtype=np.int64), requests=total)


def _removals_first(part: _Part, removes: Bools) -> _Part:
    """Renumber requests by how many removals they carry, the most first, and entries with them."""
    per_entry = np.bincount(part.entry[removes], minlength=len(part.request))
    per_request = np.bincount(part.request, weights=per_entry, minlength=part.requests)
    rank = np.empty(part.requests, np.int64)
    rank[np.argsort(-per_request, kind="stable")] = np.arange(part.requests)
    request = rank[part.request]
    order = np.argsort(request, kind="stable")
    moved = np.empty(len(order), np.int32)
    moved[order] = np.arange(len(order), dtype=np.int32)
    return _Part(entry=moved[part.entry], request=request[order], requests=part.requests)
