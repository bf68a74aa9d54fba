"""Packing: send a delta in as few update requests as possible (``docs/packing.md``).

The engine imports ``placing.place``, which packs deltas of any size; ``pack`` is the algorithm
for one shard, and ``Limits`` and ``Packing`` are its values.  Files, databases, the network,
clocks and segment names never belong here: numbered users and operations go in, arrays come out.
"""

from collections.abc import Iterator
from operator import itemgetter

import numpy as np

from segctl.packing.assemble import assemble, empty_packing, fill_naively, order_requests
from segctl.packing.bins import Pieces, fill_requests
from segctl.packing.bound import naive_requests, prove_floor, slot_floor
from segctl.packing.cover import Cover, build_cover, single_ops, whole_rows
from segctl.packing.cover_search import search_covers
from segctl.packing.delta import Delta, build_delta
from segctl.packing.distinct import fill_distinct
from segctl.packing.model import Bools, Ints, Limits, Packing
from segctl.packing.pairs import pack_pairs

__all__ = ["Limits", "Packing", "pack"]

FINALISTS = 2  # covers that are filled in all ways


def pack(user: Ints, op: Ints, *, removal: Bools, limits: Limits | None = None) -> Packing:
    """Return the distinct changes ``(user[i], op[i])`` packed into few requests.

    An operation is one action on one segment.  ``user`` and ``op`` are (N,) numbers from 0;
    ``removal[op]`` is true for operations that remove users.  The result depends only on
    the set of changes, not on their order or the machine.  It never has more requests than
    sending one operation at a time.  Requests with removals come first.

    Raises ValueError if a change is repeated, the arrays differ in length, or a number is
    out of range.
    """
    limits = limits or Limits()
    user, op = np.asarray(user, np.int64), np.asarray(op, np.int64)
    removal = np.asarray(removal, np.bool_)
    _check_changes(user, op, removal)
    if len(user) == 0:
        return empty_packing()
    delta = build_delta(user, op, removal)
    if limits.counting == "pairs":
        return pack_pairs(delta, limits)
    least = slot_floor(delta, limits)
    cover, pieces = fill_naively(delta, limits)
    if limits.counting == "distinct":
        trial, filled = fill_distinct(delta, limits)
        if filled.requests < pieces.requests:
            cover, pieces = trial, filled
    if pieces.requests > least:
        cover, pieces = _fill_best_cover(delta, cover, pieces, least, limits)
    certificate = prove_floor(delta, limits, requests=pieces.requests)
    pieces = order_requests(cover, pieces, delta, swap=limits.counting == "strict")
    naive = naive_requests(delta, limits)
    return assemble(delta, cover, pieces, naive=naive, certificate=certificate)


def _check_changes(user: Ints, op: Ints, removal: Bools) -> None:
    """Raise ValueError if the arrays are not changes."""
    if user.shape != op.shape or user.ndim != 1:
        raise ValueError("user and op must be one-dimensional arrays of equal length")
    if len(user) == 0:
        return
    if int(user.min()) < 0 or int(op.min()) < 0 or int(op.max()) >= len(removal):
        raise ValueError("users must be >= 0, and operations must be indexes of removal")


def _fill_best_cover(
    delta: Delta, cover: Cover, pieces: Pieces, least: int, limits: Limits
) -> tuple[Cover, Pieces]:
    """Return the cover with the fewest requests, starting from a known one.

    Every cover is filled quickly.  The best few are then filled in all ways.
    """
    best: list[tuple[int, Cover]] = []
    for trial in _candidate_covers(delta, least, limits):
        # the slot counts alone can rule out an improvement
        if _slot_requests(trial, limits) >= pieces.requests:
            continue
        filled = _fill(delta, trial, limits, quick=True)
        best = sorted([*best, (filled.requests, trial)], key=itemgetter(0))[:FINALISTS]
        if filled.requests < pieces.requests:
            cover, pieces = trial, filled
        if pieces.requests <= least:
            break
    for _, trial in best:
        if _slot_requests(trial, limits) <= pieces.requests:
            filled = _fill(delta, trial, limits, quick=False)
            if filled.requests < pieces.requests or (
                trial is cover and filled.requests == pieces.requests
            ):
                cover, pieces = trial, filled
    return cover, pieces


def _fill(delta: Delta, cover: Cover, limits: Limits, *, quick: bool) -> Pieces:
    users, ops = np.diff(cover.user_start), np.diff(cover.op_start)
    return fill_requests(users, ops, cover.removes(delta), limits, quick=quick)


def _slot_requests(cover: Cover, limits: Limits) -> int:
    """Return the requests that the cover's slots need at least."""
    users, ops = int(cover.user_start[-1]), int(cover.op_start[-1])
    return max(-(-users // limits.users), -(-ops // limits.segments))


def _candidate_covers(delta: Delta, least: int, limits: Limits) -> Iterator[Cover]:
    """Yield covers to try.

    The simple covers come first if they can reach the bound, which ends the search;
    otherwise last, where the covers of the search usually rule them out.
    """
    simple = [build_cover(delta, parts(delta), limits) for parts in (whole_rows, single_ops)]
    simple.sort(key=lambda cover: _slot_requests(cover, limits))
    yield from (cover for cover in simple if _slot_requests(cover, limits) <= least)
    for parts in search_covers(delta, limits):
        yield build_cover(delta, parts, limits)
    yield from (cover for cover in simple if _slot_requests(cover, limits) > least)
