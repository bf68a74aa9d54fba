"""State in a store of bytes, such as a bucket.

    root.json             names head and journal, and says who holds the lock; see ``root.py``
    heads/                the head, named by its version; a run that dies may leave another one
    members/              immutable files, named by the SHA-256 of their bytes
    history/              earlier heads, named by serial and the start of their SHA-256
    history/applies/      the headers of archived journals
    plans/                saved plans, named by their digest; removed after some time
    probe/                an empty object while a run checks that it may write
    journals/             the files of journals, by the id of the apply; see ``remote_journals.py``

The head and everything that it refers to are stored before ``root.json`` names it. The rules of a
state are in ``stored_state.py``.
"""

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from segctl.backends.base import LatestHead, StoredHead
from segctl.backends.byte_store import ByteStore, WriteConflict
from segctl.backends.file_cache import FileCache
from segctl.backends.holders import new_lock_id
from segctl.backends.lease import LeaseLock
from segctl.backends.parts import HISTORY, MEMBERS, PLANS
from segctl.backends.remote_journals import HistoryListing, RemoteJournals, find_orphan
from segctl.backends.root import ROOT, RootObject
from segctl.backends.sealing import NO_SEALING, Sealer, UnsealedFiles
from segctl.backends.stored_state import StoredState, head_version
from segctl.core.clock import Clock
from segctl.core.errors import OperationError, StateDamaged
from segctl.core.scratch import process_scratch
from segctl.manifests.state_place import DEFAULT_LEASE_SECONDS

_HEADS = "heads"
_PROBE = "probe"


class RemoteBackend(StoredState):
    """A state in ``store``; ``backends/base.py`` has the contract.

    ``cache`` keeps files that were read, ``scratch`` is a local folder for files being written.
    ``run_url`` is the address of the CI job. ``sleep`` is called between two attempts to take a
    lock that another run holds.
    """

    def __init__(
        self,
        store: ByteStore,
        *,
        cache: FileCache,
        scratch: Path,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = new_lock_id,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        run_url: str = "",
        sealer: Sealer = NO_SEALING,
    ) -> None:
        root = RootObject(store, clock, lambda: find_orphan(store))
        unsealed = UnsealedFiles(sealer, scratch)
        history = HistoryListing(store)
        files = _RemoteFiles(store, root, history, cache=cache, scratch=scratch, new_id=new_id)
        lock = LeaseLock(
            root,
            clock=clock,
            sleep=sleep,
            before_first=files.check_conditional_writes,
            seconds=lease_seconds,
            run_url=run_url,
            new_id=new_id,
        )
        super().__init__(
            files=files,
            head=_RemoteHead(store, root),
            lock=lock,
            journals=RemoteJournals(
                store,
                root,
                history,
                check_lock=lock.check,
                scratch=scratch,
                sealer=sealer,
                unsealed=unsealed,
            ),
            sealer=sealer,
            unsealed=unsealed,
            head_name=f"{store.name}/{ROOT}",
            folder_name=store.name,
        )


class _RemoteHead:
    """The head that the root names; ``parts.StateHead`` has the contract."""

    def __init__(self, store: ByteStore, root: RootObject) -> None:
        self._store = store
        self._root = root
        self._known: StoredHead | None = None

    def read(self) -> StoredHead | None:
        """Return the head, or ``None``. It is read once as long as the root names the same."""
        while (version := self._root.current().head) is not None:
            if self._known and self._known.version == version:
                return self._known
            key = f"{_HEADS}/{version}.json"
            stored = self._store.read(key)
            if stored is not None and head_version(stored.data) == version:
                self._known = StoredHead(data=stored.data, version=version)
                return self._known
            self._root.refresh()
            if self._root.current().head == version:  # it was not replaced meanwhile
                what = "is missing" if stored is None else "does not match its name"
                raise StateDamaged(
                    f"the head of the state, {self._store.name}/{key}, {what}",
                    hint="Restore this object: from its earlier version in a versioned bucket, or "
                    "from a backup. `segctl state history` lists the earlier heads, and `segctl "
                    "state push --force NAME` restores one.",
                )
        return None

    def read_raw(self) -> StoredHead | None:
        """Return the head, with the bytes that are there if it is damaged, none if it is gone."""
        try:
            return self.read()
        except StateDamaged:
            version = self._root.current().head or ""
            stored = self._store.read(f"{_HEADS}/{version}.json")
            return StoredHead(data=stored.data if stored else b"", version=version)

    def replace(self, data: bytes, *, current: StoredHead | None) -> None:
        """Store the head, then let the root name it; raises ``StateChanged``."""
        version = head_version(data)
        self._store_head(f"{_HEADS}/{version}.json", data)
        self._root.swap(lambda root: root.next(head=version))
        self._known = StoredHead(data=data, version=version)
        if current and current.version != version:
            with suppress(OperationError):  # it is in the history, too
                self._store.delete([f"{_HEADS}/{current.version}.json"])

    def _store_head(self, key: str, data: bytes) -> None:
        """Write the head; what is there of a run that died is replaced if it is damaged."""
        while True:
            with suppress(WriteConflict):
                self._store.write_new(key, data)
                return
            stored = self._store.read(key)
            if stored is not None and stored.data == data:
                return
            if stored is not None:
                with suppress(WriteConflict):
                    self._store.replace(key, data, version=stored.version)
                    return

    def moved_to(self) -> str:
        """Return the address that the state was migrated to, or an empty text."""
        return self._root.current().moved_to

    def record_move(self, address: str) -> None:
        """Record where the state was migrated to."""
        self._root.swap(lambda root: root.next(moved_to=address))

    def latest(self) -> LatestHead | None:
        """Return ``None``: the root itself names the latest head."""
        return None

    def record_latest(self, latest: LatestHead) -> None:
        """Do nothing: the root itself names the latest head."""


class _RemoteFiles:
    """The immutable files in ``store``; ``parts.StateFiles`` has the contract."""

    is_local = False

    def __init__(
        self,
        store: ByteStore,
        root: RootObject,
        history: HistoryListing,
        *,
        cache: FileCache,
        scratch: Path,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._root = root
        self._history = history
        self._cache = cache
        self._scratch = scratch
        self._new_id = new_id

    def create(self) -> None:
        """Do nothing: a bucket exists, or reading it says that it does not."""

    def prepare(self) -> None:
        """Do nothing: nothing that is unfinished has a name that is read."""

    def fetch(self, name: str) -> Path:
        """Return the cached copy of a member file; downloads it if there is none."""
        return self._cache.fetch(name, lambda file: self._store.download(f"{MEMBERS}/{name}", file))

    def name_of(self, digest: str) -> str:
        """Return a name that no other file ever has.

        A run that lost the lock may still be removing an old file of the same content.
        """
        return f"{digest}-{self._new_id()}.parquet"

    def add(self, scratch: Path, name: str) -> None:
        """Upload a finished file, and move it to the cache."""
        self._store.upload(f"{MEMBERS}/{name}", scratch)
        self._cache.keep(name, scratch)
        scratch.unlink(missing_ok=True)

    def member_sizes(self) -> Mapping[str, int]:
        """Return the size of each member file."""
        listed = self._store.list(MEMBERS)
        return {key.removeprefix(f"{MEMBERS}/"): found.size for key, found in listed.items()}

    def refresh(self) -> None:
        """Forget what was read."""
        self._root.refresh()
        self._history.refresh()

    def read_history(self, name: str) -> tuple[bytes, float]:
        """Return an earlier head, and when it was stored: when the next head replaced it."""
        key = f"{HISTORY}/{name}"
        stored = self._store.read(key)
        if stored is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        listed = self._history.listed().get(key)
        return stored.data, listed.modified if listed else 0.0

    def add_history(self, name: str, data: bytes) -> None:
        """Store an earlier head, unless it is there."""
        with suppress(WriteConflict):
            self._store.write_new(f"{HISTORY}/{name}", data)
        self._history.refresh()

    def history_names(self) -> Sequence[str]:
        """Return the names of the earlier heads."""
        keys = (key.removeprefix(f"{HISTORY}/") for key in self._history.listed())
        return [name for name in keys if "/" not in name]

    def remove_history(self, names: Sequence[str]) -> None:
        """Remove earlier heads."""
        self._root.confirm()
        self._store.delete([f"{HISTORY}/{name}" for name in names])
        self._history.refresh()

    def remove_members(self, names: Sequence[str]) -> None:
        """Remove member files."""
        self._root.confirm()
        self._store.delete([f"{MEMBERS}/{name}" for name in names])

    def keep_plan(self, name: str, file: Path) -> None:
        """Upload a saved plan."""
        self._store.upload(f"{PLANS}/{name}", file)

    def fetch_plan(self, name: str, target: Path) -> bool:
        """Download a stored plan to a new file."""
        return self._store.download(f"{PLANS}/{name}", target)

    def plan_names(self) -> Sequence[str]:
        """Return the names of the stored plans."""
        return [key.removeprefix(f"{PLANS}/") for key in self._store.list(PLANS)]

    def remove_plans(self, names: Sequence[str]) -> None:
        """Remove stored plans."""
        self._store.delete([f"{PLANS}/{name}" for name in names])

    def scratch_folder(self) -> Path:
        """Return the folder for files being written, which ends with this process."""
        return process_scratch(self._scratch)

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if objects cannot be written or deleted."""
        del needed_bytes
        key = f"{_PROBE}/write"
        with suppress(WriteConflict):  # of a run that died here
            self._store.write_new(key, b"")
        self._store.delete([key])

    def check_conditional_writes(self) -> None:
        """Raise ``OperationError`` for a store that would overwrite what another run wrote."""
        key = f"{_PROBE}/{self._new_id()}"
        version = self._store.write_new(key, b"1")
        try:
            newer = self._store.replace(key, b"2", version=version)
            is_safe = (
                newer != version
                and not self._overwrites(key, None)
                and not self._overwrites(key, version)
            )
        except WriteConflict:
            is_safe = False
        finally:
            self._store.delete([key])
        if not is_safe:
            raise OperationError(
                f"{self._store.name} does not support conditional writes, so two runs could "
                "overwrite each other's state; no state was created",
                hint="Use a store that honors If-None-Match and If-Match on PUT.",
            )

    def _overwrites(self, key: str, version: str | None) -> bool:
        """Whether the store writes an object although the condition does not hold."""
        try:
            if version is None:
                self._store.write_new(key, b"3")
            else:
                self._store.replace(key, b"4", version=version)
        except WriteConflict:
            return False
        return True
