"""Pack a delta of any size in bounded memory.

Up to a million changes are packed together by ``pack``.  In a larger delta most users share
their changes with many others: full requests of users with equal changes are filled
directly, which is optimal for them.  The other users are packed in shards; users with
similar changes are in the same shard.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import EMPTY, Certificate
from segctl.packing import pack
from segctl.packing.bound import pair_floor, prove_floor
from segctl.packing.delta import build_delta, hash_numbers
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.pairs import cut_rows
from segctl.packing.placed import Numbers, Placed, sort_removals_first
from segctl.packing.ragged import offsets, spans

MAX_CHANGES = 1_000_000
"""Changes packed together.  The hardest deltas of this size take 1 GB and half a minute."""

MAX_PROVED = 4_000_000
"""Changes of a delta in shards up to which more than the bound by slots is proven."""

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
    certificate: Certificate  # of the lower bound

    @property
    def floor(self) -> int:
        """The proven lower bound on the requests of any packing."""
        return self.certificate.floor


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

    class_number: Numbers  # (U,)
    first: Ints  # (C,) the first user of each
    size: Ints  # (C,)


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
        return Placing(entry=none, request=none, requests=0, naive=0, certificate=EMPTY)
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
            certificate=packing.certificate,
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
    naive, slots = _compute_bounds(rows, len(removal), limits)
    classes = _group_users(rows, len(removal))
    if limits.counting == "pairs":
        placed = cut_rows(rows.width, classes.class_number, removal[rows.op], limits)
        return _as_placing(placed, naive=naive, certificate=slots)
    full = _fill_by_class(rows, classes, limits)
    entry, requests, entries = full.entry, full.requests, len(full.request)
    request = [full.request]
    rest = np.flatnonzero(entry[rows.start] < 0)
    for users in _split_shards(rows, classes, rest, max_changes):
        change_indexes = spans(
            rows.start[users].astype(np.int64), rows.width[users].astype(np.int64)
        )
        packing = _pack_changes(rows.user[change_indexes], rows.op[change_indexes], removal, limits)
        entry[change_indexes] = (
            _find_entries(packing, rows.user[change_indexes], rows.op[change_indexes], len(removal))
            + entries
        )
        request.append(packing.request + requests)
        requests += packing.requests
        entries += len(packing.request)
    placed = Placed(entry=entry, request=np.concatenate(request), requests=requests)
    if requests > naive:
        placed = _place_naively(rows, len(removal), limits)
    certificate = slots
    if limits.counting == "strict" and slots.floor < placed.requests and len(rows.op) <= MAX_PROVED:
        delta = build_delta(rows.user.astype(np.int64), rows.op.astype(np.int64), removal)
        certificate = prove_floor(delta, limits, requests=placed.requests)
    placed = sort_removals_first(placed, removal[rows.op])
    return _as_placing(placed, naive=naive, certificate=certificate)


def _as_placing(placed: Placed, *, naive: int, certificate: Certificate) -> Placing:
    return Placing(
        entry=placed.entry,
        request=placed.request.astype(np.int32),
        requests=placed.requests,
        naive=naive,
        certificate=certificate,
    )


def _compute_bounds(rows: _Rows, ops: int, limits: Limits) -> tuple[int, Certificate]:
    """Return the naive number of requests and the lower bound; see ``packing/bound.py``."""
    op_slots = int((-(-np.bincount(rows.op, minlength=ops) // limits.users_of_one_op)).sum())
    if limits.counting == "pairs":
        return op_slots, Certificate(proof="pairs", floor=pair_floor(len(rows.op), limits))
    user_slots = int((-(-rows.width // limits.segments)).sum(dtype=np.int64))
    floor = max(-(-user_slots // limits.users), -(-op_slots // limits.segments))
    return op_slots, Certificate(proof="slots", floor=floor)


def _group_users(rows: _Rows, ops: int) -> _Classes:
    """Group users with equal changes: by hash, then by comparison."""
    if len(rows.start) == len(rows.op):
        return _group_single_changes(rows, ops)
    for salt in range(1, 9):
        digest = _digest(rows, hash_numbers(np.arange(ops), salt))
        _, first, class_number = np.unique(digest, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty(len(first), np.int32)
        rank[order] = np.arange(len(first), dtype=np.int32)
        classes = _Classes(
            class_number=rank[class_number],
            first=first[order],
            size=np.bincount(class_number)[order],
        )
        if _are_equal(rows, classes):
            return classes
    raise AssertionError("eight independent hashes collided")


def _group_single_changes(rows: _Rows, ops: int) -> _Classes:
    """Group users who have one change each by its operation."""
    first = np.full(ops, len(rows.op), np.int64)
    for begin, end, _, _ in _chunks(rows):
        ops_in_chunk, first_users = np.unique(rows.op[begin:end], return_index=True)
        first[ops_in_chunk] = np.minimum(first[ops_in_chunk], begin + first_users)
    order = np.argsort(first, kind="stable")[: int((first < len(rows.op)).sum())]
    rank = np.empty(ops, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    size = np.bincount(rows.op, minlength=ops)[order]
    return _Classes(class_number=rank[rows.op], first=first[order], size=size)


def _digest(rows: _Rows, seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    digest = np.empty(len(rows.start), np.uint64)
    for begin, end, low, high in _chunks(rows):
        digest[begin:end] = np.add.reduceat(seeds[rows.op[low:high]], rows.start[begin:end] - low)
    return digest


def _are_equal(rows: _Rows, classes: _Classes) -> bool:
    """Return whether all users of each class have the changes of its first user."""
    for begin, end, low, high in _chunks(rows):
        first, width = classes.first[classes.class_number[begin:end]], rows.width[begin:end]
        if not bool((width == rows.width[first]).all()):
            return False
        change_indexes = spans(rows.start[first].astype(np.int64), width.astype(np.int64))
        if not bool((rows.op[low:high] == rows.op[change_indexes]).all()):
            return False
    return True


def _chunks(rows: _Rows) -> list[tuple[int, int, int, int]]:
    """Return chunks of users: (first user, end user, first change, end change)."""
    users = len(rows.start)
    edges = [*range(0, users, _CHUNK_USERS), users]
    change_edges = [*(int(rows.start[edge]) for edge in edges[:-1]), len(rows.op)]
    return list(zip(edges, edges[1:], change_edges, change_edges[1:], strict=False))


def _fill_by_class(rows: _Rows, classes: _Classes, limits: Limits) -> Placed:
    """Fill whole requests with users of one class each; changes of other users get entry -1.

    Such a request has ``limits.users`` users with all their changes.  It uses every user
    slot, and one slot is the minimum for a user, so it is optimal.
    """
    width = rows.width[classes.first]
    full = np.where(width <= limits.segments, classes.size // limits.users, 0)
    base, position_in_class = offsets(full)[:-1].astype(np.int32), _rank_in_class(classes)
    entry = base[classes.class_number] + position_in_class // limits.users
    entry[position_in_class >= (full * limits.users).astype(np.int32)[classes.class_number]] = -1
    requests = int(full.sum())
    return Placed(
        entry=np.repeat(entry, rows.width),
        request=np.arange(requests, dtype=np.int64),
        requests=requests,
    )


def _rank_in_class(classes: _Classes) -> Numbers:
    """Return the position of each user in its class, from 0."""
    position = np.arange(len(classes.class_number), dtype=np.int32)
    if len(classes.size) == 1:
        return position
    position -= np.repeat(offsets(classes.size)[:-1].astype(np.int32), classes.size)
    position_in_class = np.empty_like(position)
    position_in_class[np.argsort(classes.class_number, kind="stable")] = position
    return position_in_class


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
    users = users[np.argsort(rank[classes.class_number[users]], kind="stable")]
    changes_so_far = np.cumsum(rows.width[users], dtype=np.int64)
    cuts = np.searchsorted(
        changes_so_far, np.arange(max_changes, int(changes_so_far[-1]), max_changes)
    )
    return [np.sort(shard) for shard in np.split(users, cuts) if len(shard)]


def _place_naively(rows: _Rows, ops: int, limits: Limits) -> Placed:
    """Return the naive packing: each request has one operation and up to ``limits.users`` users."""
    count = np.bincount(rows.op, minlength=ops)
    requests = -(-count // limits.users)
    nth = np.arange(len(rows.op)) - np.repeat(offsets(count)[:-1], count)
    entry = np.empty(len(rows.op), np.int32)
    order = np.argsort(rows.op, kind="stable")
    entry[order] = np.repeat(offsets(requests)[:-1], count) + nth // limits.users
    total = int(requests.sum())
    return Placed(entry=entry, request=np.arange(total, dtype=np.int64), requests=total)
