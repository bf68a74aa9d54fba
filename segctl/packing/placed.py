"""Changes that have an entry and a request, and the order of their requests."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segctl.packing.model import Bools, Ints

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Entries and requests of a set of changes, or of a part of it, numbered from 0."""

    entry: Numbers  # of each change; -1 if the change is not packed yet
    request: Ints  # (E,)
    requests: int


def sort_removals_first(placed: Placed, removes: Bools) -> Placed:
    """Renumber requests by their number of removals, most first, and entries accordingly."""
    per_entry = np.bincount(placed.entry[removes], minlength=len(placed.request))
    per_request = np.bincount(placed.request, weights=per_entry, minlength=placed.requests)
    rank = np.empty(placed.requests, np.int64)
    rank[np.argsort(-per_request, kind="stable")] = np.arange(placed.requests)
    request = rank[placed.request]
    order = np.argsort(request, kind="stable")
    new_number = np.empty(len(order), np.int32)
    new_number[order] = np.arange(len(order), dtype=np.int32)
    return Placed(entry=new_number[placed.entry], request=request[order], requests=placed.requests)
