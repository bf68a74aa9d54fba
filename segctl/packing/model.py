"""The resulting ``Packing``, and the array types of the folder."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import Certificate
from segctl.core.request_limits import Limits

__all__ = ["Bools", "Ints", "Limits", "Packing"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


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
