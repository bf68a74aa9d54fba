"""Limits of a request, the resulting ``Packing``, and the array types of the folder."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import Certificate

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Counting = Literal["strict", "distinct", "pairs"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one update request, in users and in operations (``segments``).

    ``strict`` counting adds up the entries of a request.  ``distinct`` counting counts each
    user and each (segment, action) once per request, regardless of the number of entries.
    ``pairs`` counting counts users × operations; the smaller of the two limits is the limit of
    pairs.  The vendor's page allows all three readings; pairs is valid under each of them,
    strict under the first two.
    """

    users: int = 100
    segments: int = 100
    counting: Counting = "strict"

    def __post_init__(self) -> None:
        if self.users < 1 or self.segments < 1:
            raise ValueError("limits must allow at least one user and one segment in a request")
        if self.counting not in get_args(Counting):
            raise ValueError(
                f"counting must be one of {', '.join(get_args(Counting))}, not {self.counting!r}"
            )

    @property
    def pairs(self) -> int:
        """The most (user, operation) pairs of a request, if these are counted."""
        return min(self.users, self.segments)

    @property
    def users_of_one_op(self) -> int:
        """The most users of a request with one operation."""
        return self.pairs if self.counting == "pairs" else self.users


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
    certificate: Certificate  # of the lower bound

    @property
    def floor(self) -> int:
        """The proven lower bound on the requests of any packing."""
        return self.certificate.floor
