"""Pack entries into requests: two-dimensional vector bin packing of divisible items.

An entry of n users and s operations can be cut between users.  Each additional piece
costs s more operation slots and nothing else.  If only user slots are scarce, entries
are placed end to end and cut every ``limits.users`` users; this is optimal for the cover
(``_fill_end_to_end``).  If both kinds of slot are scarce, all requests are filled in
parallel by worst fit decreasing (``_worst_fit``).
"""

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets
from segctl.packing.shelves import Piece, Shelves

Placed = tuple[int, int, int, int]  # entry, first user, end, request
MAX_REQUESTS_SKIPPED = 32  # requests without room that are skipped in the search for one


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Pieces of entries: piece k has users ``begin[k]:end[k]``, in request ``request[k]``."""

    entry: Ints
    begin: Ints
    end: Ints
    request: Ints
    requests: int


class _OpenRequests:
    """Requests that are filled in parallel: the slots used in each, and the pieces placed."""

    def __init__(self, requests: int, first_request: int, limits: Limits) -> None:
        self.users = [0] * requests
        self.ops = [0] * requests
        self.first_request = first_request
        self.limits = limits
        self.placed: list[Placed] = []

    def place(self, piece: Piece, b: int) -> Piece | None:
        """Place as many users of a piece as fit into request b; return the rest, if any."""
        n, s, entry, begin = piece
        taken = min(n, self.limits.users - self.users[b])
        self.placed.append((entry, begin, begin + taken, self.first_request + b))
        self.users[b] += taken
        self.ops[b] += s
        return (n - taken, s, entry, begin + taken) if taken < n else None


def fill_requests(
    users: Ints, ops: Ints, removes: Bools, limits: Limits, *, quick: bool = False
) -> Pieces:
    """Return entries of ``users[e]`` by ``ops[e]`` slots packed into requests.

    No entry has more than ``limits.segments`` operations.  ``quick`` tries one filling, and
    another if the first needs a percent more requests than there are slots for.
    """
    end_to_end = _fill_end_to_end(users, ops, removes, limits)
    if end_to_end is not None:
        return end_to_end
    pieces = [
        (n, s, e, 0) for e, (n, s) in enumerate(zip(users.tolist(), ops.tolist(), strict=True))
    ]
    if quick:
        least = max(int(users.sum()) / limits.users, int(ops.sum()) / limits.segments)
        placed = _worst_fit_rounds(pieces, 0, limits, spare=2)
        if _count_requests(placed) > 1.01 * least:
            again = _worst_fit_rounds(pieces, 0, limits, spare=6)
            placed = min(placed, again, key=_count_requests)
        return _to_pieces(placed)
    together = _fill_best(pieces, 0, limits)
    first = _select_first(users, ops, removes)
    if not bool(first.any()) or bool(first.all()):
        return _to_pieces(together)
    placed, left = _worst_fit(
        [pieces[e] for e in np.flatnonzero(first).tolist()], 0, limits, spare=0
    )
    first_request = max((p[3] + 1 for p in placed), default=0)
    later = [pieces[e] for e in np.flatnonzero(~first).tolist()]
    separate = placed + _fill_best(left + later, first_request, limits)
    if _count_requests(separate) <= _count_requests(together):
        return _to_pieces(separate)
    return _to_pieces(together)


def _count_requests(placed: list[Placed]) -> int:
    return max(p[3] for p in placed) + 1


def _to_pieces(placed: list[Placed]) -> Pieces:
    table = np.array(placed, np.int64).reshape(-1, 4)
    # drop requests that received no piece
    used, request = np.unique(table[:, 3], return_inverse=True)
    return Pieces(
        entry=table[:, 0],
        begin=table[:, 1],
        end=table[:, 2],
        request=request.astype(np.int64),
        requests=len(used),
    )


def _select_first(users: Ints, ops: Ints, removes: Bools) -> Bools:
    """Return which entries to pack first: all with removals, and others for balance.

    Both groups should have the ratio of user slots to operation slots of all entries, so
    that each fills its requests equally well.  If the entries with removals have relatively
    many user slots, the widest other entries join them; otherwise the tallest.
    """
    all_users, all_ops = int(users.sum()), int(ops.sum())
    first = removes.copy()
    imbalance = int(ops[first].sum()) * all_users - int(users[first].sum()) * all_ops
    rest = np.flatnonzero(~first)
    balance = ops[rest] * all_users - users[rest] * all_ops  # > 0: wider than the whole
    if imbalance > 0:
        balance = -balance
    order = np.argsort(-balance * 1.0 / (users[rest] + ops[rest]), kind="stable")
    gained = np.cumsum(balance[order])
    count = int(np.searchsorted(np.maximum.accumulate(gained), abs(imbalance), side="right"))
    count = min(count, int((balance > 0).sum()))
    first[rest[order[:count]]] = True
    return first


def _fill_end_to_end(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces | None:
    """Return entries placed end to end and cut every ``limits.users`` users, or None.

    None means that a request would exceed ``limits.segments``.  The second order tried
    spreads wide entries evenly, which fits more often.
    """
    total = int(users.sum())
    requests = -(-total // limits.users)
    if int(ops.sum()) > requests * limits.segments:
        return None
    for order in (np.lexsort((ops, ~removes)), _interleave(users, ops)):
        n, s = users[order], ops[order]
        end = np.cumsum(n)
        begin = end - n
        first, last = begin // limits.users, (end - 1) // limits.users
        count = last - first + 1
        load = np.zeros(requests + 1, np.int64)
        np.add.at(load, first, s)
        np.add.at(load, last + 1, -s)
        if int(np.cumsum(load).max()) > limits.segments:
            continue
        piece = np.repeat(np.arange(len(order), dtype=np.int64), count)
        nth = np.arange(len(piece), dtype=np.int64) - np.repeat(offsets(count)[:-1], count)
        request = first[piece] + nth
        lo = np.maximum(request * limits.users, begin[piece]) - begin[piece]
        hi = np.minimum((request + 1) * limits.users, end[piece]) - begin[piece]
        return Pieces(entry=order[piece], begin=lo, end=hi, request=request, requests=requests)
    return None


def _interleave(users: Ints, ops: Ints) -> Ints:
    """Return an order in which each run of users has about its share of the operations."""
    order = np.lexsort((users, -ops))
    stratum = np.cumsum(ops[order]) * 16 // (int(ops.sum()) + 1)
    end = np.cumsum(users[order])
    bounds = np.searchsorted(stratum, np.arange(17))
    edge = np.concatenate(([0], end))[bounds]
    low, high = edge[stratum], edge[stratum + 1]
    # middle of each entry as a fraction of its stratum; integers are exact on every machine
    place = ((2 * end - users[order] - 2 * low) << 24) // (high - low)
    return order[np.argsort(place, kind="stable")]


def _fill_best(pieces: list[Piece], first_request: int, limits: Limits) -> list[Placed]:
    """Return the best of several fillings, with requests numbered from ``first_request``."""
    tries = [_worst_fit_rounds(pieces, first_request, limits, spare) for spare in (0, 2, 6)]
    tries.append(_fill_one_by_one(pieces, first_request, limits))
    return min(tries, key=_count_requests)


def _worst_fit_rounds(
    pieces: list[Piece], first_request: int, limits: Limits, spare: int
) -> list[Placed]:
    """Repeat worst fit on the pieces left over; fill requests with the last few one by one."""
    placed, left = _worst_fit(pieces, first_request, limits, spare)
    for _ in range(3):
        if not left:
            return placed
        next_request = max((p[3] + 1 for p in placed), default=first_request)
        if len(left) < 50:
            break
        more, left = _worst_fit(left, next_request, limits, 0)
        placed = placed + more
    next_request = max((p[3] + 1 for p in placed), default=first_request)
    return placed + _fill_one_by_one(left, next_request, limits)


def _worst_fit(
    pieces: list[Piece], first_request: int, limits: Limits, spare: int
) -> tuple[list[Placed], list[Piece]]:
    """Distribute pieces by worst fit; return the pieces placed and the pieces left over.

    The number of requests is the slot bound with expected cuts, plus ``spare`` in 1000.  First,
    each tall piece goes to the request with the fewest users, up to the average share that
    wide pieces leave.  Then each wide piece, widest first, goes to the request with the
    fewest operations.  Last, reserved tall pieces fill the remaining user slots, cut if needed.
    """
    if not pieces:
        return [], []
    users, ops = sum(p[0] for p in pieces), sum(p[1] for p in pieces)
    wide = [p for p in pieces if p[0] * ops <= p[1] * users]
    tall = sorted(
        (p for p in pieces if p[0] * ops > p[1] * users), key=lambda p: (-p[0], p[1], p[2])
    )
    reserved, whole = _reserve_cuttable(tall, users // 4, limits)
    cut_ops = sum(p[0] * p[1] for p in reserved) // max(1, sum(p[0] for p in reserved))
    requests = max(1, users // limits.users, ops // limits.segments)
    requests = max(
        -(-users // limits.users), -(-(ops + requests * cut_ops // 2) // limits.segments)
    )
    requests += requests * spare // 1000
    opened = _OpenRequests(requests, first_request, limits)

    share = max(1, limits.users - -(-sum(p[0] for p in wide) // requests))
    queue = [(0, b) for b in range(requests)]
    for piece in _cut_tall(whole, min(share, max(1, limits.users // 2))):
        load, b = queue[0]
        if load + piece[0] <= share and opened.ops[b] + piece[1] <= limits.segments:
            opened.place(piece, b)
            heapq.heapreplace(queue, (load + piece[0], b))
        else:
            reserved.append(piece)

    left = _place_wide(opened, wide, limits.segments - min((p[1] for p in reserved), default=0))
    left += _fill_gaps(opened, reserved)
    return opened.placed, left


def _reserve_cuttable(
    tall: list[Piece], most: int, limits: Limits
) -> tuple[list[Piece], list[Piece]]:
    """Reserve tall pieces that are cheap to cut, up to ``most`` users: (reserved, others)."""
    reserved, others, reserved_users = [], [], 0
    for piece in sorted(tall, key=lambda p: (p[1], -p[0], p[2])):
        cheap = piece[0] * 8 >= limits.users and piece[1] * 10 <= limits.segments
        if cheap and reserved_users < most:
            reserved.append(piece)
            reserved_users += piece[0]
        else:
            others.append(piece)
    return reserved, sorted(others, key=lambda p: (-p[0], p[1], p[2]))


def _cut_tall(pieces: list[Piece], share: int) -> list[Piece]:
    """Return pieces of at most ``share`` users, cut into equal parts; tallest first."""
    result = []
    for n, s, entry, begin in pieces:
        cuts = -(-n // share)
        edges = [n * i // cuts for i in range(cuts + 1)]
        result += [(b - a, s, entry, begin + a) for a, b in pairwise(edges)]
    result.sort(key=lambda p: -p[0])
    return result


def _place_wide(opened: _OpenRequests, wide: list[Piece], room: int) -> list[Piece]:
    """Place wide pieces into the requests with the fewest operations; return the rest."""
    queue = [
        (ops, users, b) for b, (ops, users) in enumerate(zip(opened.ops, opened.users, strict=True))
    ]
    heapq.heapify(queue)
    left: list[Piece] = []
    for piece in sorted(wide, key=lambda p: (-p[1], -p[0], p[2])):
        skipped: list[tuple[int, int, int]] = []
        while queue and len(skipped) < MAX_REQUESTS_SKIPPED:
            ops, users, b = queue[0]
            if users + piece[0] <= opened.limits.users and ops + piece[1] <= room:
                opened.place(piece, b)
                heapq.heapreplace(queue, (opened.ops[b], opened.users[b], b))
                break
            skipped.append(heapq.heappop(queue))
        else:
            left.append(piece)
        for ops, users, b in skipped:
            if users < opened.limits.users and ops < room:
                heapq.heappush(queue, (ops, users, b))
    return left


def _fill_gaps(opened: _OpenRequests, reserved: list[Piece]) -> list[Piece]:
    """Fill each request's user slots, with whole pieces that fit exactly or with a cut piece.

    Returns the pieces left over.
    """
    shelves = Shelves()
    for piece in reserved:
        shelves.put(piece)
    limits = opened.limits
    for b in range(len(opened.users)):
        while shelves.tall and opened.users[b] < limits.users and opened.ops[b] < limits.segments:
            n, s = limits.users - opened.users[b], limits.segments - opened.ops[b]
            shapes = shelves.exactly(n, s)
            if not shapes:
                shape = shelves.above(n, s) or shelves.tallest(n, s)
                if shape is None:
                    break
                shapes = [shape]
            for shape in shapes:
                rest = opened.place(shelves.take(shape), b)
                if rest:
                    shelves.put(rest)
    return sorted(shelves.pieces())


def _fill_one_by_one(pieces: list[Piece], first_request: int, limits: Limits) -> list[Placed]:
    """Fill requests one after the other, keeping both dimensions equally full."""
    shelves = Shelves()
    for piece in sorted(pieces, key=lambda p: (-p[2], -p[3])):
        shelves.put(piece)
    left_users, left_ops = sum(p[0] for p in pieces), sum(p[1] for p in pieces)
    placed: list[Placed] = []
    request = first_request
    while shelves.tall:
        # a request should have users and operations in the ratio of the remaining slots
        goal_users, goal_ops = left_users, left_ops
        room_users, room_ops = limits.users, limits.segments
        while room_users and room_ops:
            used_users, used_ops = limits.users - room_users, limits.segments - room_ops
            if used_ops * goal_users <= used_users * goal_ops:
                shape = shelves.widest(room_users, room_ops)
            else:
                shape = shelves.tallest(room_users, room_ops)
            if shape is None:
                shape = shelves.above(room_users, room_ops)
                if shape is None:
                    break
            n, s, entry, begin = shelves.take(shape)
            taken = min(n, room_users)
            if taken < n:
                shelves.put((n - taken, s, entry, begin + taken))
                left_ops += s
            placed.append((entry, begin, begin + taken, request))
            left_users -= taken
            left_ops -= s
            room_users -= taken
            room_ops -= s
        request += 1
    return placed
