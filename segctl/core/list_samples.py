"""Hashes of the values of a list, joined in one text: all of them, or a random part.

The values with the smallest hashes are a random part, and the same one for equal lists.
"""

LIST_SAMPLE_SIZE = 1024
"""How many values of a list are remembered."""

HASH_DIGITS = 12
"""Hexadecimal digits of a hash.

Of 10 million other values, the chance that one has the hash of a remembered value is 1 in 27,000.
"""


def split_hashes(joined: str) -> list[str]:
    """Return the hashes one by one."""
    return [joined[start : start + HASH_DIGITS] for start in range(0, len(joined), HASH_DIGITS)]


def count_hashes(joined: str) -> int:
    """Return the number of hashes."""
    return len(joined) // HASH_DIGITS
