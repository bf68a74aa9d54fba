"""A set of small whole numbers, one bit each.

A segment's members are profile numbers, dense from 0.  A million members take
125 kB this way, a Python set of them fifty times as much, and the bytes go to
disk as they are.
"""

from collections.abc import Iterable, Iterator


class Bitmap:
    """A growing set of whole numbers from 0 up, with its size kept."""

    __slots__ = ("_bits", "count")

    def __init__(self, data: bytes = b"") -> None:
        self._bits = bytearray(data)
        self.count = int.from_bytes(data, "little").bit_count()

    def add(self, numbers: Iterable[int]) -> list[int]:
        """Add the numbers; return those that were not in it, in their order."""
        bits = self._bits
        new = []
        for number in numbers:
            index = number >> 3
            bit = 1 << (number & 7)
            try:
                byte = bits[index]
            except IndexError:
                # Doubling, so that growing one by one is not quadratic.
                bits.extend(bytes(max(index + 1 - len(bits), len(bits), 64)))
                byte = bits[index]
            if not byte & bit:
                bits[index] = byte | bit
                new.append(number)
        self.count += len(new)
        return new

    def remove(self, numbers: Iterable[int]) -> list[int]:
        """Remove the numbers; return those that were in it, in their order."""
        bits = self._bits
        end = len(bits) << 3
        gone = []
        for number in numbers:
            if number < end:
                index = number >> 3
                bit = 1 << (number & 7)
                if bits[index] & bit:
                    bits[index] ^= bit
                    gone.append(number)
        self.count -= len(gone)
        return gone

    def __contains__(self, number: int) -> bool:
        index = number >> 3
        return index < len(self._bits) and bool(self._bits[index] & (1 << (number & 7)))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for index, byte in enumerate(bytes(self._bits)):
            if byte:
                start = index << 3
                for bit in range(8):
                    if byte & (1 << bit):
                        yield start + bit

    def common(self, other: "Bitmap") -> int:
        """How many numbers both hold."""
        mine, others = (int.from_bytes(bytes(each), "little") for each in (self, other))
        return (mine & others).bit_count()

    def copy(self) -> "Bitmap":
        """Return the same set, to be changed apart."""
        return Bitmap(bytes(self._bits))

    def __bytes__(self) -> bytes:
        return bytes(self._bits.rstrip(b"\0"))
