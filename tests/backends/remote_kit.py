"""A state in a store of bytes, opened by several machines."""

import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from segctl.backends.base import LockInfo
from segctl.backends.file_cache import FileCache
from segctl.backends.journal import Journal
from segctl.backends.lease import LeaseLock
from segctl.backends.remote import RemoteBackend
from segctl.backends.root import RootObject
from segctl.manifests.state_place import DEFAULT_LEASE_SECONDS
from tests.backends.conftest import FakeClock
from tests.backends.memory_store import MemoryStore

HEADER: Mapping[str, Any] = {"lineage": "5f0c", "serial": 0}
SENT = {"type": "sent", "request": 1, "at": 5.5}
DONE = {"type": "outcome", "request": 1, "outcome": "acknowledged", "at": 6.5}


class Machine:
    """One machine: its own clock, cache and scratch folder; the store is shared."""

    def __init__(
        self,
        store: MemoryStore,
        folder: Path,
        clock: FakeClock,
        name: str,
        *,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.clock = clock
        self.backend = RemoteBackend(
            store,
            cache=FileCache(self.folder / "cache"),
            scratch=self.folder,
            clock=clock,
            sleep=clock.pass_,
            new_id=self._new_id,
            lease_seconds=lease_seconds,
            run_url=f"https://ci.example/{name}",
        )
        self._name = name
        self._count = 0

    def _new_id(self) -> str:
        self._count += 1
        return f"{zlib.crc32(self._name.encode()) & 0xFFFF:04x}{self._count:04x}"

    def lock(self, *, timeout: float = 0.0) -> AbstractContextManager[LockInfo]:
        return self.backend.lock(command="segctl apply", timeout=timeout)

    def take_lock(self) -> LockInfo:
        """Take the lock and keep it."""
        return self._lock.acquire(command="segctl apply", timeout=0)

    def renew(self) -> None:
        """Renew the lock, as the background thread does."""
        self._lock._renew()

    def stop_renewing(self) -> None:
        """End the background thread, as if the process was killed."""
        assert self._lock._renewer
        self._lock._renewer.stop()

    def release_lock(self) -> None:
        """Release the lock."""
        self._lock.release()

    @property
    def root(self) -> RootObject:
        """The root as this machine knows it."""
        return self._lock._root

    @property
    def _lock(self) -> LeaseLock:
        lock = self.backend._lock
        assert isinstance(lock, LeaseLock)
        return lock

    def create_journal(self) -> Journal:
        file = self.folder / "changes"
        file.write_bytes(b"changes")
        return self.backend.journals.create(header=HEADER, delta=file)

    def write(self, data: bytes) -> str:
        """Replace the head as it is now. The lock is held."""
        current = self.backend.read_head()
        expected = current.version if current else None
        return self.backend.replace_head(data, expected=expected).version
