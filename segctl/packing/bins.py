"""Put entries into requests: two-dimensional bin packing of items that may be cut.

An entry of n users and s operations may be cut between users: each further piece
costs s more operation slots, and nothing else.  So when user slots are what is
scarce, entries in a row are cut every ``limits.users`` users and that is optimal for
the cover (``by_ruler``).  When both run out together, requests are filled along the
diagonal with a mixture of tall and wide entries (``by_shape``).
"""

from dataclasses import dataclass

import numpy as np

from segctl.packing.model import Bools, Ints, Limits
from segctl.packing.ragged import offsets


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Piece k is users ``begin[k]:end[k]`` of an entry, sent in request ``request[k]``."""

    entry: Ints
    begin: Ints
    end: Ints
    request: Ints
    requests: int


def fill(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces:
    """Pack entries of ``users[e]`` by ``ops[e]`` into requests; no entry is too wide."""
    ruled = by_ruler(users, ops, removes, limits)
    if ruled is not None:
        return ruled
    return by_shape(users, ops, removes, limits)


def by_ruler(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces | None:
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
    wide = np.cumsum(ops[order]) * 2 <= int(ops.sum())
    place = np.empty(len(order), np.float64)
    for half in (wide, ~wide):
        n = users[order[half]]
        if len(n):
            place[half] = (np.cumsum(n) - n / 2) / int(n.sum())
    return order[np.argsort(place, kind="stable")]


class _Stock:
    """Entries waiting for a request, found by shape in a few integer operations.

    ``by_users[n]`` has bit s set while an entry of n users and s operations waits;
    ``by_ops[s]`` the other way round.  Bit tricks on Python's integers find the
    largest shape that still fits without walking through the entries.
    """

    def __init__(self) -> None:
        self.shelf: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.by_users: dict[int, int] = {}
        self.by_ops: dict[int, int] = {}
        self.tall = 0  # bit n: by_users[n] is not empty
        self.wide = 0  # bit s: by_ops[s] is not empty

    def put(self, n: int, s: int, entry: int, begin: int) -> None:
        """Shelve ``n`` users of ``entry``, from its user ``begin`` on."""
        shelf = self.shelf.get((n, s))
        if shelf:
            shelf.append((entry, begin))
            return
        self.shelf[n, s] = [(entry, begin)]
        self.by_users[n] = self.by_users.get(n, 0) | 1 << s
        self.by_ops[s] = self.by_ops.get(s, 0) | 1 << n
        self.tall |= 1 << n
        self.wide |= 1 << s

    def take(self, n: int, s: int) -> tuple[int, int]:
        """Take the last entry of that shape that was put."""
        shelf = self.shelf[n, s]
        item = shelf.pop()
        if not shelf:
            self.by_users[n] ^= 1 << s
            self.by_ops[s] ^= 1 << n
            if not self.by_users[n]:
                self.tall ^= 1 << n
            if not self.by_ops[s]:
                self.wide ^= 1 << s
        return item

    def widest(self, n: int, s: int) -> tuple[int, int] | None:
        """Find the shape of most operations within n users and s operations."""
        wide = self.wide & ((2 << s) - 1)
        while wide:
            width = wide.bit_length() - 1
            tall = self.by_ops[width] & ((2 << n) - 1)
            if tall:
                return tall.bit_length() - 1, width
            wide ^= 1 << width
        return None

    def tallest(self, n: int, s: int) -> tuple[int, int] | None:
        """Find the shape of most users within n users and s operations."""
        tall = self.tall & ((2 << n) - 1)
        while tall:
            height = tall.bit_length() - 1
            wide = self.by_users[height] & ((2 << s) - 1)
            if wide:
                return height, wide.bit_length() - 1
            tall ^= 1 << height
        return None

    def above(self, n: int, s: int) -> tuple[int, int] | None:
        """Find a shape of more than n users, of fewest operations, within s operations."""
        wide = self.wide & ((2 << s) - 1)
        while wide:
            width = (wide & -wide).bit_length() - 1
            tall = self.by_ops[width] >> (n + 1) << (n + 1)
            if tall:
                return tall.bit_length() - 1, width
            wide &= wide - 1
        return None


def by_shape(users: Ints, ops: Ints, removes: Bools, limits: Limits) -> Pieces:
    """Fill requests one by one, keeping both dimensions equally full on the way."""
    stock = _Stock()
    # what is put last is taken first: removals
    for e in np.lexsort((-np.arange(len(users)), removes)).tolist():
        stock.put(int(users[e]), int(ops[e]), e, 0)
    left_users, left_ops = int(users.sum()), int(ops.sum())
    pieces: list[tuple[int, int, int, int]] = []
    request = 0
    while stock.tall:
        # what a request should hold, were the rest spread evenly over the fewest requests
        scale = max(left_users * limits.segments, left_ops * limits.users)
        aim_users = left_users * limits.users * limits.segments / scale
        aim_ops = left_ops * limits.users * limits.segments / scale
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
            n, s = shape
            entry, begin = stock.take(n, s)
            taken = min(n, room_users)
            if taken < n:
                stock.put(n - taken, s, entry, begin + taken)
                left_ops += s
            pieces.append((entry, begin, begin + taken, request))
            left_users -= taken
            left_ops -= s
            room_users -= taken
            room_ops -= s
        request += 1
    table = np.array(pieces, np.int64).reshape(-1, 4)
    return Pieces(
        entry=table[:, 0],
        begin=table[:, 1],
        end=table[:, 2],
        request=table[:, 3],
        requests=request,
    )
