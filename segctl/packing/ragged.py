"""Ragged arrays: rows of unequal length as one flat array with offsets."""

from typing import TypeVar

import numpy as np

from segctl.packing.model import Ints

Number = TypeVar("Number", bound=np.generic)


def offsets(lengths: Ints) -> Ints:
    """Return the (R + 1,) offsets of (R,) row lengths."""
    start = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=start[1:])
    return start


def spans(begin: Ints, lengths: Ints) -> Ints:
    """Return the indexes of all ranges ``begin[i]:begin[i] + lengths[i]``, concatenated."""
    start = offsets(lengths)
    return np.arange(start[-1], dtype=np.int64) + np.repeat(begin - start[:-1], lengths)


def take_rows(
    start: Ints, flat: np.ndarray[tuple[int], np.dtype[Number]], rows: Ints
) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[Number]]]:
    """Return the selected rows of a ragged array, in the order of ``rows``: (offsets, flat)."""
    lengths = start[rows + 1] - start[rows]
    return offsets(lengths), flat[spans(start[rows], lengths)]


def sort_within(start: Ints, flat: Ints) -> Ints:
    """Return a ragged array of non-negative numbers with each row sorted ascending."""
    if len(flat) == 0:
        return flat
    width = int(flat.max()) + 1
    row = np.repeat(np.arange(len(start) - 1, dtype=np.int64), np.diff(start))
    key = row * width + flat
    if bool((key[1:] > key[:-1]).all()):
        return flat
    key.sort()
    result: Ints = key - row * width
    return result
