"""How much room a run may take: memory, threads, and a folder for what does not fit.

Arithmetic alone; ``machine.py`` looks at what is there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LEAST = 128 << 20
"""Bytes; the engine does nothing useful with less."""

SHARE = 0.6
"""Of the memory there is: what the engine may hold.

The rest is for the packer, which works outside of that limit, for Python, and for
whatever else runs on a small machine.
"""

BYTES_A_THREAD = 256 << 20
"""Each of the engine's threads holds buffers of its own; with less they crowd out the data."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT])(I?)B?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the user allows: bytes of memory, and where scratch files go.

    ``None`` means a share of what the machine has, and the system's temporary folder.
    """

    memory: int | None = None
    folder: Path | None = None


def size(text: str) -> int:
    """Read a size such as ``2GB``, ``512 MiB`` or ``1.5G``, in bytes; raises ``ValueError``."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no size; write 512MB, 2GB or 1.5GiB.")
    number, unit, binary = found.groups()
    count = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.upper()])
    if count < LEAST:
        raise ValueError(f"{text!r} is too little: the least is 128MiB.")
    return count


def memory_share(physical: int, limits: Iterable[int]) -> int:
    """Give the bytes for the engine where the user names none.

    ``physical`` is the machine's memory, ``limits`` what containers around this process
    allow; both in bytes.
    """
    return max(LEAST, int(SHARE * min([physical, *limits])))


def thread_share(cores: int, memory: int) -> int:
    """Give how many threads ``memory`` bytes are enough for, one at least."""
    return max(1, min(cores, memory // BYTES_A_THREAD))
