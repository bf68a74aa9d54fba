"""Order the requests and write the packing out in the caller's numbers."""

import numpy as np

from segctl.packing.bins import Pieces
from segctl.packing.cover import Cover, expand, single_ops
from segctl.packing.delta import Delta
from segctl.packing.model import Ints, Limits, Packing
from segctl.packing.ragged import offsets, sort_within, spans, take


def empty() -> Packing:
    """Return the packing of no changes."""
    none: Ints = np.zeros(0, np.int64)
    start: Ints = np.zeros(1, np.int64)
    return Packing(
        request=none,
        user_start=start,
        users=none,
        op_start=start,
        ops=none,
        requests=0,
        naive=0,
        floor=0,
    )


def send_naively(delta: Delta, limits: Limits) -> tuple[Cover, Pieces]:
    """Send one operation for up to ``limits.users`` users a request: the last resort."""
    cover = expand(delta, single_ops(delta), limits)
    count = np.diff(cover.user_start)
    requests = -(-count // limits.users)
    entry = np.repeat(np.arange(len(count), dtype=np.int64), requests)
    nth = np.arange(len(entry), dtype=np.int64) - np.repeat(offsets(requests)[:-1], requests)
    begin = nth * limits.users
    return cover, Pieces(
        entry=entry,
        begin=begin,
        end=np.minimum(begin + limits.users, count[entry]),
        request=np.arange(len(entry), dtype=np.int64),
        requests=len(entry),
    )


def order_requests(cover: Cover, pieces: Pieces, delta: Delta, *, swap: bool) -> Pieces:
    """Send removals first: an opt-out must not wait behind a million additions.

    Requests go by how many removals they carry.  ``swap`` says that pieces of equal
    shape may change places, which alters no sum: those that remove take the earlier ones.
    Twice, for then the order has changed; the second time changes little.
    """
    per_entry = np.add.reduceat(delta.removal[cover.ops].astype(np.int64), cover.op_start[:-1])
    height = pieces.end - pieces.begin
    removed = per_entry[pieces.entry] * height
    width = np.diff(cover.op_start)[pieces.entry]
    request = _most_first(pieces.request, removed)
    if swap and bool(removed.any()):
        by_removal = np.lexsort((-removed, width, height))
        for _ in range(2):
            moved = np.empty_like(request)
            moved[by_removal] = request[np.lexsort((request, width, height))]
            request = _most_first(moved, removed)
    order = np.lexsort((np.arange(len(request)), request))
    return Pieces(
        entry=pieces.entry[order],
        begin=pieces.begin[order],
        end=pieces.end[order],
        request=request[order],
        requests=pieces.requests,
    )


def _most_first(request: Ints, removed: Ints) -> Ints:
    """Renumber requests by how much is removed in them; among equals the order stays."""
    total = np.bincount(request, weights=removed).astype(np.int64)
    rank = np.empty(len(total), np.int64)
    rank[np.argsort(-total, kind="stable")] = np.arange(len(total))
    return rank[request]


def assemble(delta: Delta, cover: Cover, pieces: Pieces, *, naive: int, floor: int) -> Packing:
    """Write the pieces out as a packing."""
    height = pieces.end - pieces.begin
    user_start = offsets(height)
    users = cover.users[spans(cover.user_start[pieces.entry] + pieces.begin, height)]
    op_start, ops = take(cover.op_start, cover.ops, pieces.entry)
    return Packing(
        request=pieces.request,
        user_start=user_start,
        users=delta.users[sort_within(user_start, users)],
        op_start=op_start,
        ops=delta.ops[sort_within(op_start, ops)],
        requests=pieces.requests,
        naive=naive,
        floor=floor,
    )
