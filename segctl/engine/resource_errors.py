"""Errors of DuckDB about memory and disk, translated to errors that say what to do."""

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import duckdb

from segctl.core.disk import DISK_FULL_ERRNOS, disk_full_error
from segctl.core.errors import OperationError

P = ParamSpec("P")
R = TypeVar("R")

_DISK_ERRNOS = (errno.EIO, errno.EROFS, errno.EACCES)
_SPILL_IS_FULL = ("max_temp_directory_size", "failed to offload")


class Worker(Protocol):
    """An object whose methods run DuckDB.

    ``memory_limit`` is in bytes. ``spill_folder`` contains DuckDB's temporary files.
    """

    memory_limit: int | None
    spill_folder: Path


W = TypeVar("W", bound=Worker)


def translate_resource_errors(
    method: Callable[Concatenate[W, P], R],
) -> Callable[Concatenate[W, P], R]:
    """Decorate a method to raise ``OperationError`` if memory or disk space runs out."""

    @functools.wraps(method)
    def wrapper(self: W, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except duckdb.Error as error:
            translated = to_operation_error(
                error, memory_limit=self.memory_limit, spill_folder=self.spill_folder
            )
            if translated is None:
                raise
            raise translated from error

    return wrapper


def to_operation_error(
    error: duckdb.Error, *, memory_limit: int | None, spill_folder: Path
) -> OperationError | None:
    """Return the error for a lack of memory or disk, ``None`` if ``error`` is about something else.

    ``memory_limit`` is in bytes.
    """
    if isinstance(error, duckdb.OutOfMemoryException) and not is_spill_full(error):
        limit = f": the limit is {memory_limit / 1e6:,.0f} MB" if memory_limit else ""
        return OperationError(
            f"not enough memory{limit}",
            hint="Raise --memory-limit or SEGCTL_MEMORY_LIMIT, then run the same command again.",
        )
    code = _os_error_number(error)
    if code in DISK_FULL_ERRNOS:
        return disk_full_error(spill_folder, code)
    if code in _DISK_ERRNOS:
        return OperationError(
            f"cannot use the folder for scratch files, {spill_folder}: {os.strerror(code)}",
            hint="Check the disk and the folder's permissions, then run the same command again.",
        )
    return None


def is_resource_error(error: duckdb.Error) -> bool:
    """Whether an error means that memory or disk space ran out, and nothing about the data."""
    return (
        isinstance(error, duckdb.OutOfMemoryException)
        or _os_error_number(error) in DISK_FULL_ERRNOS
    )


def is_spill_full(error: duckdb.Error) -> bool:
    """Whether an error means that there is no disk space left to spill to."""
    return isinstance(error, duckdb.OutOfMemoryException) and any(
        mark in str(error) for mark in _SPILL_IS_FULL
    )


def _os_error_number(error: duckdb.Error) -> int:
    """Return the number of the system error that DuckDB's message quotes, 0 if it quotes none."""
    if is_spill_full(error):
        return errno.ENOSPC
    if not isinstance(error, duckdb.IOException):
        return 0
    codes = (*DISK_FULL_ERRNOS, *_DISK_ERRNOS)
    return next((code for code in codes if os.strerror(code) in str(error)), 0)
