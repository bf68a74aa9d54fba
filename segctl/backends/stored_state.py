"""The rules of a stored state, the same for every place that stores one.

- A file is durable before a head refers to it, and the head is replaced in one step. A crash at
  any moment therefore leaves the old or the new state.
- A head is copied to the history before it is replaced.
- A missing head with a history was lost; it does not mean that nothing was recorded.
- A member file is named by its content, and checked against its name before it is used.
- Earlier heads are removed before the files that only they refer to.

What a place provides is in ``parts.py``: ``local.py`` provides it on a disk, ``remote.py`` over any
store of bytes.
"""

import hashlib
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from segctl.backends.base import EarlierHead, LatestHead, LockInfo, StoredHead
from segctl.backends.journal import Journals
from segctl.backends.parts import HISTORY, MEMBERS, PLANS, StateFiles, StateHead, StateLock
from segctl.backends.sealing import NO_SEALING, NOTHING_UNSEALED, Sealer, UnsealedFiles
from segctl.core.disk import Disk, file_sha256, to_operation_error, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateDamaged, WrongState
from segctl.state.codec import FILE_NAME, is_named, lineage_and_serial
from segctl.state.model import FileRef

_HEAD, _MEMBER_FILE = "head", "member file"
"""What is sealed; see ``sealing.py``."""

_KEPT_PLAN = re.compile(r"[0-9a-f]{64}-([0-9]{10,})\.segplan")
"""The name of a saved plan: its digest, and until when it is kept, in seconds since 1970."""

_EARLIER_HEAD = re.compile(r"[0-9]{8,}-[0-9a-f]{8}\.json")


class StoredState:
    """A state in some place; ``base.Backend`` has the contract.

    ``head_name`` and ``folder_name`` are how messages name the head and where the files are.
    """

    def __init__(
        self,
        *,
        files: StateFiles,
        head: StateHead,
        lock: StateLock,
        journals: Journals,
        head_name: str,
        folder_name: str,
        sealer: Sealer = NO_SEALING,
        unsealed: UnsealedFiles = NOTHING_UNSEALED,
    ) -> None:
        self._files = files
        self._head = head
        self._lock = lock
        self._journals = journals
        self._head_name, self._folder_name = head_name, folder_name
        self._restore = f"Restore {folder_name} from a backup of the state."
        self._sealer = sealer
        self._unsealed = unsealed
        self._verified: set[str] = set()
        self._readable: dict[str, Path] = {}
        self._accepts_moved = False

    @property
    def journals(self) -> Journals:
        """The journal of the running apply, and the archive of earlier ones."""
        return self._journals

    def refresh(self) -> None:
        """Read the state again from now on."""
        self._files.refresh()

    def read_head(self) -> StoredHead | None:
        """Return the head, or ``None``; raises ``StateDamaged`` if the head was lost."""
        stored = self._read_stored_head()
        if stored is None:
            self._check_no_history()
            return None
        return replace(stored, data=self._unseal_head(stored.data))

    def read_raw_head(self) -> StoredHead | None:
        """Return the head, or ``None`` if there is none, even if there is a history.

        Raises ``WrongState`` if the state was migrated.
        """
        stored = self._read_stored_head(is_raw=True)
        if stored is None:
            return None
        with suppress(StateDamaged):  # it is returned as it is, to be replaced
            return replace(stored, data=self._unseal_head(stored.data))
        return stored

    def accept_moved(self) -> None:
        """Use the state although it was moved: it is coming back, or a move is being finished."""
        self._accepts_moved = True

    def _read_stored_head(self, *, is_raw: bool = False) -> StoredHead | None:
        """Return the head as it is stored, perhaps encrypted."""
        if not self._accepts_moved and (address := self._head.moved_to()):
            raise WrongState(
                f"the state that was here ({self._head_name}) was moved to {address}",
                hint="Correct spec.state in segctl.yaml, or bring the checkout up to date. If "
                "`segctl state migrate` was interrupted, run it again with the old settings.",
            )
        return self._head.read_raw() if is_raw else self._head.read()

    def _unseal_head(self, stored: bytes) -> bytes:
        return self._sealer.unseal(stored, _HEAD, name="the state")

    def moved_to(self) -> str:
        """Return the address that the state was migrated to, or an empty text."""
        return self._head.moved_to()

    def record_move(self, address: str) -> None:
        """Record where the state was migrated to; an empty text means that it is here again."""
        with self._lock.guarded():
            self._head.record_move(address)

    def replace_head(
        self, data: bytes, *, expected: str | None, damaged: bool = False
    ) -> StoredHead:
        """Replace the head of version ``expected``; raises ``StateChanged``, ``OperationError``.

        After an error, the old or the new head is there, complete.
        """
        with self._lock.guarded(), translate_os_errors(f"write {self._head_name}"):
            current = self._read_stored_head(is_raw=True)
            if (current.version if current else None) != expected:
                raise StateChanged(
                    f"another run replaced {self._head_name} while this run was in progress",
                    hint="Nothing was overwritten. Run the same command again.",
                )
            if current:
                self._copy_to_history(current, damaged=damaged)
            stored = self._sealer.seal(data, _HEAD)
            self._head.replace(stored, current=current)
        return StoredHead(data=data, version=head_version(stored))

    def latest(self) -> LatestHead | None:
        """Return the latest head that is known, from its record and the history."""
        known = self._head.latest()
        history = [_serial_of(name) for name in self.list_history()[-1:]]
        serial = max([self._journals.last_archived_serial(), *history])
        if known and known.serial >= serial:
            return known
        return LatestHead(lineage=known.lineage if known else "", serial=serial) if serial else None

    def record_latest(self, latest: LatestHead) -> None:
        """Record which head is the latest, after it was written."""
        with self._lock.guarded():
            self._head.record_latest(latest)

    def file_path(self, ref: FileRef) -> Path:
        """Return the path of an immutable file that can be read; raises ``StateDamaged``."""
        path = self.stored_path(ref)
        if ref.name not in self._readable:
            shown = f"{self._folder_name}/{MEMBERS}/{ref.name}"
            self._readable[ref.name] = self._unsealed.locate(path, _MEMBER_FILE, name=shown)
        return self._readable[ref.name]

    def stored_path(self, ref: FileRef) -> Path:
        """Return the path of an immutable file as it is stored; raises ``StateDamaged``."""
        if not FILE_NAME.fullmatch(ref.name):
            raise StateDamaged("the state refers to a member file with an invalid name")
        path = self._files.fetch(ref.name)
        shown = f"{self._folder_name}/{MEMBERS}/{ref.name}"
        self._check_status(path, ref, shown)
        self._check_content(path, ref, shown)
        return path

    def check_present(self, ref: FileRef) -> None:
        """Raise ``StateDamaged`` for a file that is missing or cut off, if that costs no request.

        Its content is checked when it is read.
        """
        if self._files.is_local and FILE_NAME.fullmatch(ref.name):
            path = self._files.fetch(ref.name)
            self._check_status(path, ref, f"{self._folder_name}/{MEMBERS}/{ref.name}")

    def _check_status(self, path: Path, ref: FileRef, shown: str) -> None:
        """Raise ``StateDamaged`` unless this is a file of the right size."""
        try:
            status = path.lstat()
        except FileNotFoundError as error:
            raise StateDamaged(f"{shown} is missing", hint=self._restore) from error
        except OSError as error:
            raise to_operation_error(error, f"read {shown}") from error
        if not stat.S_ISREG(status.st_mode):
            raise StateDamaged(f"{shown} is not a regular file", hint=self._restore)
        if status.st_size != ref.bytes:
            raise StateDamaged(
                f"{shown} has {status.st_size:,} bytes instead of {ref.bytes:,}", hint=self._restore
            )

    def key_id(self) -> str:
        """Return the id of the key that files are encrypted with, or an empty text."""
        return self._sealer.key_id

    def add_file(self, scratch: Path, *, rows: int) -> FileRef:
        """Move a finished file into the state, durably; raises ``OperationError``."""
        self._lock.check()
        with translate_os_errors(f"add a file to {self._folder_name}/{MEMBERS}"):
            if not self._sealer.key_id:
                return self._add(scratch, rows)
            ref = self._add_sealed(scratch, rows)
            scratch.unlink()
            return ref

    def add_again(self, ref: FileRef) -> FileRef:
        """Add a file of the state once more, encrypted with the current key."""
        self._lock.check()
        readable = self.file_path(ref)
        with translate_os_errors(f"add a file to {self._folder_name}/{MEMBERS}"):
            return self._add_sealed(readable, ref.rows)

    def _add(self, scratch: Path, rows: int) -> FileRef:
        size = scratch.stat().st_size
        name = self._files.name_of(file_sha256(scratch))
        self._files.add(scratch, name)
        return FileRef(name=name, rows=rows, bytes=size)

    def _add_sealed(self, readable: Path, rows: int) -> FileRef:
        sealed = self._files.scratch_folder() / f"sealed-{secrets.token_hex(8)}"
        try:
            self._sealer.seal_file(readable, sealed, _MEMBER_FILE, disk=Disk())
            return self._add(sealed, rows)
        finally:
            sealed.unlink(missing_ok=True)

    def copy_file(self, file: Path, name: str) -> None:
        """Add a copy of a member file of another place, under the same name."""
        self._lock.check()
        copy = self._files.scratch_folder() / f"copy-{secrets.token_hex(8)}"
        with translate_os_errors(f"add a file to {self._folder_name}/{MEMBERS}"):
            try:
                Disk().copy_new(file, copy)
                self._files.add(copy, name)
            finally:
                copy.unlink(missing_ok=True)

    def copy_earlier_head(self, head: EarlierHead) -> None:
        """Add an earlier head of another place, under the same name."""
        if head.stored:
            with (
                self._lock.guarded(),
                translate_os_errors(f"write to {self._folder_name}/{HISTORY}"),
            ):
                self._files.add_history(head.name, head.stored)

    def file_sizes(self) -> Mapping[str, int]:
        """Return the size of each immutable file by name, sorted; ignores other files."""
        sizes = self._files.member_sizes()
        return {name: sizes[name] for name in sorted(filter(FILE_NAME.fullmatch, sizes))}

    def list_history(self) -> Sequence[str]:
        """Return the names of the earlier heads, oldest first; raises ``OperationError``."""
        names = filter(_EARLIER_HEAD.fullmatch, self._files.history_names())
        return sorted(names, key=lambda name: (_serial_of(name), name))

    def read_earlier_head(self, name: str) -> EarlierHead:
        """Return an earlier head, checked against the SHA-256 in its name."""
        serial = _serial_of(name)
        try:
            data, until = self._files.read_history(name)
        except OSError as error:
            return EarlierHead(name=name, serial=serial, problem=error.strerror or str(error))
        if name != _earlier_head_name(serial, head_version(data)):
            return EarlierHead(
                name=name, serial=serial, problem="its content does not match its name"
            )
        try:
            head = self._sealer.without_enforcement().unseal(data, _HEAD, name=name)
        except OperationError as error:
            return EarlierHead(name=name, serial=serial, stored=data, problem=error.message)
        return EarlierHead(name=name, serial=serial, data=head, stored=data, until=until)

    def keep_plan(self, digest: str, file: Path, *, until: float) -> None:
        """Keep a copy of a saved plan under its digest; needs no lock."""
        self._files.create()
        with translate_os_errors(f"write to {self._folder_name}/{PLANS}"):
            self._files.keep_plan(f"{_hexadecimal(digest)}-{int(until):010}.segplan", file)

    def fetch_plan(self, digest: str, target: Path) -> bool:
        """Write the plan that is kept under ``digest`` to a new file."""
        with translate_os_errors(f"read from {self._folder_name}/{PLANS}"):
            names = (name for name in self._files.plan_names() if _KEPT_PLAN.fullmatch(name))
            kept = sorted(name for name in names if name.startswith(_hexadecimal(digest)))
            return bool(kept) and self._files.fetch_plan(kept[-1], target)

    def old_plans(self, *, now: float) -> Sequence[str]:
        """Return the names of the plans that are kept longer than they should be."""
        with translate_os_errors(f"list {self._folder_name}/{PLANS}"):
            found = [_KEPT_PLAN.search(name) for name in self._files.plan_names()]
            return sorted(match.string for match in found if match and float(match[1]) < now)

    def remove_plans(self, names: Sequence[str]) -> None:
        """Remove plans that were kept."""
        with translate_os_errors(f"remove old plans from {self._folder_name}"):
            self._files.remove_plans(names)

    def remove_garbage(self, *, heads: Sequence[str], files: Sequence[str]) -> None:
        """Remove earlier heads, then files that no other head refers to."""
        with translate_os_errors(f"remove old files from {self._folder_name}"):
            if heads:
                self._files.remove_history(heads)
            if files:
                self._files.remove_members(files)

    def scratch_folder(self) -> Path:
        """Return the folder for files being written; creates it if it is missing."""
        return self._files.scratch_folder()

    @contextmanager
    def lock(self, *, command: str, timeout: float = 0.0) -> Iterator[LockInfo]:
        """Hold the lock; waits at most ``timeout`` seconds, then raises ``StateLocked``."""
        self._files.create()
        info = self._lock.acquire(command=command, timeout=timeout)
        try:
            self._files.prepare()
            yield info
        finally:
            self._lock.release()

    def record_plan(self, plan: str) -> None:
        """Record in the lock which saved plan is about to be applied."""
        with translate_os_errors(f"write to {self._folder_name}"):
            self._lock.record_plan(plan)

    def abandoned_lock(self) -> LockInfo | None:
        """Return the previous holder of the lock if it died without releasing the lock."""
        return self._lock.abandoned

    def lock_holder(self) -> LockInfo | None:
        """Return the current holder of the lock, or ``None``."""
        return self._lock.holder()

    def living_holder(self) -> LockInfo | None:
        """Return the holder of the lock if it lives; waits until that is known."""
        return self._lock.living_holder()

    def check_lock(self) -> None:
        """Raise ``StateChanged`` if the lock was broken after this run took it."""
        self._lock.check()

    def max_request_seconds(self) -> float:
        """Return how long a request to the service may take while the lock is held."""
        return self._lock.max_request_seconds

    def force_unlock(self, lock_id: str) -> None:
        """Break the lock with this id; raises ``WrongUsage`` if there is no such lock.

        If the holder is still alive, it notices before it replaces the head, and at the next
        write to its journal.
        """
        self._lock.force(lock_id)
        with suppress(OperationError):  # the lock is broken all the same
            self.refresh()
            # Otherwise another run has taken the lock by now, and fenced the journal itself.
            if self._lock.holder() is None:
                self._journals.open(fence=True)

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if the state cannot be written."""
        self._files.check_writable(needed_bytes=needed_bytes)

    def _check_no_history(self) -> None:
        """Raise ``StateDamaged`` if earlier heads or applies show that the head was lost."""
        earlier = self.list_history()
        applied = self._journals.last_archived_serial()
        if earlier:
            count = f"{len(earlier)} earlier state{'' if len(earlier) == 1 else 's'}"
            found = f"{count}, the latest is {earlier[-1]}"
        elif applied:
            found = "the journal of an earlier apply"
        else:
            return
        raise StateDamaged(
            f"{self._head_name} is missing, but {self._folder_name}/{HISTORY} contains {found}",
            hint="Restore it from a backup, or an earlier head: `segctl state history` lists them, "
            "and `segctl state push --force NAME` restores one. To start "
            f"over, move {self._folder_name} away as well; every member is then added again.",
        )

    def _check_content(self, path: Path, ref: FileRef, shown: str) -> None:
        """Raise ``StateDamaged`` for a file whose content does not match its name.

        Its content would be compared with the desired members, and the difference sent.
        """
        if ref.name in self._verified:
            return
        with translate_os_errors(f"read {shown}"):
            digest = file_sha256(path)
        if not is_named(ref.name, digest):
            raise StateDamaged(
                f"{shown} is damaged: its content does not match its name", hint=self._restore
            )
        self._verified.add(ref.name)

    def _copy_to_history(self, head: StoredHead, *, damaged: bool) -> None:
        """Copy the head that is about to be replaced to the history."""
        serial = None
        with suppress(OperationError):
            _, serial = lineage_and_serial(self._unseal_head(head.data))
        if damaged or serial is None:
            # Not listed as an earlier head, and so never read again: only evidence.
            name = f"damaged-{head.version[:8]}.json"
        else:
            name = _earlier_head_name(serial, head.version)
        self._files.add_history(name, head.data)


def head_version(data: bytes) -> str:
    """Return the version of a head: the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()


def _earlier_head_name(serial: int, digest: str) -> str:
    """Return the file name of an earlier head: its serial and the start of its SHA-256."""
    return f"{serial:08d}-{digest[:8]}.json"


def _hexadecimal(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _serial_of(name: str) -> int:
    return int(name.split("-", 1)[0])
