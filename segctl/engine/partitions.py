"""Partitions of rows, for work that does not fit in memory at once.

A hash aggregate such as DISTINCT needs some memory per row that cannot be spilled.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import duckdb

from segctl.engine.resource_errors import is_spill_full

T = TypeVar("T")

MAX_PARTITIONS = 64
"""The most partitions that are tried."""

ALL_ROWS = "true"
"""The condition of a single partition."""


def run_in_partitions(work: Callable[[Sequence[str]], T]) -> T:
    """Run ``work`` on all rows at once; after running out of memory, in 2, 4, 8 … partitions.

    ``work`` receives one condition on the column ``value`` per partition. Every row meets exactly
    one of them, and equal values meet the same one. Each call starts over. Raises the last
    ``OutOfMemoryException``.
    """
    partitions = 1
    while True:
        hashed = (f"hash(value) % {partitions} = {number}" for number in range(partitions))
        try:
            return work([ALL_ROWS] if partitions == 1 else list(hashed))
        except duckdb.OutOfMemoryException as error:
            if is_spill_full(error) or partitions == MAX_PARTITIONS:
                raise
        partitions *= 2
