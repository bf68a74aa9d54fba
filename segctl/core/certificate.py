"""The certificate of a lower bound on requests: what a checker needs besides the delta."""

from typing import Literal

from segctl.core.dataclass import dataclass

Proof = Literal["empty", "pairs", "slots", "splits", "user widths", "operation widths"]

PRICE_UNITS = 1024
"""A price is a whole number of these parts of 1."""

COST_UNITS = 1 << 16
"""A cost is a whole number of these parts of a user slot, rounded down, so sums are exact."""

MAX_COST = 1 << 27
"""The highest cost of one part of a row, in ``COST_UNITS``; a higher one is lowered to it."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Why no packing of a delta needs fewer than ``floor`` requests.

    ``proof`` names the theorem in docs/packing.md: ``pairs`` and ``slots`` need the delta alone.
    ``splits`` also needs the following numbers. ``price`` is the price of a user slot in
    1/1024; an operation slot has the rest. Operations with more than ``max_op_users`` users are
    left out, and of each user's row all but the ``row_ops`` operations that the fewest users
    have; of two that as many users have, the one of the lower number counts as the rarer. The
    users who have a set of operations are counted exactly among those with up to ``max_row``
    operations. Among the others, the number is at most that of each of its subsets of
    ``subset_ops`` operations. A proof by widths uses ``price``, that of a slot of its lines, and
    ``subset_ops``, ``blocks`` and ``least_group``: the cells of each line are in ``blocks``
    blocks, and every set of ``subset_ops`` cells of one block is examined that ``least_group``
    lines have.
    """

    proof: Proof
    floor: int
    price: int = 0
    max_op_users: int = 0
    row_ops: int = 0
    max_row: int = 0
    subset_ops: int = 0
    blocks: int = 0
    least_group: int = 0


@dataclass(frozen=True, kw_only=True)
class CheckedPacking:
    """What a checker computes from a delta: the naive number of requests and lower bounds.

    ``proven`` has the bound that each certificate proves. The ``floor`` it claims does not count.
    """

    changes: int
    naive: int
    proven: tuple[int, ...]


EMPTY = Certificate(proof="empty", floor=0)
"""The certificate of an empty delta."""
