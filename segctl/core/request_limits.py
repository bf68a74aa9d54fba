"""The limits of one update request, and the ways to count what is in it."""

from typing import Literal, get_args

from segctl.core.dataclass import dataclass

Counting = Literal["strict", "distinct", "pairs"]
"""How the limits of a request are counted. See ``Limits``."""


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
