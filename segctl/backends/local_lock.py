"""The lock of a local state: an ``flock``, so that it dies with its process.

Three files in the state's folder.  ``lock`` carries the flock; whoever holds it
on the file that *now* has this name holds the state.  ``lock.json`` says who that
is; while the flock is free it only says who died over it.  ``lock.guard`` is held for an
instant by whoever takes, breaks or looks at the lock or replaces the head, so
that none of these falls between two steps of another.
"""

import fcntl
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from segctl.backends.base import LockInfo
from segctl.core.clock import Clock
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.disk import Disk, is_same_file, read_file, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateLocked, WrongUsage

_POLL_SECONDS = 0.5
_GUARD_SECONDS = 10.0
"""The guard is held for milliseconds; longer means that its process stands still."""

_UNNAMED = LockInfo(id="unknown", who="unknown", pid=0, command="unknown", since=0.0)
"""A holder whose ``lock.json`` cannot be read; can be broken by this id."""


class FileLock:
    """One process's hold on the state in ``folder``."""

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
        self._info = _UNNAMED
        self.abandoned: LockInfo | None = None

    def acquire(self, *, command: str, timeout: float) -> LockInfo:
        """Take the lock, waiting at most ``timeout`` seconds; raises ``StateLocked``."""
        deadline = self._clock.monotonic() + timeout
        while (holder := self._try(command)) is not None:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise _locked(holder)
            self._sleep(min(_POLL_SECONDS, left))
        return self._info

    def release(self) -> None:
        """Let go, of a broken lock too."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            # A broken lock's ``lock.json`` may already be another run's.
            if is_same_file(self._path, descriptor):
                with suppress(OSError):
                    self._disk.unlink(self._info_path)
        finally:
            os.close(descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the lock from being broken for the length of one head replacement.

        Raises ``StateChanged`` where it was broken before.
        """
        self.check()
        with self._guarded(fcntl.LOCK_EX):
            self.check()
            yield

    def check(self) -> None:
        """Raise ``StateChanged`` where the lock was broken.

        Breaking it gives its name to another file before anyone else can take it, so
        what was written before this looked is there for whoever takes it next.
        """
        if self._descriptor is None:
            raise RuntimeError("the state is written without its lock")
        if not is_same_file(self._path, self._descriptor):
            raise StateChanged(
                f"the lock {self._info.id} of this run was broken by `segctl force-unlock` "
                "while it was running; the state was left as it is",
                hint="Make sure that no other run is at work, then run the same command again.",
            )

    def holder(self) -> LockInfo | None:
        """Give who holds the lock, ``None`` where nobody does; changes nothing on disk."""
        if not self._guard_path.exists():
            return None
        with self._guarded(fcntl.LOCK_SH):
            return self._holder()

    def force(self, lock_id: str) -> None:
        """Break the lock of that id: the file that is locked loses its name to a fresh one."""
        holder = None
        if self._guard_path.exists():
            with self._guarded(fcntl.LOCK_EX):
                holder = self._holder()
                if holder is not None and holder.id == lock_id:
                    with translate_os_errors("break the lock"):
                        self._disk.replace(self._path, b"", temporary=self._temporary())
                    return
        if holder is None:
            raise WrongUsage("the state is not locked, so there is nothing to break")
        raise WrongUsage(
            f"there is no lock {lock_id}: {_described(holder)}",
            hint=f"If you mean that one: segctl force-unlock {holder.id}",
        )

    def _try(self, command: str) -> LockInfo | None:
        """Take the lock and give ``None``, or give who holds it."""
        with translate_os_errors("lock the state"):
            for path in (self._guard_path, self._path):
                if not path.exists():
                    with suppress(FileExistsError):
                        os.close(self._disk.create(path))
            with self._guarded(fcntl.LOCK_EX):
                # Opened inside the guard, so this is the file that has the name until we hold it.
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    if not _flock(descriptor, fcntl.LOCK_EX):
                        return self._read_info()
                    self.abandoned = self._read_info() if self._info_path.exists() else None
                    self._info = self._introduce(command)
                    self._descriptor, descriptor = descriptor, -1
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
        return None

    def _introduce(self, command: str) -> LockInfo:
        info = LockInfo(
            id=self._new_id(),
            who=f"{_user()}@{socket.gethostname()}",
            pid=os.getpid(),
            command=command,
            since=self._clock.now(),
        )
        self._write_info(info)
        return info

    def record_plan(self, plan: str) -> None:
        """Say what the holder does, for whoever comes after it if it dies."""
        with self.held():
            self._info = replace(self._info, plan=plan)
            self._write_info(self._info)

    def _write_info(self, info: LockInfo) -> None:
        self._disk.replace(self._info_path, dump_json(to_plain(info)), temporary=self._temporary())

    def _temporary(self) -> Path:
        """Give a name for a half-written file; who died over the last one needs it no more."""
        path = self._folder / "lock.new"
        with suppress(FileNotFoundError):
            self._disk.unlink(path)
        return path

    def _holder(self) -> LockInfo | None:
        with translate_os_errors("look at the lock"):
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
            return _UNNAMED

    @contextmanager
    def _guarded(self, kind: int) -> Iterator[None]:
        mode = os.O_RDWR if kind == fcntl.LOCK_EX else os.O_RDONLY
        with translate_os_errors("look at the lock"):
            descriptor = os.open(self._guard_path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            deadline = self._clock.monotonic() + _GUARD_SECONDS
            while not _flock(descriptor, kind):
                if self._clock.monotonic() >= deadline:
                    raise OperationError(
                        "another segctl process stands still while it writes the state",
                        hint="Let it go on, or end it; then run the same command again.",
                    )
                self._sleep(0.01)
            yield
        finally:
            os.close(descriptor)


def _flock(descriptor: int, kind: int) -> bool:
    """Take an flock without waiting; tell whether it was free."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OperationError(
            f"the file system cannot lock files: {error.strerror}",
            hint="Keep the workspace's state on a local disk.",
        ) from error
    return True


def _locked(holder: LockInfo) -> StateLocked:
    return StateLocked(
        _described(holder),
        holder=holder,
        hint="Wait for it with --lock-timeout 60s. "
        f"If that process hangs or is out of reach: segctl force-unlock {holder.id}",
    )


def _described(holder: LockInfo) -> str:
    if holder == _UNNAMED:
        return "the state is locked by a process that left no name; lock ID unknown"
    since = datetime.fromtimestamp(holder.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"the state is locked by {holder.who} (process {holder.pid}, `{holder.command}`) "
        f"since {since}; lock ID {holder.id}"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"
