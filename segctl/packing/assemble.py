"""Order the requests, and translate a packing back to the caller's numbers."""

import numpy as np

from segctl.core.certificate import EMPTY, Certificate
from segctl.packing.bins import Pieces
from segctl.packing.cover import Cover, build_cover, single_ops
from segctl.packing.delta import Delta
from segctl.packing.model import Ints, Limits, Packing
from segctl.packing.ragged import offsets, sort_within, spans, take_rows


def empty_packing() -> Packing:
    """Return the packing of an empty delta."""
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
        certificate=EMPTY,
    )


def fill_naively(delta: Delta, limits: Limits) -> tuple[Cover, Pieces]:
    """Return the naive packing: each request has one operation and up to ``limits.users`` users."""
    cover = build_cover(delta, single_ops(delta), limits)
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
    """Return the pieces with requests sorted by their number of removals, most first.

    An opt-out must not wait behind a million additions.  With ``swap``, pieces of equal
    shape exchange requests, which changes no request's totals: pieces with removals get the
    earlier requests.  The exchange runs twice because it changes the order; the second pass
    changes little.
    """
    per_entry = np.add.reduceat(delta.removal[cover.ops].astype(np.int64), cover.op_start[:-1])
    height = pieces.end - pieces.begin
    removals = per_entry[pieces.entry] * height
    width = np.diff(cover.op_start)[pieces.entry]
    request = _renumber_requests(pieces.request, removals)
    if swap and bool(removals.any()):
        by_removal = np.lexsort((-removals, width, height))
        for _ in range(2):
            moved = np.empty_like(request)
            moved[by_removal] = request[np.lexsort((request, width, height))]
            request = _renumber_requests(moved, removals)
    order = np.lexsort((np.arange(len(request)), request))
    return Pieces(
        entry=pieces.entry[order],
        begin=pieces.begin[order],
        end=pieces.end[order],
        request=request[order],
        requests=pieces.requests,
    )


def _renumber_requests(request: Ints, removals: Ints) -> Ints:
    """Return request numbers sorted by removals, most first; ties keep their order."""
    total = np.bincount(request, weights=removals).astype(np.int64)
    rank = np.empty(len(total), np.int64)
    rank[np.argsort(-total, kind="stable")] = np.arange(len(total))
    return rank[request]


def assemble(
    delta: Delta, cover: Cover, pieces: Pieces, *, naive: int, certificate: Certificate
) -> Packing:
    """Return the pieces as a packing in the caller's user and operation numbers."""
    height = pieces.end - pieces.begin
    user_start = offsets(height)
    users = cover.users[spans(cover.user_start[pieces.entry] + pieces.begin, height)]
    op_start, ops = take_rows(cover.op_start, cover.ops, pieces.entry)
    return Packing(
        request=pieces.request,
        user_start=user_start,
        users=delta.users[sort_within(user_start, users)],
        op_start=op_start,
        ops=delta.ops[sort_within(op_start, ops)],
        requests=pieces.requests,
        naive=naive,
        certificate=certificate,
    )
