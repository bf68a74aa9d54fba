"""The journal of a state in a store of bytes, and its archive.

    journals/<id>/header.json, delta.parquet
    journals/<id>/log/00000001      the first lines of the log, and so on; each written once
    history/applies/<serial>-<id>   the header of an archived journal

The journal whose id the root has is the one of the running apply. A part of the log is written
only if there is none with its number, so a run that goes on after another one took over cannot
add to it: the other run wrote a part first (``fence``).
"""

import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from segctl.backends.byte_store import ByteStore, ListedKey, WriteConflict
from segctl.backends.journal import (
    DELTA,
    HEADER,
    OLD_BATCHES,
    ArchivedApply,
    Journal,
    decode_header,
    encode_header,
    seal_log_line,
    select_old_applies,
    with_id,
)
from segctl.backends.journal_lines import RESTORE_JOURNAL, encode_line
from segctl.backends.parts import HISTORY
from segctl.backends.root import STOPPED_HINT, RootObject
from segctl.backends.sealing import NO_SEALING, NOTHING_UNSEALED, Sealer, UnsealedFiles
from segctl.core.codec import DecodeError
from segctl.core.disk import Disk, file_sha256, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateDamaged
from segctl.core.scratch import process_scratch

JOURNALS = "journals"
APPLIES = f"{HISTORY}/applies"

WINDOW = 16
"""How many requests are recorded as sent at a time. See ``JournalFiles.window``."""

_JOURNAL_KEY = re.compile(
    rf"{JOURNALS}/[0-9a-f]+/(?:{HEADER}|{DELTA}|{OLD_BATCHES}|log/[0-9]{{8}})".replace(".", r"\.")
)
"""The keys that segctl writes below ``journals``. Others are not removed."""

_ARCHIVE_NAME = re.compile(r"([0-9]+)-([0-9a-f]+)")
_CONCURRENT_READS = 8


class HistoryListing:
    """The keys of the history, archived journals included; listed once until ``refresh``."""

    def __init__(self, store: ByteStore) -> None:
        self._store = store
        self._keys: Mapping[str, ListedKey] | None = None

    def listed(self) -> Mapping[str, ListedKey]:
        """Return the keys in the history."""
        if self._keys is None:
            self._keys = self._store.list(HISTORY)
        return self._keys

    def refresh(self) -> None:
        """Forget what was listed."""
        self._keys = None

    def archive_names(self) -> list[str]:
        """Return the names of archived journals, oldest first."""
        names = (key.removeprefix(f"{APPLIES}/") for key in self.listed())
        found = filter(_ARCHIVE_NAME.fullmatch, names)
        return sorted(found, key=lambda name: (_serial_of(name), name))


class RemoteJournals:
    """Journals in ``store``; ``journal.Journals`` has the contract.

    ``check_lock`` raises ``StateChanged`` if the lock is lost. ``scratch`` is a local folder for
    copies of their files.
    """

    def __init__(
        self,
        store: ByteStore,
        root: RootObject,
        history: HistoryListing,
        *,
        check_lock: Callable[[], None],
        scratch: Path,
        sealer: Sealer = NO_SEALING,
        unsealed: UnsealedFiles = NOTHING_UNSEALED,
    ) -> None:
        self._store = store
        self._root = root
        self._history = history
        self._check_lock = check_lock
        self._scratch = scratch
        self._sealer = sealer
        self._unsealed = unsealed

    def create(self, *, header: Mapping[str, Any], delta: Path) -> Journal:
        """Create the journal; it is complete before the root names it."""
        header = with_id(header)
        self._check_lock()
        if self._root.current().journal is not None:
            raise StateDamaged(
                "the journal of an earlier apply exists and is not merged into the state yet",
                hint="Run `segctl apply` again: it merges the journal first.",
            )
        journal_id = str(header["id"])
        checksums = {DELTA: self._upload(_key(journal_id, DELTA), delta)}
        self._store.write_new(
            _key(journal_id, HEADER), encode_header(header, checksums, self._sealer)
        )
        self._root.swap(lambda root: root.next(journal=journal_id))
        files = self._files(journal_id, checksums, new={DELTA: delta})
        return Journal(files, header=header, sealer=self._sealer)

    def _upload(self, key: str, file: Path) -> str:
        """Store a file, sealed if files are; return the SHA-256 of what is stored."""
        with translate_os_errors("write the journal"):
            if not self._sealer.key_id:
                self._store.upload(key, file)
                return file_sha256(file)
            sealed = process_scratch(self._scratch) / f"sealed-{key.replace('/', '-')}"
            try:
                self._sealer.seal_file(file, sealed, key.rpartition("/")[2], disk=Disk())
                self._store.upload(key, sealed)
                return file_sha256(sealed)
            finally:
                sealed.unlink(missing_ok=True)

    def open(self, *, fence: bool = False) -> Journal | None:
        """Open the journal that the root names."""
        journal_id = self._root.current().journal
        if journal_id is None:
            return None
        try:
            header, checksums = self._read_header(_key(journal_id, HEADER), self._sealer)
        except DecodeError as error:
            self._root.refresh()
            if self._root.current().journal != journal_id:
                # A plan reads without the lock, and the apply ended during the read.
                return self.open(fence=fence)
            raise StateDamaged(
                f"the journal cannot be read: {error}", hint=RESTORE_JOURNAL
            ) from error
        files = self._files(journal_id, checksums)
        if fence:
            line = encode_line({"type": "fence"}, synced=0)
            files.fence(seal_log_line(self._sealer, journal_id, line))
        return Journal(files, header=header, sealer=self._sealer)

    def _files(
        self,
        journal_id: str,
        checksums: Mapping[str, str],
        *,
        new: Mapping[str, Path] | None = None,
        unsealed: UnsealedFiles | None = None,
    ) -> "_RemoteFiles":
        return _RemoteFiles(
            self._store,
            self._root,
            self._history,
            journal_id,
            checksums,
            check_lock=self._check_lock,
            scratch=self._scratch,
            unsealed=unsealed or self._unsealed,
            new=new,
        )

    def identity(self) -> str | None:
        """Return the id of the journal."""
        return self._root.current().journal

    def remove_leftovers(self) -> None:
        """Do nothing: what no root and no archive names is removed with old archives."""

    def archived(self) -> Iterator[ArchivedApply]:
        """Yield the archived applies, newest first."""
        sealer, unsealed = (
            self._sealer.without_enforcement(),
            self._unsealed.without_enforcement(),
        )
        for name in reversed(self._history.archive_names()):
            try:
                header, checksums = self._read_header(f"{APPLIES}/{name}", sealer)
            except DecodeError as error:
                raise StateDamaged(
                    f"the archived apply {name} cannot be read: {error}",
                    hint=f"Restore {self._store.name}/{APPLIES}/{name} from a backup.",
                ) from error
            files = self._files(_id_of(name), checksums, unsealed=unsealed)
            yield ArchivedApply(header=header, serial=_serial_of(name), files=files, sealer=sealer)

    def copy_archived(self, apply: ArchivedApply) -> None:
        """Add an archived apply of another place; its header is stored last."""
        journal_id = str(apply.header["id"])
        key = f"{APPLIES}/{apply.serial:08d}-{journal_id}"
        if self._store.read(key) is not None:
            return
        self._check_lock()
        checksums = {DELTA: self._upload(_key(journal_id, DELTA), apply.delta)}
        if log := apply.intact_log():
            with suppress(WriteConflict):  # an earlier attempt stored it
                self._store.write_new(_part_key(journal_id, 1), log)
        self._store.write_new(key, encode_header(apply.header, checksums, self._sealer))
        self._history.refresh()

    def last_archived_serial(self) -> int:
        """Return the serial of the newest archived apply, or 0."""
        names = self._history.archive_names()
        return _serial_of(names[-1]) if names else 0

    def _read_header(self, key: str, sealer: Sealer) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        stored = self._store.read(key)
        if stored is None:
            raise DecodeError(f"{key} is missing")
        return decode_header(stored.data, sealer)


class _RemoteFiles:
    """The files of one journal; ``journal.JournalFiles`` has the contract.

    ``new`` are the local files of a journal that this run created.
    """

    window = WINDOW
    is_atomic = True

    def __init__(
        self,
        store: ByteStore,
        root: RootObject,
        history: HistoryListing,
        journal_id: str,
        checksums: Mapping[str, str],
        *,
        check_lock: Callable[[], None],
        scratch: Path,
        unsealed: UnsealedFiles,
        new: Mapping[str, Path] | None,
    ) -> None:
        self._store = store
        self._root = root
        self._history = history
        self._id = journal_id
        self._checksums = checksums
        self._check_lock = check_lock
        self._scratch = scratch
        self._unsealed = unsealed
        self._local = dict(new or {})
        self._mutex = threading.Lock()
        self._unwritten: list[bytes] = []
        self._log = bytearray() if new else None
        self._parts = 0

    def path(self, name: str) -> Path:
        """Return a local copy of the delta, checked against its checksum."""
        if name not in self._local:
            file = process_scratch(self._scratch) / f"{self._id}-{secrets.token_hex(4)}-{name}"
            if not self._store.download(_key(self._id, name), file):
                raise _unreadable(f"{name} is missing")
            if file_sha256(file) != self._checksums.get(name):
                raise _unreadable(f"{name} does not match its checksum")
            self._local[name] = self._unsealed.locate(file, name, name=f"the journal's {name}")
        return self._local[name]

    def check(self) -> None:
        """Raise ``StateChanged`` if the root, as this run knows it, names another journal."""
        if self._root.is_held and self._root.current().journal != self._id:
            raise StateChanged(
                "the journal of this run was removed or replaced while the run was in progress",
                hint=STOPPED_HINT,
            )

    def read_log(self) -> bytes:
        """Return everything that was written to the log, by this run or another."""
        if self._log is not None:
            with self._mutex:
                return bytes(self._log)
        return b"".join(self._read_parts())

    def _read_parts(self) -> list[bytes]:
        """Return the parts of the log. A listing may lack the latest ones, so they are tried."""
        listed = self._store.list(f"{JOURNALS}/{self._id}/log")
        names = (key.rpartition("/")[2] for key in listed if _JOURNAL_KEY.fullmatch(key))
        numbers = set(map(int, names))
        gap = next((n for n in range(1, max(numbers, default=0)) if n not in numbers), None)
        # The listing may lack it, so it is asked for.
        if gap and self._read_part(gap) is None:
            raise _unreadable(f"part {gap} of its log is missing")
        with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
            parts = list(pool.map(self._read_part, range(1, max(numbers, default=0) + 1)))
        while (part := self._read_part(len(parts) + 1)) is not None:
            parts.append(part)
        for number, part in enumerate(parts, start=1):
            if not part:
                what = "is missing" if part is None else "is empty"
                raise _unreadable(f"part {number} of its log {what}")
        return [part for part in parts if part]

    def _read_part(self, number: int) -> bytes | None:
        stored = self._store.read(_part_key(self._id, number))
        return stored.data if stored else None

    def fence(self, line: bytes) -> None:
        """Write a line as the next part of the log, so that no other run can write that part."""
        while True:
            parts = self._read_parts()
            with suppress(WriteConflict):
                self._store.write_new(_part_key(self._id, len(parts) + 1), line)
                self._parts = len(parts) + 1
                self._log = bytearray(b"".join([*parts, line]))
                return

    def open_log(self, size: int) -> None:
        """Go on after the parts that were read."""
        if self._log is None:
            parts = self._read_parts()
            self._parts, self._log = len(parts), bytearray(b"".join(parts))
        del self._log[size:]

    def append_log(self, data: bytes) -> None:
        """Keep lines for the next part."""
        with self._mutex:
            self._unwritten.append(data)
            if self._log is not None:
                self._log += data

    def sync_log(self) -> None:
        """Write the next part of the log."""
        with self._mutex:
            lines, self._unwritten = b"".join(self._unwritten), []
        if not lines:
            return
        self._check_lock()
        key = _part_key(self._id, self._parts + 1)
        try:
            self._store.write_new(key, lines)
        except WriteConflict:
            stored = self._store.read(key)
            if stored is None or stored.data != lines:  # or the store carried it out twice
                raise StateChanged(
                    "this run lost its lock: another run took over its journal", hint=STOPPED_HINT
                ) from None
        self._parts += 1

    def close_log(self) -> None:
        """Do nothing: every part is complete."""

    def remove(self) -> None:
        """Let the root name no journal, then delete its files."""
        self._root.swap(lambda root: root.next(journal=None))
        with suppress(OperationError):  # the next archiving removes them
            self._store.delete(list(self._store.list(f"{JOURNALS}/{self._id}")))

    def archive(self, *, serial: int) -> None:
        """Store the header in the archive, let the root name no journal, remove old journals."""
        header = self._store.read(_key(self._id, HEADER))
        if header is None:
            raise _unreadable(f"{HEADER} is missing")
        with suppress(WriteConflict):  # a run that died here archived it already
            self._store.write_new(f"{APPLIES}/{serial:08d}-{self._id}", header.data)
        self._root.swap(lambda root: root.next(journal=None))
        self._history.refresh()
        with suppress(OperationError):  # the next archiving removes them
            self._remove_old()
        self._history.refresh()

    def _remove_old(self) -> None:
        """Remove archived journals beyond the limits, and all files that no archive needs."""
        names = self._history.archive_names()[::-1]
        sizes = dict.fromkeys(map(_id_of, names), 0)
        listed = self._store.list(JOURNALS)
        for key, found in listed.items():
            if key.rpartition("/")[2] != OLD_BATCHES and _owner(key) in sizes:
                sizes[_owner(key)] += found.size
        old = [names[n] for n in select_old_applies([sizes[_id_of(name)] for name in names])]
        self._root.confirm()
        # The header first, so that no crash leaves an archive without some of its files.
        for name in old:
            self._store.delete([f"{APPLIES}/{name}"])
        # The own id too: a listing may lack the header that was just written.
        kept = (sizes.keys() | {self._id}) - set(map(_id_of, old))
        self._store.delete(
            [
                key
                for key in listed
                if _JOURNAL_KEY.fullmatch(key)
                and (_owner(key) not in kept or key.rpartition("/")[2] in (OLD_BATCHES, HEADER))
            ]
        )


def find_orphan(store: ByteStore) -> str | None:
    """Return the id of a journal that was not archived, the latest if there are several.

    For a store whose root was lost.
    """
    archived = set(map(_id_of, HistoryListing(store).archive_names()))
    headers = [
        (found.modified, _owner(key))
        for key, found in store.list(JOURNALS).items()
        if _JOURNAL_KEY.fullmatch(key)
        and key.endswith(f"/{HEADER}")
        and _owner(key) not in archived
    ]
    return max(headers)[1] if headers else None


def _serial_of(name: str) -> int:
    return int(name.split("-", 1)[0])


def _id_of(name: str) -> str:
    return name.split("-", 1)[1]


def _owner(key: str) -> str:
    """Return the id of the journal that a key belongs to."""
    return key.split("/")[1]


def _key(journal_id: str, name: str) -> str:
    return f"{JOURNALS}/{journal_id}/{name}"


def _part_key(journal_id: str, number: int) -> str:
    return f"{JOURNALS}/{journal_id}/log/{number:08d}"


def _unreadable(problem: str) -> StateDamaged:
    return StateDamaged(f"the journal cannot be read: {problem}", hint=RESTORE_JOURNAL)
