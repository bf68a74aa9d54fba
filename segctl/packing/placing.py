"""Pack a delta of any size in bounded memory.

Up to a million changes are packed together by ``pack``.  In a larger delta most users share
their changes with many others: full requests of users with equal changes are filled
directly, which is optimal for them.  The other users are packed in shards; users with
similar changes are in the same shard.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing import pack
from segctl.packing.delta import hash_numbers
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.ragged import offsets, spans

Numbers = npt.NDArray[np.int32]

MAX_CHANGES = 1_000_000
"""Changes packed together.  The hardest deltas of this size take 1 GB and half a minute."""

SORT_OPS = 4
"""Leading operations of a class that are its sort key when classes are divided into shards."""

_CHUNK_USERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Placing:
    """The entry of each change, and the request of each entry.

    Change ``i`` is in entry ``entry[i]``, and entry ``e`` is in request ``request[e]``.
    Entries and requests are numbered from 0 in sending order, without gaps.
    """

    entry: Numbers  # (N,)
    request: Numbers  # (E,)
    requests: int
    naive: int
    floor: int


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Changes of U users in ascending order; each user has ``width`` changes from ``start``."""

    user: Ints | Numbers  # (N,)
    op: Ints | Numbers  # (N,)
    start: Numbers  # (U,)
    width: Numbers  # (U,)


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """Classes of users with equal changes, numbered by their first user."""

    label: Numbers  # (U,)
    first: Ints  # (C,) the first user of each
    size: Ints  # (C,)


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """Entries and requests of a subset of the changes, numbered from 0."""

    entry: Numbers  # of each change; -1 if the change is not packed yet
    request: Ints  # (E,)
    requests: int


def place(
    user: Ints | Numbers,
    op: Ints | Numbers,
    *,
    removal: Bools,
    limits: Limits | None = None,
    max_changes: int = MAX_CHANGES,
) -> Placing:
    """Return the placing of the changes ``(user[i], op[i])``; ``pack`` documents the guarantees.

    The changes must be sorted by user, then by operation.  Up to about ``max_changes`` are
    packed together.  Raises ValueError if the changes are not sorted or one is repeated.
    """
    limits = limits or Limits()
    if len(user) == 0:
        none = np.zeros(0, np.int32)
        return Placing(entry=none, request=none, requests=0, naive=0, floor=0)
    same = user[1:] == user[:-1]
    if not bool(((user[1:] > user[:-1]) | (same & (op[1:] > op[:-1]))).all()):
        raise ValueError("changes must be unique, and sorted by user and then by operation")
    if len(user) <= max_changes:
        packing = _pack_changes(user, op, removal, limits)
        return Placing(
            entry=_find_entries(packing, user, op, len(removal)),
            request=packing.request.astype(np.int32),
            requests=packing.requests,
            naive=packing.naive,
            floor=packing.floor,
        )
    start = np.flatnonzero(np.concatenate(([True], ~same))).astype(np.int32)
    width = np.diff(start, append=np.int32(len(user)))
    return _place_sharded(
        _Rows(user=user, op=op, start=start, width=width), removal, limits, max_changes
    )


def _pack_changes(
    user: Ints | Numbers, op: Ints | Numbers, removal: Bools, limits: Limits
) -> Packing:
    return pack(user.astype(np.int64), op.astype(np.int64), removal=removal, limits=limits)


def _find_entries(packing: Packing, user: Ints | Numbers, op: Ints | Numbers, ops: int) -> Numbers:
    """Return the entry of each change, (N,)."""
    users, wide = np.diff(packing.user_start), np.diff(packing.op_start)
    entry = np.repeat(np.arange(len(users), dtype=np.int32), users * wide)
    nth = np.arange(len(entry), dtype=np.int64) - offsets(users * wide)[:-1][entry]
    key = packing.users[packing.user_start[entry] + nth // wide[entry]] * ops
    key += packing.ops[packing.op_start[entry] + nth % wide[entry]]
    order = np.argsort(key, kind="stable")
    if not np.array_equal(key[order], user.astype(np.int64) * ops + op):
        raise AssertionError("the packing does not have exactly the changes of the delta")
    return entry[order]


def _place_sharded(rows: _Rows, removal: Bools, limits: Limits, max_changes: int) -> Placing:
    naive, floor = _compute_bounds(rows, len(removal), limits)
    classes = _group_users(rows, len(removal))
    parts = _fill_by_class(rows, classes, limits)
    entry, requests, entries = parts.entry, parts.requests, len(parts.request)
    request = [parts.request]
    rest = np.flatnonzero(entry[rows.start] < 0)
    for users in _split_shards(rows, classes, rest, max_changes):
        at = spans(rows.start[users].astype(np.int64), rows.width[users].astype(np.int64))
        packing = _pack_changes(rows.user[at], rows.op[at], removal, limits)
        entry[at] = _find_entries(packing, rows.user[at], rows.op[at], len(removal)) + entries
        request.append(packing.request + requests)
        requests += packing.requests
        entries += len(packing.request)
    part = _Placed(entry=entry, request=np.concatenate(request), requests=requests)
    if requests > naive:
        part = _place_naively(rows, len(removal), limits)
    ordered = _sort_removals_first(part, removal[rows.op])
    return Placing(
        entry=ordered.entry,
        request=ordered.request.astype(np.int32),
        requests=ordered.requests,
        naive=naive,
        floor=floor,
    )


def _compute_bounds(rows: _Rows, ops: int, limits: Limits) -> tuple[int, int]:
    """Return the naive number of requests and the slot bound; see ``packing/bound.py``."""
    op_slots = int((-(-np.bincount(rows.op, minlength=ops) // limits.users)).sum())
    user_slots = int((-(-rows.width // limits.segments)).sum(dtype=np.int64))
    return op_slots, max(-(-user_slots // limits.users), -(-op_slots // limits.segments))


def _group_users(rows: _Rows, ops: int) -> _Classes:
    """Group users with equal changes: by hash, then by comparison."""
    if len(rows.start) == len(rows.op):
        return _group_single_changes(rows, ops)
    for salt in range(1, 9):
        digest = _digest(rows, hash_numbers(np.arange(ops), salt))
        _, first, label = np.unique(digest, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty(len(first), np.int32)
        rank[order] = np.arange(len(first), dtype=np.int32)
        classes = _Classes(label=rank[label], first=first[order], size=np.bincount(label)[order])
        if _are_equal(rows, classes):
            return classes
    raise AssertionError("eight independent hashes collided")


def _group_single_changes(rows: _Rows, ops: int) -> _Classes:
    """Group users who have one change each by its operation."""
    first = np.full(ops, len(rows.op), np.int64)
    for begin, end, _, _ in _chunks(rows):
        found, at = np.unique(rows.op[begin:end], return_index=True)
        first[found] = np.minimum(first[found], begin + at)
    order = np.argsort(first, kind="stable")[: int((first < len(rows.op)).sum())]
    rank = np.empty(ops, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    size = np.bincount(rows.op, minlength=ops)[order]
    return _Classes(label=rank[rows.op], first=first[order], size=size)


def _digest(rows: _Rows, seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    digest = np.empty(len(rows.start), np.uint64)
    for begin, end, low, high in _chunks(rows):
        digest[begin:end] = np.add.reduceat(seeds[rows.op[low:high]], rows.start[begin:end] - low)
    return digest


def _are_equal(rows: _Rows, classes: _Classes) -> bool:
    """Return whether all users of each class have the changes of its first user."""
    for begin, end, low, high in _chunks(rows):
        first, width = classes.first[classes.label[begin:end]], rows.width[begin:end]
        if not bool((width == rows.width[first]).all()):
            return False
        at = spans(rows.start[first].astype(np.int64), width.astype(np.int64))
        if not bool((rows.op[low:high] == rows.op[at]).all()):
            return False
    return True


def _chunks(rows: _Rows) -> list[tuple[int, int, int, int]]:
    """Return chunks of users: (first user, end user, first change, end change)."""
    users = len(rows.start)
    edges = [*range(0, users, _CHUNK_USERS), users]
    at = [*(int(rows.start[edge]) for edge in edges[:-1]), len(rows.op)]
    return list(zip(edges, edges[1:], at, at[1:], strict=False))


def _fill_by_class(rows: _Rows, classes: _Classes, limits: Limits) -> _Placed:
    """Fill whole requests with users of one class each; changes of other users get entry -1.

    Such a request has ``limits.users`` users with all their changes.  It uses every user
    slot, and one slot is the minimum for a user, so it is optimal.
    """
    width = rows.width[classes.first]
    full = np.where(width <= limits.segments, classes.size // limits.users, 0)
    base, nth = offsets(full)[:-1].astype(np.int32), _rank_in_class(classes)
    entry = base[classes.label] + nth // limits.users
    entry[nth >= (full * limits.users).astype(np.int32)[classes.label]] = -1
    requests = int(full.sum())
    return _Placed(
        entry=np.repeat(entry, rows.width),
        request=np.arange(requests, dtype=np.int64),
        requests=requests,
    )


def _rank_in_class(classes: _Classes) -> Numbers:
    """Return the position of each user in its class, from 0."""
    ramp = np.arange(len(classes.label), dtype=np.int32)
    if len(classes.size) == 1:
        return ramp
    ramp -= np.repeat(offsets(classes.size)[:-1].astype(np.int32), classes.size)
    nth = np.empty_like(ramp)
    nth[np.argsort(classes.label, kind="stable")] = ramp
    return nth


def _split_shards(rows: _Rows, classes: _Classes, users: Ints, max_changes: int) -> list[Ints]:
    """Divide users into shards of about ``max_changes`` changes, similar users together."""
    if len(users) == 0:
        return []
    begin, width = rows.start[classes.first], rows.width[classes.first]
    sort_keys = [
        np.where(width > n, rows.op[begin + np.minimum(n, width - 1)], -1) for n in range(SORT_OPS)
    ]
    rank = np.empty(len(begin), np.int64)
    rank[np.lexsort(sort_keys[::-1])] = np.arange(len(begin))
    users = users[np.argsort(rank[classes.label[users]], kind="stable")]
    total = np.cumsum(rows.width[users], dtype=np.int64)
    cuts = np.searchsorted(total, np.arange(max_changes, int(total[-1]), max_changes))
    return [np.sort(part) for part in np.split(users, cuts) if len(part)]


def _place_naively(rows: _Rows, ops: int, limits: Limits) -> _Placed:
    """Return the naive packing: each request has one operation and up to ``limits.users`` users."""
    count = np.bincount(rows.op, minlength=ops)
    requests = -(-count // limits.users)
    nth = np.arange(len(rows.op)) - np.repeat(offsets(count)[:-1], count)
    entry = np.empty(len(rows.op), np.int32)
    order = np.argsort(rows.op, kind="stable")
    entry[order] = np.repeat(offsets(requests)[:-1], count) + nth // limits.users
    total = int(requests.sum())
    return _Placed(entry=entry, request=np.arange(total, dtype=np.int64), requests=total)


def _sort_removals_first(part: _Placed, removes: Bools) -> _Placed:
    """Renumber requests by their number of removals, most first, and entries accordingly."""
    per_entry = np.bincount(part.entry[removes], minlength=len(part.request))
    per_request = np.bincount(part.request, weights=per_entry, minlength=part.requests)
    rank = np.empty(part.requests, np.int64)
    rank[np.argsort(-per_request, kind="stable")] = np.arange(part.requests)
    request = rank[part.request]
    order = np.argsort(request, kind="stable")
    moved = np.empty(len(order), np.int32)
    moved[order] = np.arange(len(order), dtype=np.int32)
    return _Placed(entry=moved[part.entry], request=request[order], requests=part.requests)
