"""Limits of a request, the resulting ``Packing``, and the array types of the folder."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one update request, in users and in operations (``segments``).

    ``strict`` counting adds up the entries of a request.  ``distinct`` counting counts each
    user and each (segment, action) once per request, regardless of the number of entries.
    The vendor's page allows both readings; strict is valid under either.
    """

    users: int = 100
    segments: int = 100
    counting: Literal["strict", "distinct"] = "strict"

    def __post_init__(self) -> None:
        if self.users < 1 or self.segments < 1:
            raise ValueError("limits must allow at least one user and one segment in a request")
        if self.counting not in ("strict", "distinct"):
            raise ValueError(f"counting must be 'strict' or 'distinct', not {self.counting!r}")


@dataclass(frozen=True, kw_only=True)
class Packing:
    """E entries in sending order; each is the product of its users and its operations.

    Entry ``e`` is in request ``request[e]`` (non-decreasing from 0, no gaps).  It has users
    ``users[user_start[e]:user_start[e + 1]]`` and operations
    ``ops[op_start[e]:op_start[e + 1]]``, both ascending.
    """

    request: Ints  # (E,)
    user_start: Ints  # (E + 1,)
    users: Ints
    op_start: Ints  # (E + 1,)
    ops: Ints
    requests: int
    naive: int  # requests if each has one operation and up to limits.users users
    floor: int  # proven lower bound on the requests of any packing
