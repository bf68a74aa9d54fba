"""Recompute the lower bound by widths that a certificate claims.

A line is a user or an operation, a cell one of the other kind. Sets of cells are found one cell
at a time, and the last two by one product of matrices.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from segctl.core.certificate import COST_UNITS, PRICE_UNITS, Certificate

Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

MAX_MATRIX = 1 << 26
"""The most lines times cells: a matrix of 256 MB."""

MIN_SET, MAX_SET, MAX_BLOCKS = 3, 5, 32
"""Limits of the numbers of a certificate. Beyond them the check would take hours."""


def is_checkable(certificate: Certificate) -> bool:
    """Return whether the numbers of a certificate by widths are within the limits."""
    return (
        0 < certificate.price < PRICE_UNITS
        and MIN_SET <= certificate.subset_ops <= MAX_SET
        and 1 <= certificate.blocks <= MAX_BLOCKS
        and certificate.least_group >= 2
    )


def recompute_floor(
    line: Ints, cell: Ints, certificate: Certificate, *, max_lines: int, max_cells: int
) -> int:
    """Return the lower bound that the numbers of the certificate prove for strict counting.

    ``line`` and ``cell`` (N,), N > 0, are users and operations, or operations and users.
    ``max_lines`` and ``max_cells`` are the limits of a request. Returns 0 if the matrix of lines
    and cells is too large.
    """
    line, cell = (np.unique(column, return_inverse=True)[1] for column in (line, cell))
    lines, cells = int(line.max()) + 1, int(cell.max()) + 1
    if lines * cells > MAX_MATRIX:
        return 0
    matrix = np.zeros((lines, cells), np.float32)
    matrix[line, cell] = 1
    common = _most_common_cells(matrix, certificate)
    in_one_block = certificate.blocks * (certificate.subset_ops - 1) + 1
    cost_of_width = []
    for width in range(1, max_cells + 1):
        most = max_lines
        if width >= in_one_block:
            sharing = [n for n, shared in common.items() if shared >= width]
            most = min(max_lines, max([*sharing, certificate.least_group - 1]))
        rest = COST_UNITS * (PRICE_UNITS - certificate.price) * max_lines * width
        cost_of_width.append(
            COST_UNITS * certificate.price // PRICE_UNITS + rest // (PRICE_UNITS * max_cells * most)
        )
    users_of_length = np.bincount(np.bincount(line))
    cheapest = [0]
    for length in range(1, len(users_of_length)):
        cheapest.append(
            min(
                cost_of_width[width - 1] + cheapest[length - width]
                for width in range(1, min(length, max_cells) + 1)
            )
        )
    total = sum(int(n) * cost for n, cost in zip(users_of_length, cheapest, strict=True))
    return -(-total // (COST_UNITS * max_lines))


def _most_common_cells(matrix: Matrix, certificate: Certificate) -> dict[int, int]:
    """Return for each number of lines from ``least_group`` on how many cells they can share.

    An upper bound, for lines that share ``subset_ops`` cells of one block.
    """
    common: dict[int, int] = {}
    least = certificate.least_group
    cells = matrix.shape[1]
    for number in range(certificate.blocks):
        low = number * cells // certificate.blocks
        high = (number + 1) * cells // certificate.blocks
        every = np.arange(len(matrix))
        for lines in _holders(matrix, every, low, high, size=certificate.subset_ops, least=least):
            lines_of_cell = np.sort(matrix[lines].sum(axis=0).astype(np.int64))[::-1]
            for shared, sharing in enumerate(lines_of_cell.tolist(), start=1):
                if sharing < least:
                    break
                common[sharing] = max(common.get(sharing, 0), shared)
    return common


def _holders(
    matrix: Matrix, lines: Ints, low: int, high: int, *, size: int, least: int
) -> Iterator[Ints]:
    """Yield the lines that have all of a set of ``size`` cells from ``low`` to ``high``.

    Only sets that ``least`` lines have, each once.
    """
    own = matrix[lines, low:high]
    if size > 2:
        for cell in range(high - low):
            having = lines[own[:, cell] > 0]
            if len(having) >= least:
                yield from _holders(
                    matrix, having, low + cell + 1, high, size=size - 1, least=least
                )
        return
    together = np.triu(own.T @ own, 1)
    for one, other in np.argwhere(together >= least).tolist():
        yield lines[(own[:, one] > 0) & (own[:, other] > 0)]
