"""Put entries into requests: two-dimensional bin packing of items that may be cut.

An entry of n users and s operations may be cut between users: each further piece
costs s more operation slots, and nothing else.  So when user slots are what is
scarce, entries in a row are cut every ``limits.users`` users, and that is the optimum
for the cover (``_rule``).  When both run out together, the requests are filled all at
once: wide entries are dealt out evenly, tall ones fit in between (``_deal``).
"""

import heapq
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets
from segctl.packing.shelves import Piece, Shelves

Placed = tuple[int, int, int, int]  # entry, first user, end, request
PATIENCE = 32  # full requests looked past for a piece


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Piece k is users ``begin[k]:end[k]`` of an entry, sent in request ``request[k]``."""

    entry: Ints
    begin: Ints
    end: Ints
    request: Ints
    requests: int


class _Board:
    """Requests that are filled all at once: what each holds, and where pieces went."""

    def __init__(self, requests: int, begun: int, limits: Limits) -> None:
        self.users = [0] * requests
        self.ops = [0] * requests
        self.begun = begun
        self.limits = limits
        self.placed: list[Placed] = []

    def place(self, piece: Piece, b: int) -> Piece | None:
        """Put a piece, or as much of it as there is room for, into b; return the rest."""
        n, s, entry, begin = piece
        taken = min(n, self.limits.users - self.users[b])
        self.placed.append((entry, begin, begin + taken, self.begun + b))
        self.users[b] += taken
        self.ops[b] += s
        return (n - taken, s, entry, begin + taken) if taken < n else None


def fill(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces:
    """Pack entries of ``users[e]`` by ``ops[e]`` into requests; no entry is too wide."""
    ruled = _rule(users, ops, removes, limits)
    if ruled is not None:
        return ruled
    pieces = [
        (n, s, e, 0) for e, (n, s) in enumerate(zip(users.tolist(), ops.tolist(), strict=True))
    ]
    together = _fill(pieces, 0, limits)
    first = _with_removals(users, ops, removes)
    if not bool(first.any()) or bool(first.all()):
        return _table(together)
    placed, left = _deal([pieces[e] for e in np.flatnonzero(first).tolist()], 0, limits, spare=0)
    begun = max((p[3] + 1 for p in placed), default=0)
    later = [pieces[e] for e in np.flatnonzero(~first).tolist()]
    apart = placed + _fill(left + later, begun, limits)
    if _requests(apart) <= _requests(together):
        return _table(apart)
    return _table(together)


def _requests(placed: list[Placed]) -> int:
    return max(p[3] for p in placed) + 1


def _table(placed: list[Placed]) -> Pieces:
    table = np.array(placed, np.int64).reshape(-1, 4)
    # requests that were planned and got nothing are no requests
    used, request = np.unique(table[:, 3], return_inverse=True)
    return Pieces(
        entry=table[:, 0],
        begin=table[:, 1],
        end=table[:, 2],
        request=request.astype(np.int64),
        requests=len(used),
    )


def _with_removals(users: Ints, ops: Ints, removes: Bools) -> Bools:
    """Pick the entries to be sent first: all that remove, and others that even them out.

    If those that remove need relatively more user slots than the rest, the widest of
    the rest join them, until both halves are shaped like the whole: then either fills
    its requests as well as the whole would.
    """
    all_users, all_ops = int(users.sum()), int(ops.sum())
    first = removes.copy()
    lacking = int(ops[first].sum()) * all_users - int(users[first].sum()) * all_ops
    rest = np.flatnonzero(~first)
    balance = ops[rest] * all_users - users[rest] * all_ops  # > 0: wider than the whole
    if lacking > 0:
        balance = -balance
    order = np.argsort(-balance * 1.0 / (users[rest] + ops[rest]), kind="stable")
    brings = np.cumsum(balance[order])
    count = int(np.searchsorted(np.maximum.accumulate(brings), abs(lacking), side="right"))
    count = min(count, int((balance > 0).sum()))
    first[rest[order[:count]]] = True
    return first


def _rule(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces | None:
    """Lay the entries end to end and cut every ``limits.users`` users, if that fits.

    Wide entries are dealt out evenly among the others, so that it fits more often.
    """
    total = int(users.sum())
    requests = -(-total // limits.users)
    if int(ops.sum()) > requests * limits.segments:
        return None
    for order in (np.lexsort((ops, ~removes)), _interleaved(users, ops)):
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


def _interleaved(users: Ints, ops: Ints) -> Ints:
    """Order entries so that any stretch of users has about its share of operations."""
    order = np.lexsort((users, -ops))
    stratum = np.cumsum(ops[order]) * 16 // (int(ops.sum()) + 1)
    end = np.cumsum(users[order])
    bounds = np.searchsorted(stratum, np.arange(17))
    edge = np.concatenate(([0], end))[bounds]
    low, high = edge[stratum], edge[stratum + 1]
    # halfway through an entry, as a share of its stratum; integers, alike on any machine
    place = ((2 * end - users[order] - 2 * low) << 24) // (high - low)
    return order[np.argsort(place, kind="stable")]


def _fill(pieces: list[Piece], begun: int, limits: Limits) -> list[Placed]:
    """Fill requests from number ``begun`` on, in the best of a few ways."""
    tries = [_deal_all(pieces, begun, limits, spare) for spare in (0, 2, 6)]
    tries.append(_one_by_one(pieces, begun, limits))
    return min(tries, key=_requests)


def _deal_all(pieces: list[Piece], begun: int, limits: Limits, spare: int) -> list[Placed]:
    """Deal; deal again what was left; the last few go one by one."""
    placed, left = _deal(pieces, begun, limits, spare)
    for _ in range(3):
        if not left:
            return placed
        now = max((p[3] + 1 for p in placed), default=begun)
        if len(left) < 50:
            break
        more, left = _deal(left, now, limits, 0)
        placed = placed + more
    now = max((p[3] + 1 for p in placed), default=begun)
    return placed + _one_by_one(left, now, limits)


def _deal(
    pieces: list[Piece], begun: int, limits: Limits, spare: int
) -> tuple[list[Placed], list[Piece]]:
    """Deal pieces out over as many requests as they need at least, plus 1 in 1000 ``spare``.

    Returns what was placed, and the pieces for which there was no room.  Tall
    pieces go to whoever has fewest users, up to the share the wide ones leave; then wide
    pieces, widest first, to whoever has fewest operations, so that all requests end
    up equally full; last, the tall ones kept back close the gaps, cut where they must be.
    """
    if not pieces:
        return [], []
    users, ops = sum(p[0] for p in pieces), sum(p[1] for p in pieces)
    wide = [p for p in pieces if p[0] * ops <= p[1] * users]
    tall = sorted(
        (p for p in pieces if p[0] * ops > p[1] * users), key=lambda p: (-p[0], p[1], p[2])
    )
    closing, whole = _keep_back(tall, users // 4, limits)
    thin = sum(p[0] * p[1] for p in closing) // max(1, sum(p[0] for p in closing))
    requests = max(1, users // limits.users, ops // limits.segments)
    requests = max(-(-users // limits.users), -(-(ops + requests * thin // 2) // limits.segments))
    requests += requests * spare // 1000
    board = _Board(requests, begun, limits)

    share = max(1, limits.users - -(-sum(p[0] for p in wide) // requests))
    queue = [(0, b) for b in range(requests)]
    for piece in _shortened(whole, min(share, max(1, limits.users // 2))):
        load, b = queue[0]
        if load + piece[0] <= share and board.ops[b] + piece[1] <= limits.segments:
            board.place(piece, b)
            heapq.heapreplace(queue, (load + piece[0], b))
        else:
            closing.append(piece)

    left = _deal_wide(board, wide, limits.segments - min((p[1] for p in closing), default=0))
    left += _close(board, closing)
    return board.placed, left


def _keep_back(tall: list[Piece], most: int, limits: Limits) -> tuple[list[Piece], list[Piece]]:
    """Keep back tall pieces that are cheap to cut, up to ``most`` users: (kept, others)."""
    kept, others, held = [], [], 0
    for piece in sorted(tall, key=lambda p: (p[1], -p[0], p[2])):
        cheap = piece[0] * 8 >= limits.users and piece[1] * 10 <= limits.segments
        if cheap and held < most:
            kept.append(piece)
            held += piece[0]
        else:
            others.append(piece)
    return kept, sorted(others, key=lambda p: (-p[0], p[1], p[2]))


def _shortened(pieces: list[Piece], share: int) -> list[Piece]:
    """Cut pieces of more than ``share`` users evenly; tallest first."""
    result = []
    for n, s, entry, begin in pieces:
        cuts = -(-n // share)
        edges = [n * i // cuts for i in range(cuts + 1)]
        result += [(b - a, s, entry, begin + a) for a, b in pairwise(edges)]
    result.sort(key=lambda p: -p[0])
    return result


def _deal_wide(board: _Board, wide: list[Piece], room: int) -> list[Piece]:
    """Deal wide pieces to the requests with fewest operations; return the rest."""
    queue = [
        (ops, users, b) for b, (ops, users) in enumerate(zip(board.ops, board.users, strict=True))
    ]
    heapq.heapify(queue)
    left: list[Piece] = []
    for piece in sorted(wide, key=lambda p: (-p[1], -p[0], p[2])):
        aside: list[tuple[int, int, int]] = []
        while queue and len(aside) < PATIENCE:
            ops, users, b = queue[0]
            if users + piece[0] <= board.limits.users and ops + piece[1] <= room:
                board.place(piece, b)
                heapq.heapreplace(queue, (board.ops[b], board.users[b], b))
                break
            aside.append(heapq.heappop(queue))
        else:
            left.append(piece)
        for ops, users, b in aside:
            if users < board.limits.users and ops < room:
                heapq.heappush(queue, (ops, users, b))
    return left


def _close(board: _Board, closing: list[Piece]) -> list[Piece]:
    """Fill each request's users up, with whole pieces if some fit exactly, else by a cut."""
    stock = Shelves()
    for piece in closing:
        stock.put(piece)
    limits = board.limits
    for b in range(len(board.users)):
        while stock.tall and board.users[b] < limits.users and board.ops[b] < limits.segments:
            n, s = limits.users - board.users[b], limits.segments - board.ops[b]
            shapes = stock.exactly(n, s)
            if not shapes:
                shape = stock.above(n, s) or stock.tallest(n, s)
                if shape is None:
                    break
                shapes = [shape]
            for shape in shapes:
                rest = board.place(stock.take(shape), b)
                if rest:
                    stock.put(rest)
    return sorted(stock.pieces())


def _one_by_one(pieces: list[Piece], begun: int, limits: Limits) -> list[Placed]:
    """Fill requests one after the other, keeping both dimensions equally full on the way."""
    stock = Shelves()
    for piece in sorted(pieces, key=lambda p: (-p[2], -p[3])):
        stock.put(piece)
    left_users, left_ops = sum(p[0] for p in pieces), sum(p[1] for p in pieces)
    placed: list[Placed] = []
    request = begun
    while stock.tall:
        # a request should hold users and operations in the ratio they are left in
        aim_users, aim_ops = left_users, left_ops
        room_users, room_ops = limits.users, limits.segments
        while room_users and room_ops:
            used_users, used_ops = limits.users - room_users, limits.segments - room_ops
            if used_ops * aim_users <= used_users * aim_ops:
                shape = stock.widest(room_users, room_ops)
            else:
                shape = stock.tallest(room_users, room_ops)
            if shape is None:
                shape = stock.above(room_users, room_ops)
                if shape is None:
                    break
            n, s, entry, begin = stock.take(shape)
            taken = min(n, room_users)
            if taken < n:
                stock.put((n - taken, s, entry, begin + taken))
                left_ops += s
            placed.append((entry, begin, begin + taken, request))
            left_users -= taken
            left_ops -= s
            room_users -= taken
            room_ops -= s
        request += 1
    return placed
