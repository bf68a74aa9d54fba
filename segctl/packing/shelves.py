"""Unpacked pieces on shelves, one shelf for each shape, with best-fit lookup."""

Piece = tuple[int, int, int, int]  # users, operations, entry, first user within the entry


class Shelves:
    """Unpacked pieces, grouped by shape (users, operations).

    Bit s of ``by_users[n]`` and bit n of ``by_ops[s]`` are set if the shelf of n users and s
    operations has a piece.  Bit operations on these integers find the best-fitting shape
    without a scan of the pieces.
    """

    def __init__(self) -> None:
        self.shelf: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.by_users: dict[int, int] = {}
        self.by_ops: dict[int, int] = {}
        self.tall = 0  # bit n: by_users[n] is not empty
        self.wide = 0  # bit s: by_ops[s] is not empty

    def put(self, piece: Piece) -> None:
        """Add a piece."""
        n, s, entry, begin = piece
        shelf = self.shelf.get((n, s))
        if shelf:
            shelf.append((entry, begin))
            return
        self.shelf[n, s] = [(entry, begin)]
        self.by_users[n] = self.by_users.get(n, 0) | 1 << s
        self.by_ops[s] = self.by_ops.get(s, 0) | 1 << n
        self.tall |= 1 << n
        self.wide |= 1 << s

    def take(self, shape: tuple[int, int]) -> Piece:
        """Remove and return the piece of this shape that was added last."""
        n, s = shape
        shelf = self.shelf[n, s]
        entry, begin = shelf.pop()
        if not shelf:
            self.by_users[n] ^= 1 << s
            self.by_ops[s] ^= 1 << n
            if not self.by_users[n]:
                self.tall ^= 1 << n
            if not self.by_ops[s]:
                self.wide ^= 1 << s
        return n, s, entry, begin

    def pieces(self) -> list[Piece]:
        """Return all pieces."""
        return [(n, s, e, b) for (n, s), shelf in self.shelf.items() for e, b in shelf]

    def widest(self, n: int, s: int) -> tuple[int, int] | None:
        """Return the shape with the most operations, then most users, that fits n and s."""
        wide = self.wide & ((2 << s) - 1)
        while wide:
            width = wide.bit_length() - 1
            tall = self.by_ops[width] & ((2 << n) - 1)
            if tall:
                return tall.bit_length() - 1, width
            wide ^= 1 << width
        return None

    def tallest(self, n: int, s: int) -> tuple[int, int] | None:
        """Return the shape with the most users, then fewest operations, that fits n and s."""
        tall = self.tall & ((2 << n) - 1)
        while tall:
            height = tall.bit_length() - 1
            wide = self.by_users[height] & ((2 << s) - 1)
            if wide:
                return height, (wide & -wide).bit_length() - 1
            tall ^= 1 << height
        return None

    def above(self, n: int, s: int) -> tuple[int, int] | None:
        """Return the shape of more than n users with the fewest operations, at most s."""
        wide = self.wide & ((2 << s) - 1)
        while wide:
            width = (wide & -wide).bit_length() - 1
            tall = self.by_ops[width] >> (n + 1) << (n + 1)
            if tall:
                return tall.bit_length() - 1, width
            wide &= wide - 1
        return None

    def exactly(self, n: int, s: int) -> list[tuple[int, int]]:
        """Return one or two shapes of n users in total and at most s operations, or []."""
        widths = self.by_users.get(n, 0) & ((2 << s) - 1)
        if widths:
            return [(n, (widths & -widths).bit_length() - 1)]
        tall = self.tall & ((1 << n) - 1)
        while tall:
            first = tall.bit_length() - 1
            if 2 * first < n:
                break
            other_widths = self.by_users.get(n - first, 0)
            if other_widths:
                widths = self.by_users[first]
                a, b = (
                    (widths & -widths).bit_length() - 1,
                    (other_widths & -other_widths).bit_length() - 1,
                )
                if a + b <= s and (2 * first > n or len(self.shelf[first, a]) > 1):
                    return [(first, a), (n - first, b)]
            tall ^= 1 << first
        return []
