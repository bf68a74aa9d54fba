"""The journal of a local state, and its archive: one folder for each apply.

    current/          the journal of the running apply, or of an interrupted one
    new-…, done-…     journals that a run was creating or removing when it died
    <serial>-<id>/    in the archive: a journal, with the serial of the state that includes it

The folder ``current`` appears complete, by one rename, and is archived by one rename. A line of
the log is one write.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segctl.backends.journal import (
    DELTA,
    HEADER,
    OLD_BATCHES,
    ArchivedApply,
    Journal,
    decode_header,
    encode_header,
    select_old_applies,
    with_id,
)
from segctl.backends.journal_lines import LOG, RESTORE_JOURNAL
from segctl.backends.sealing import NO_SEALING, NOTHING_UNSEALED, Sealer, UnsealedFiles
from segctl.core.codec import DecodeError
from segctl.core.disk import Disk, file_sha256, read_file, translate_os_errors
from segctl.core.errors import StateChanged, StateDamaged

_CURRENT, _NEW_PREFIX, _DONE_PREFIX = "current", "new-", "done-"
_ARCHIVE_NAME = re.compile(r"([0-9]+)-[0-9a-f]+")


class LocalJournals:
    """Journals in ``folder``, archived in ``archive``; ``journal.Journals`` has the contract.

    Neither folder must exist. The parent of ``archive`` must, on the same file system.
    """

    def __init__(
        self,
        folder: Path,
        archive: Path,
        *,
        disk: Disk | None = None,
        sealer: Sealer = NO_SEALING,
        unsealed: UnsealedFiles = NOTHING_UNSEALED,
    ) -> None:
        self._folder = folder
        self._archive = archive
        self._disk = disk or Disk()
        self._sealer = sealer
        self._unsealed = unsealed

    def create(self, *, header: Mapping[str, Any], delta: Path) -> Journal:
        """Create the journal; it is durable and complete when this returns."""
        disk, folder, header = self._disk, self._folder, with_id(header)
        if os.path.lexists(folder / _CURRENT):
            raise StateDamaged(
                "the journal of an earlier apply exists and is not merged into the state yet",
                hint="Run `segctl apply` again: it merges the journal first.",
            )
        with translate_os_errors("write the journal"):
            disk.ensure_folder(folder)
            _remove_unfinished(disk, folder)
            staged = folder / f"{_NEW_PREFIX}{header['id']}"
            disk.make_folder(staged)
            checksums = {DELTA: self._seal(delta, staged / DELTA)}
            disk.write_new(staged / LOG, b"")
            disk.write_new(staged / HEADER, encode_header(header, checksums, self._sealer))
            # The entries of the folder are flushed before its name, so ``current`` is always
            # complete.
            disk.sync_folder(staged)
            disk.move(staged, folder / _CURRENT)
        return self._journal(header)

    def _seal(self, source: Path, target: Path) -> str:
        """Store a sealed copy of a file; return its SHA-256."""
        if not self._sealer.key_id:
            return self._disk.copy_new(source, target)
        self._sealer.seal_file(source, target, target.name, disk=self._disk)
        return file_sha256(target)

    def open(self, *, fence: bool = False) -> Journal | None:
        """Open the journal. ``fence`` does nothing: writing needs the lock at that moment."""
        current = self._folder / _CURRENT
        identity = _folder_identity(current)
        if identity is None:
            return None
        try:
            header = _read_header(current, self._sealer)
        except (DecodeError, OSError) as error:
            if _folder_identity(current) != identity:
                # A plan reads without the lock, and the apply ended during the read.
                return self.open(fence=fence)
            raise StateDamaged(
                f"the journal cannot be read: {_problem(error)}", hint=RESTORE_JOURNAL
            ) from error
        return self._journal(header)

    def _journal(self, header: Mapping[str, Any]) -> Journal:
        files = _CurrentFiles(
            self._folder, self._archive, str(header["id"]), self._unsealed, self._disk
        )
        return Journal(files, header=header, sealer=self._sealer)

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode: another journal that gets the same name differs in them."""
        return _folder_identity(self._folder / _CURRENT)

    def remove_leftovers(self) -> None:
        """Remove what a crash left of journals being created or removed; needs the lock."""
        if self._folder.is_dir():
            with translate_os_errors("remove old files of the journal"):
                _remove_unfinished(self._disk, self._folder)

    def archived(self) -> Iterator[ArchivedApply]:
        """Yield the archived applies, newest first, each checked before it is yielded."""
        sealer = self._sealer.without_enforcement()
        unsealed = self._unsealed.without_enforcement()
        for archive in reversed(_list_archives(self._archive)):
            try:
                header = _read_header(archive, sealer)
            except (DecodeError, OSError) as error:
                raise StateDamaged(
                    f"the archived apply {archive.name} cannot be read: {_problem(error)}",
                    hint="Restore its folder from a backup of segctl.state.d/history/applies.",
                ) from error
            yield ArchivedApply(
                header=header,
                serial=_archive_serial(archive),
                files=_ArchivedFiles(archive, unsealed),
                sealer=sealer,
            )

    def copy_archived(self, apply: ArchivedApply) -> None:
        """Add an archived apply of another place, by one rename."""
        disk, name = self._disk, f"{apply.serial:08d}-{apply.header['id']}"
        if (self._archive / name).exists():
            return
        with translate_os_errors("archive the journal"):
            disk.ensure_folder(self._archive)
            staged = self._archive / f"{_NEW_PREFIX}{name}"
            if staged.exists():
                disk.remove_tree(staged)
            disk.make_folder(staged)
            checksums = {DELTA: self._seal(apply.delta, staged / DELTA)}
            disk.write_new(staged / LOG, apply.intact_log())
            disk.write_new(staged / HEADER, encode_header(apply.header, checksums, self._sealer))
            disk.sync_folder(staged)
            disk.move(staged, self._archive / name)

    def last_archived_serial(self) -> int:
        """Return the serial of the newest archived apply, or 0."""
        archives = _list_archives(self._archive)
        return _archive_serial(archives[-1]) if archives else 0


class _ArchivedFiles:
    """The files of the journal in ``folder``; ``journal.StoredJournal`` has the contract."""

    is_atomic = False

    def __init__(self, folder: Path, unsealed: UnsealedFiles) -> None:
        self._journal = folder
        self._unsealed = unsealed
        self._paths: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """Return the path of the delta, or of a copy that can be read."""
        if name not in self._paths:
            file = self._journal / name
            self._paths[name] = file
            if file.exists():
                with translate_os_errors("read the journal"):
                    self._paths[name] = self._unsealed.locate(
                        file, name, name=f"the journal's {name}"
                    )
        return self._paths[name]

    def read_log(self) -> bytes:
        """Return the content of the log."""
        with translate_os_errors("read the journal"):
            return read_file(self._journal / LOG)


class _CurrentFiles(_ArchivedFiles):
    """The files of the journal ``current``; ``journal.JournalFiles`` has the contract."""

    window = 1

    def __init__(
        self,
        folder: Path,
        archive: Path,
        journal_id: str,
        unsealed: UnsealedFiles,
        disk: Disk,
    ) -> None:
        super().__init__(folder / _CURRENT, unsealed)
        self._folder = folder
        self._archive = archive
        self._id = journal_id
        self._disk = disk
        self._descriptor = -1
        self._identity = _folder_identity(folder / _CURRENT)

    def check(self) -> None:
        """Raise ``StateChanged`` if ``current`` is no longer this journal.

        This happens only if the lock was broken: another run merged this journal and may have
        created its own.
        """
        if _folder_identity(self._journal) != self._identity:
            raise StateChanged(
                "the journal of this run was removed or replaced while the run was in progress",
                hint="Make sure that no other run is in progress, then run the same command again.",
            )

    def open_log(self, size: int) -> None:
        """Open the log for appending; cut off what is beyond ``size``."""
        self._descriptor = self._disk.append(self._journal / LOG)
        if os.fstat(self._descriptor).st_size > size:
            self._disk.truncate(self._descriptor, size)

    def append_log(self, data: bytes) -> None:
        """Append with one system call."""
        self._disk.write_all(self._descriptor, data)

    def sync_log(self) -> None:
        """Flush the log to the disk."""
        self._disk.sync(self._descriptor)

    def close_log(self) -> None:
        """Close the log."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the journal by one rename. A crash after that leaves files for the next run."""
        with translate_os_errors("remove the journal"):
            self._disk.move(self._journal, self._folder / f"{_DONE_PREFIX}{self._id}")
            _remove_unfinished(self._disk, self._folder)

    def archive(self, *, serial: int) -> None:
        """Move the journal to the archive by one rename, then remove old archives."""
        with translate_os_errors("archive the journal"):
            self._disk.ensure_folder(self._archive)
            self._disk.move(self._journal, self._archive / f"{serial:08d}-{self._id}")
            self._disk.sync_folder(self._folder)
            _remove_unfinished(self._disk, self._folder)
            _remove_old_applies(self._disk, self._archive)


def _list_archives(folder: Path) -> list[Path]:
    """Return the folders of archived applies, oldest first."""
    with translate_os_errors("list segctl.state.d/history/applies"):
        found = list(folder.iterdir()) if folder.is_dir() else []
    archives = [path for path in found if _ARCHIVE_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(archives, key=lambda path: (_archive_serial(path), path.name))


def _archive_serial(archive: Path) -> int:
    return int(archive.name.split("-", 1)[0])


def _remove_old_applies(disk: Disk, folder: Path) -> None:
    """Remove archived applies beyond the limits, and a file of older formats."""
    _remove_unfinished(disk, folder)
    archives = _list_archives(folder)[::-1]
    for archive in archives:
        if (archive / OLD_BATCHES).exists():
            disk.unlink(archive / OLD_BATCHES)
    sizes = [sum(file.stat().st_size for file in archive.iterdir()) for archive in archives]
    for position in select_old_applies(sizes):
        # Renamed before it is removed: a crash must not leave an archive without some files.
        archive = archives[position]
        disk.move(archive, folder / f"{_DONE_PREFIX}{archive.name}")
    _remove_unfinished(disk, folder)


def _read_header(folder: Path, sealer: Sealer) -> Mapping[str, Any]:
    """Return the header; raises ``DecodeError`` unless the delta matches its checksum."""
    header, checksums = decode_header(read_file(folder / HEADER), sealer)
    if file_sha256(folder / DELTA) != checksums.get(DELTA):
        raise DecodeError(f"{DELTA} does not match its checksum")
    if not (folder / LOG).is_file():
        raise DecodeError(f"{LOG} is missing")
    return header


def _folder_identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode: another folder that gets the same name later differs in them."""
    with translate_os_errors("read the journal"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
    return status.st_dev, status.st_ino


def _problem(error: DecodeError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{Path(str(error.filename or HEADER)).name}: {error.strerror}"
    return str(error)


def _remove_unfinished(disk: Disk, folder: Path) -> None:
    """Remove what a crash left of journals being created or removed; not the current one."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((_NEW_PREFIX, _DONE_PREFIX)):
            disk.remove_tree(path)
