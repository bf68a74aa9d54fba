"""The two values of packing: the limits it keeps, and the packing it returns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one update request may carry.

    ``strict`` counts sum over the entries of a request; ``distinct`` counts each
    user, and each (segment, action), once a request however many entries name it.
    The vendor's page allows both readings; strict is safe under either.
    """

    users: int = 100
    segments: int = 100
    counting: Literal["strict", "distinct"] = "strict"

    def __post_init__(self) -> None:
        if self.users < 1 or self.segments < 1:
            raise ValueError("a request must have room for at least one user and one segment")
        if self.counting not in ("strict", "distinct"):
            raise ValueError(f"counting is 'strict' or 'distinct', not {self.counting!r}")


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Entries in sending order; each is the product of its users and its operations.

    Entry ``e`` travels in request ``request[e]`` (non-decreasing from 0, no gaps),
    with users ``users[user_start[e]:user_start[e + 1]]`` and operations
    ``ops[op_start[e]:op_start[e + 1]]``, both ascending.
    """

    request: Ints  # (E,)
    user_start: Ints  # (E + 1,)
    users: Ints
    op_start: Ints  # (E + 1,)
    ops: Ints
    requests: int
    naive: int  # requests when each carries up to limits.users users of one operation
    floor: int  # proven: no packing can use fewer requests
