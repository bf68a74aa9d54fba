"""The lock of a local state: an ``flock``, which the system releases when the process ends.

The state's folder has three files for it:

- ``lock`` carries the flock. A run holds the state while it holds the flock on the file that has
  this name *now*. Breaking a lock gives the name to another file. The old holder still has the
  flock on the old file, but no longer holds the state.
- ``lock.json`` says who holds the lock. If the flock is free, it says who died with the lock held.
- ``lock.guard`` makes the steps of each operation atomic. A run locks it for milliseconds while it
  takes, breaks or inspects the lock, or while it replaces the head. Without it, a lock could be
  broken between the last check of the lock and the rename that replaces the head.
"""

import fcntl
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from segctl.backends.base import LockInfo
from segctl.backends.holders import UNKNOWN_HOLDER, current_user, locked_error, no_such_lock
from segctl.core.clock import Clock
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.disk import Disk, is_same_file, read_file, translate_os_errors
from segctl.core.errors import OperationError, StateChanged

_POLL_SECONDS = 0.5
_GUARD_SECONDS = 10.0
"""How long to wait for the guard. A process that holds it for longer is suspended or stuck."""


class FileLock:
    """The lock of the state in ``folder``, as one run uses it."""

    max_request_seconds = math.inf

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        sleep: Callable[[float], None],
        new_id: Callable[[], str],
        disk: Disk,
    ) -> None:
        self._folder = folder
        self._path = folder / "lock"
        self._info_path = folder / "lock.json"
        self._guard_path = folder / "lock.guard"
        self._clock = clock
        self._sleep = sleep
        self._new_id = new_id
        self._disk = disk
        self._descriptor: int | None = None
        self._info = UNKNOWN_HOLDER
        self.abandoned: LockInfo | None = None

    def acquire(self, *, command: str, timeout: float) -> LockInfo:
        """Take the lock, waiting at most ``timeout`` seconds; raises ``StateLocked``."""
        deadline = self._clock.monotonic() + timeout
        while (holder := self._try_acquire(command)) is not None:
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                raise locked_error(holder)
            self._sleep(min(_POLL_SECONDS, remaining))
        return self._info

    def release(self) -> None:
        """Release the lock, even if it was broken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            # If the lock was broken, ``lock.json`` may describe the next holder by now.
            if is_same_file(self._path, descriptor):
                with suppress(OSError):
                    self._disk.unlink(self._info_path)
        finally:
            os.close(descriptor)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Make sure that nobody can break the lock during the block.

        Raises ``StateChanged`` if it was broken before.
        """
        # Checked first too, so that a run whose lock was broken does not wait for the guard.
        self.check()
        with self._guard(fcntl.LOCK_EX):
            self.check()
            yield

    def check(self) -> None:
        """Raise ``StateChanged`` if the lock was broken.

        Breaking the lock replaces its file before another run can take the lock. If this check
        passes, the next holder therefore sees everything that was written before the check.
        """
        if self._descriptor is None:
            raise RuntimeError("the state is written without the lock")
        if not is_same_file(self._path, self._descriptor):
            raise StateChanged(
                f"the lock {self._info.id} of this run was broken while the run was in progress; "
                "the run stopped and left the state as it is",
                hint="`segctl force-unlock` breaks a lock. Make sure that no other run is in "
                "progress, then run the same command again.",
            )

    def holder(self) -> LockInfo | None:
        """Return who holds the lock, or ``None``; writes nothing."""
        if not self._guard_path.exists():
            return None
        with self._guard(fcntl.LOCK_SH):
            return self._read_holder()

    def living_holder(self) -> LockInfo | None:
        """Return who holds the lock: the system releases the lock of a process that died."""
        return self.holder()

    def force(self, lock_id: str) -> None:
        """Break the lock with this id: a new file takes the name of the locked file."""
        holder = None
        if self._guard_path.exists():
            with self._guard(fcntl.LOCK_EX):
                holder = self._read_holder()
                if holder is not None and holder.id == lock_id:
                    with translate_os_errors("break the lock"):
                        self._disk.replace(self._path, b"", temporary=self._temporary())
                    return
        raise no_such_lock(lock_id, holder)

    def _try_acquire(self, command: str) -> LockInfo | None:
        """Take the lock and return ``None``, or return who holds it."""
        with translate_os_errors("lock the state"):
            for path in (self._guard_path, self._path):
                if not path.exists():
                    with suppress(FileExistsError):
                        os.close(self._disk.create(path))
            with self._guard(fcntl.LOCK_EX):
                # Opened under the guard: the file keeps the name until it is locked.
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    if not _flock(descriptor, fcntl.LOCK_EX):
                        return self._read_info()
                    # The flock is free, so the run that left ``lock.json`` died with the lock held.
                    self.abandoned = self._read_info() if self._info_path.exists() else None
                    self._info = self._write_new_info(command)
                    self._descriptor, descriptor = descriptor, -1
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
        return None

    def _write_new_info(self, command: str) -> LockInfo:
        info = LockInfo(
            id=self._new_id(),
            who=current_user(),
            pid=os.getpid(),
            command=command,
            since=self._clock.now(),
        )
        self._write_info(info)
        return info

    def record_plan(self, plan: str) -> None:
        """Record the digest of the plan that is applied, for the next run in case this one dies."""
        with self.guarded():
            self._info = replace(self._info, plan=plan)
            self._write_info(self._info)

    def _write_info(self, info: LockInfo) -> None:
        self._disk.replace(self._info_path, dump_json(to_plain(info)), temporary=self._temporary())

    def _temporary(self) -> Path:
        """Return the path for a file being written; removes one that a dead run left."""
        path = self._folder / "lock.new"
        with suppress(FileNotFoundError):
            self._disk.unlink(path)
        return path

    def _read_holder(self) -> LockInfo | None:
        with translate_os_errors("read the lock"):
            try:
                descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            try:
                return None if _flock(descriptor, fcntl.LOCK_SH) else self._read_info()
            finally:
                os.close(descriptor)

    def _read_info(self) -> LockInfo:
        try:
            return from_plain(LockInfo, load_json(read_file(self._info_path)))
        except (OSError, DecodeError):
            return UNKNOWN_HOLDER

    @contextmanager
    def _guard(self, kind: int) -> Iterator[None]:
        """Hold the guard for the length of the block.

        ``LOCK_SH`` opens it read-only, so that a plan can inspect a lock it may not write.
        """
        mode = os.O_RDWR if kind == fcntl.LOCK_EX else os.O_RDONLY
        with translate_os_errors("read the lock"):
            descriptor = os.open(self._guard_path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            deadline = self._clock.monotonic() + _GUARD_SECONDS
            while not _flock(descriptor, kind):
                if self._clock.monotonic() >= deadline:
                    raise OperationError(
                        f"another process has held {self._guard_path.name} of the state for "
                        f"{_GUARD_SECONDS:.0f} seconds",
                        hint="It may be a suspended segctl. Let it continue or end it, then run "
                        "the same command again.",
                    )
                self._sleep(0.01)
            yield
        finally:
            os.close(descriptor)


def _flock(descriptor: int, kind: int) -> bool:
    """Take an flock without waiting; return whether it was free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OperationError(
            f"the file system cannot lock files: {error.strerror}",
            hint="Move the workspace to a local disk.",
        ) from error
    return True
