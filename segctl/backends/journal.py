"""The journal: the append-only record of one apply, from which the apply can be finished.

    current/header.json       the apply: its id, the state it starts from, its plan
    current/delta.parquet     the membership changes of the plan
    current/batches.parquet   which change is in which request
    current/log.jsonl         what happened, one JSON object per line

When an apply was merged into the state, its journal is archived without the batches. It is kept
for a while as evidence of what was sent, since the Error Stream reports refusals much later.

    <serial>-<id>/            an archived journal, with the serial of the state that includes it

The folder ``current`` appears complete, by one rename, before the first request is sent. A line
of the log is one write. A crash can damage only lines that were not synced. Each line has a
checksum (``crc``), which detects the damage, and the number of lines before it that were synced
(``synced``), which says whether the damage can be due to a crash. Reading writes nothing, so a
plan can do it without the lock.
"""

import json
import os
import re
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from segctl.core.codec import DecodeError, dump_json, load_json
from segctl.core.disk import Disk, file_sha256, read_file, to_operation_error, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateDamaged
from segctl.core.outcomes import Record, is_record

VERSION = 1
_CURRENT, _NEW_PREFIX, _DONE_PREFIX = "current", "new-", "done-"
_HEADER, _DELTA, _BATCHES, _LOG = "header.json", "delta.parquet", "batches.parquet", "log.jsonl"
KEPT_APPLIES = 20
"""How many archived applies are kept."""

KEPT_BYTES = 1 << 30
"""How many bytes they may take in total. The newest one is kept even if it takes more."""

_SYNCED = "synced"
HEADER_FIELDS: Mapping[str, tuple[type, ...]] = {
    "lineage": (str,),
    "serial": (int,),
    "account": (str, type(None)),
    "host": (str,),
    "at": (int, float),
    "plan": (dict,),
}
"""The fields of an apply's header, with the types of their values in JSON."""

_ARCHIVE_NAME = re.compile(r"([0-9]+)-[0-9a-f]+")
RESTORE_JOURNAL = (
    "Restore the journal's folder from a backup. Do not delete it: it records which requests were "
    "sent and are not in the state yet."
)


class Journal:
    """The journal of one apply. Writing needs the lock of the state."""

    def __init__(self, folder: Path, *, header: Mapping[str, Any], disk: Disk) -> None:
        self._folder = folder
        self._header = MappingProxyType(dict(header))
        self._disk = disk
        self._descriptor: int | None = None
        self._broken: OperationError | None = None
        self._written = self._synced = 0  # lines
        self._syncing = threading.Lock()
        self._identity = _folder_identity(folder / _CURRENT)

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        header: Mapping[str, Any],
        delta: Path,
        batches: Path,
        disk: Disk | None = None,
    ) -> Self:
        """Create a journal in ``folder``; it is durable and complete when this returns.

        ``header`` is a JSON object; an ``id`` is added if it has none. The files ``delta`` and
        ``batches`` are copied. Raises ``StateDamaged`` if there is a journal already,
        ``OperationError`` if it cannot be written.
        """
        disk = disk or Disk()
        header = {"id": uuid.uuid4().hex, **header}
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
            files = {
                name: disk.copy_new(source, staged / name)
                for name, source in ((_DELTA, delta), (_BATCHES, batches))
            }
            disk.write_new(staged / _LOG, b"")
            disk.write_new(
                staged / _HEADER, dump_json({"version": VERSION, "files": files, "header": header})
            )
            # The entries of the folder are flushed before its name, so ``current`` is always
            # complete.
            disk.sync_folder(staged)
            disk.move(staged, folder / _CURRENT)
        return cls(folder, header=header, disk=disk)

    @classmethod
    def open(cls, folder: Path, *, disk: Disk | None = None) -> Self | None:
        """Open the journal in ``folder``; return ``None`` if there is none. Writes nothing.

        Raises ``StateDamaged`` if a file is missing or does not match its checksum.
        """
        current = folder / _CURRENT
        identity = _folder_identity(current)
        if identity is None:
            return None
        try:
            header = _check_header(
                load_json(read_file(current / _HEADER)), current, (_DELTA, _BATCHES)
            )
        except (DecodeError, OSError) as error:
            if _folder_identity(current) != identity:
                # A plan reads without the lock, and the apply ended during the read.
                return cls.open(folder, disk=disk)
            raise StateDamaged(
                f"the journal cannot be read: {_problem(error)}", hint=RESTORE_JOURNAL
            ) from error
        return cls(folder, header=header, disk=disk or Disk())

    @property
    def id(self) -> str:
        """The unique id of the apply."""
        return str(self._header["id"])

    @property
    def header(self) -> Mapping[str, Any]:
        """The header that was given to ``create``, with the id."""
        return self._header

    @property
    def delta(self) -> Path:
        """The path of the membership changes."""
        return self._folder / _CURRENT / _DELTA

    @property
    def batches(self) -> Path:
        """The path of the batches."""
        return self._folder / _CURRENT / _BATCHES

    def records(self) -> Iterator[Record]:
        """Yield the records in order; writes nothing.

        A crash can damage lines that were not synced: the last one incomplete, others empty. They
        are skipped, because the run that wrote them did not rely on them yet. Any other damaged
        line raises ``StateDamaged``.
        """
        self._check_identity()
        for record, _ in _read_lines(self._folder / _CURRENT / _LOG):
            yield record

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record. If ``durable``, it is on the disk when this returns.

        Raises ``OperationError`` if it cannot be written. Every later call then raises the same
        error: after a failed sync, the system may have discarded data that it did not write.
        """
        self.append_many([record], durable=durable)

    def append_many(self, records: Iterable[Record], *, durable: bool) -> None:
        """Write several records with one system call; see ``append``."""
        if self._broken:
            raise self._broken
        try:
            if self._descriptor is None:
                self._descriptor = self._open_log()
            lines = [_encode_line(record, synced=self._synced) for record in records]
            self._disk.write_all(self._descriptor, b"".join(lines))
            self._written += len(lines)
        except OSError as error:
            self._broken = to_operation_error(error, "write the journal")
            raise self._broken from error
        if durable:
            self.sync()

    def sync(self) -> None:
        """Flush every record written so far to disk; raises ``OperationError`` as ``append`` does.

        Several threads may call this while another one appends. Threads that wait here share the
        next flush.
        """
        wanted = self._written
        # One flush at a time: the system reports an error of the disk to only one of two
        # concurrent calls, and the other one would take its records for durable.
        with self._syncing:
            if self._broken:
                raise self._broken
            if self._synced >= wanted or self._descriptor is None:
                return
            written = self._written
            try:
                self._disk.sync(self._descriptor)
            except OSError as error:
                self._broken = to_operation_error(error, "write the journal")
                raise self._broken from error
            self._synced = written

    def close(self) -> None:
        """Close the log; the journal stays."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove a journal that needs no merging; raises ``OperationError``.

        One durable rename ends it. A crash after that leaves files that the next run removes.
        """
        self.close()
        self._check_identity()
        with translate_os_errors("remove the journal"):
            self._disk.move(self._folder / _CURRENT, self._folder / f"{_DONE_PREFIX}{self.id}")
            _remove_unfinished(self._disk, self._folder)

    def archive(self, into: Path, *, serial: int) -> None:
        """Move a journal that was merged into the state to ``into``; raises ``OperationError``.

        ``serial`` is the serial of the state that includes it. The parent of ``into`` must exist
        and be on the file system of the journal.
        """
        self.close()
        self._check_identity()
        with translate_os_errors("archive the journal"):
            self._disk.ensure_folder(into)
            self._disk.move(self._folder / _CURRENT, into / f"{serial:08d}-{self.id}")
            self._disk.sync_folder(self._folder)
            _remove_unfinished(self._disk, self._folder)
            _remove_old_applies(self._disk, into)

    def _check_identity(self) -> None:
        """Raise ``StateChanged`` if ``current`` is no longer this journal.

        This happens only if the lock was broken: another run merged this journal and may have
        created its own.
        """
        if _folder_identity(self._folder / _CURRENT) != self._identity:
            raise StateChanged(
                "the journal of this run was removed or replaced while the run was in progress",
                hint="Make sure that no other run is in progress, then run the same command again.",
            )

    def _open_log(self) -> int:
        """Open the log for appending; first cut off an incomplete last line."""
        self._check_identity()
        path = self._folder / _CURRENT / _LOG
        end_of_last_line = max((end for _, end in _read_lines(path)), default=0)
        descriptor = self._disk.append(path)
        if os.fstat(descriptor).st_size > end_of_last_line:
            self._disk.truncate(descriptor, end_of_last_line)
        self._written = read_file(path).count(b"\n")
        return descriptor


@dataclass(frozen=True, kw_only=True)
class ArchivedApply:
    """The archived journal of an apply that was merged into the state."""

    folder: Path
    header: Mapping[str, Any]

    @property
    def delta(self) -> Path:
        """The path of the membership changes."""
        return self.folder / _DELTA

    def records(self) -> Iterator[Record]:
        """Yield the records in order; see ``Journal.records``."""
        for record, _ in _read_lines(self.folder / _LOG):
            yield record


def archived_applies(folder: Path) -> Iterator[ArchivedApply]:
    """Yield the applies archived in ``folder``, newest first, each checked before it is yielded.

    Raises ``StateDamaged`` for a damaged one. It is not skipped: without it, an older request for
    the same pair would look like the last one.
    """
    for archive in reversed(_list_archives(folder)):
        try:
            header = _check_header(load_json(read_file(archive / _HEADER)), archive, (_DELTA,))
        except (DecodeError, OSError) as error:
            raise StateDamaged(
                f"the archived apply {archive.name} cannot be read: {_problem(error)}",
                hint="Restore its folder from a backup of segctl.state.d/history/applies.",
            ) from error
        yield ArchivedApply(folder=archive, header=header)


def last_archived_serial(folder: Path) -> int:
    """Return the serial in the name of the newest apply archived in ``folder``, or 0."""
    archives = _list_archives(folder)
    return _archive_serial(archives[-1]) if archives else 0


def _list_archives(folder: Path) -> list[Path]:
    """Return the folders of archived applies, oldest first."""
    if not folder.is_dir():
        return []
    archives = [
        path for path in folder.iterdir() if _ARCHIVE_NAME.fullmatch(path.name) and path.is_dir()
    ]
    return sorted(archives, key=lambda path: (_archive_serial(path), path.name))


def _archive_serial(archive: Path) -> int:
    return int(archive.name.split("-", 1)[0])


def _remove_old_applies(disk: Disk, folder: Path) -> None:
    """Remove archived applies beyond the limits, and the batches of all archived applies."""
    _remove_unfinished(disk, folder)
    bytes_left = KEPT_BYTES
    too_old = []
    for age, archive in enumerate(reversed(_list_archives(folder))):
        if (archive / _BATCHES).exists():
            disk.unlink(archive / _BATCHES)
        bytes_left -= sum(file.stat().st_size for file in archive.iterdir())
        if age and (age >= KEPT_APPLIES or bytes_left < 0):
            too_old.append(archive)
    for archive in reversed(too_old):  # oldest first, so that a crash leaves no gap
        # Renamed before it is removed: a crash must not leave an archive without some files.
        disk.move(archive, folder / f"{_DONE_PREFIX}{archive.name}")
    _remove_unfinished(disk, folder)


def _read_lines(log: Path) -> Iterator[tuple[Record, int]]:
    """Yield the record of each intact line, and the offset in bytes at which the line ends."""
    with translate_os_errors("read the journal"):
        data = read_file(log)
    # The last line may have no newline. Its checksum then does not match.
    lines = [(_decode_line(line), len(line)) for line in re.findall(rb"[^\n]*\n|[^\n]+", data)]
    counts = (record.get(_SYNCED) for record, _ in lines if record)
    synced = max((count for count in counts if type(count) is int), default=0)
    end = 0
    for number, (record, size) in enumerate(lines, start=1):
        end += size
        if record is not None:
            record.pop(_SYNCED, None)
            if not is_record(record):
                raise StateDamaged(
                    f"the journal cannot be read: line {number} of {_LOG} is not a record of an "
                    "apply",
                    hint=RESTORE_JOURNAL,
                )
            yield record, end
        elif number <= synced:
            raise StateDamaged(
                f"the journal cannot be read: line {number} of {_LOG} does not match its checksum",
                hint=RESTORE_JOURNAL,
            )


def journal_identity(folder: Path) -> tuple[int, int] | None:
    """Return a value that identifies the journal in ``folder``, or ``None`` if there is none."""
    return _folder_identity(folder / _CURRENT)


def remove_leftovers(folder: Path, *, disk: Disk) -> None:
    """Remove what a crash left of journals being created or removed; needs the lock."""
    if folder.is_dir():
        with translate_os_errors("remove old files of the journal"):
            _remove_unfinished(disk, folder)


def _check_header(document: Any, folder: Path, parts: Sequence[str]) -> Mapping[str, Any]:
    """Return the header; raises ``DecodeError`` unless the files match its checksums."""
    if not isinstance(document, dict) or not isinstance(version := document.get("version"), int):
        raise DecodeError(f"{_HEADER} is not the header of a journal")
    if version > VERSION:
        raise DecodeError(
            f"it has format {version}, this segctl reads format {VERSION}: upgrade segctl"
        )
    files, header = document.get("files"), document.get("header")
    if not isinstance(files, dict) or not isinstance(header, dict) or not _is_header(header):
        raise DecodeError(f"{_HEADER} is not the header of a journal")
    for name in parts:
        if file_sha256(folder / name) != files.get(name):
            raise DecodeError(f"{name} does not match its checksum")
    if not (folder / _LOG).is_file():
        raise DecodeError(f"{_LOG} is missing")
    return header


def _is_header(header: Mapping[str, Any]) -> bool:
    """Whether a header has its fields in their forms. Only ``id`` is required here.

    The caller of ``create`` chooses the others.
    """
    return isinstance(header.get("id"), str) and all(
        isinstance(header[name], kinds) and not isinstance(header[name], bool)
        for name, kinds in HEADER_FIELDS.items()
        if name in header
    )


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
        return f"{Path(str(error.filename or _HEADER)).name}: {error.strerror}"
    return str(error)


def _encode_line(record: Record, *, synced: int) -> bytes:
    """Encode a record as a line that ends with a checksum of the rest.

    ``synced`` is how many of the lines before it are certainly on the disk.
    """
    fields = {**record, _SYNCED: synced}
    body = json.dumps(fields, allow_nan=False, separators=(",", ":"))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _decode_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, or ``None`` if the line is incomplete or damaged."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest != b'%08x"}\n' % zlib.crc32(body):
        return None
    try:
        record = json.loads(body + b"}")
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _remove_unfinished(disk: Disk, folder: Path) -> None:
    """Remove what a crash left of journals being created or removed; not the current one."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((_NEW_PREFIX, _DONE_PREFIX)):
            disk.remove_tree(path)
