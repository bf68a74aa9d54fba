"""What the machine denies the database at its work, said with the way out."""

import errno
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import duckdb

from segctl.core.disk import DISK_FULL_ERRNOS, disk_full_error
from segctl.core.errors import OperationError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_DENIED = (errno.EIO, errno.EROFS, errno.EACCES)
_NO_SPILLING = ("max_temp_directory_size", "failed to offload")
_AGAIN = "then run the same command again."

MOST_PARTS = 64
"""In how many parts a statement is tried at most."""

EVERYTHING = "true"
"""The one condition where nothing has to be parted."""


@dataclass(frozen=True, kw_only=True)
class MemoryLimits:
    """What an engine works with: ``memory`` in bytes, and where its scratch folder stands."""

    memory: int | None
    folder: Path


class Worker(Protocol):
    """Whose work may meet a shortage."""

    means: MemoryLimits


S = TypeVar("S", bound=Worker)


def explained(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Make a method raise ``OperationError`` where disk or memory run out."""

    @functools.wraps(method)
    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except duckdb.Error as error:
            if (found := told(error, self.means)) is None:
                raise
            raise found from error

    return wrapper


def in_parts(work: Callable[[Sequence[str]], T]) -> T:
    """Do work on all rows at once or, where that does not fit into memory, in parts of them.

    Telling rows apart takes memory that cannot be spilled, some bytes for each.  ``work``
    is given conditions on the column ``value``; each user meets one of them.  It begins
    anew each time it is called.  Raises the last ``OutOfMemoryException``.
    """
    parts = 1
    while True:
        hashed = (f"hash(value) % {parts} = {part}" for part in range(parts))
        try:
            return work([EVERYTHING] if parts == 1 else list(hashed))
        except duckdb.OutOfMemoryException as error:
            if _is_full(error) or parts == MOST_PARTS:
                raise
        parts *= 2


def is_shortage(error: duckdb.Error) -> bool:
    """Tell whether an error says nothing of the data, but that there is no room for it."""
    return isinstance(error, duckdb.OutOfMemoryException) or _code(error) in DISK_FULL_ERRNOS


def told(error: duckdb.Error, means: MemoryLimits) -> OperationError | None:
    """Explain an error that is about the machine; ``None`` where it is about something else."""
    if isinstance(error, duckdb.OutOfMemoryException):
        if _is_full(error):
            return disk_full_error(means.folder, errno.ENOSPC)
        held = f": it may hold {means.memory / 1e6:,.0f} MB" if means.memory else ""
        return OperationError(
            f"there is not enough memory for this run{held}",
            hint=f"Allow it more with --memory-limit or SEGCTL_MEMORY_LIMIT, {_AGAIN}",
        )
    code = _code(error)
    if code in DISK_FULL_ERRNOS:
        return disk_full_error(means.folder, code)
    if code in _DENIED:
        return OperationError(
            f"cannot work in the folder for scratch files, {means.folder}: {os.strerror(code)}",
            hint=f"Check the disk and its permissions, {_AGAIN}",
        )
    return None


def _is_full(error: duckdb.OutOfMemoryException) -> bool:
    """Tell whether what lacks is room for what was to be spilled."""
    return any(mark in str(error) for mark in _NO_SPILLING)


def _code(error: duckdb.Error) -> int:
    """Give the number of the system's error that DuckDB quotes, 0 where it quotes none."""
    if not isinstance(error, duckdb.IOException):
        return 0
    return next((c for c in (*DISK_FULL_ERRNOS, *_DENIED) if os.strerror(c) in str(error)), 0)
