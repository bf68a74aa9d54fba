"""The journal: the append-only record of one apply, from which it can be finished.

    current/header.json       which apply: its id, the state it starts from, its plan
    current/delta.parquet     the membership changes of the plan
    current/batches.parquet   which of them travel in which request
    current/log.jsonl         what happened, one JSON object a line

An apply that was taken into the state is kept for a while, without its batches, as
evidence of what was sent: the Error Stream tells of refusals long after.

    <serial>-<id>/            such a folder, named by the serial that took it in

The folder comes into being whole, by one rename, before the first request
leaves.  A line is one write.  A crash can break those alone that were not synced,
which the checksum of each (``crc``) tells, and the number of lines before it that
were (``synced``).  Reading writes nothing, so that a plan can do it.
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
from segctl.core.outcomes import Record

VERSION = 1
_CURRENT, _STAGED, _DONE = "current", "new-", "done-"
_HEADER, _DELTA, _BATCHES, _LOG = "header.json", "delta.parquet", "batches.parquet", "log.jsonl"
KEPT_APPLIES = 20
"""How many ended applies are kept ..."""

KEPT_BYTES = 1 << 30
"""... as long as they take no more than this; the newest one is kept whatever it takes."""

_SYNCED = "synced"
_ENDED = re.compile(r"([0-9]+)-[0-9a-f]+")
_ADVICE = (
    "Put the journal's folder back from a backup. Do not delete it: it tells which "
    "requests were sent and not yet taken into the state."
)


class Journal:
    """The journal of one apply; one writer at a time, holding the state's lock."""

    def __init__(self, folder: Path, *, header: Mapping[str, Any], disk: Disk) -> None:
        self._folder = folder
        self._header = MappingProxyType(dict(header))
        self._disk = disk
        self._descriptor: int | None = None
        self._broken: OperationError | None = None
        self._written = self._synced = 0  # lines
        self._syncing = threading.Lock()
        self._place = _place(folder / _CURRENT)

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
        """Begin a journal in ``folder``, durably: a crash afterwards finds all of it.

        ``header`` is JSON; an ``id`` is added where it has none.  ``delta`` and
        ``batches`` are copied.  Raises ``StateDamaged`` where a journal is there
        already, ``OperationError`` where it cannot be written.
        """
        disk = disk or Disk()
        header = {"id": uuid.uuid4().hex, **header}
        if os.path.lexists(folder / _CURRENT):
            raise StateDamaged(
                "the journal of an earlier apply is still there; it must be taken in first",
                hint="Run `segctl apply` again.",
            )
        with translate_os_errors("write the journal"):
            disk.ensure_folder(folder)
            _clean(disk, folder)
            staged = folder / f"{_STAGED}{header['id']}"
            disk.make_folder(staged)
            files = {
                name: disk.copy_new(source, staged / name)
                for name, source in ((_DELTA, delta), (_BATCHES, batches))
            }
            disk.write_new(staged / _LOG, b"")
            disk.write_new(
                staged / _HEADER, dump_json({"version": VERSION, "files": files, "header": header})
            )
            # The names in the folder before the folder's own name: ``current`` is never part empty.
            disk.sync_folder(staged)
            disk.move(staged, folder / _CURRENT)
        return cls(folder, header=header, disk=disk)

    @classmethod
    def open(cls, folder: Path, *, disk: Disk | None = None) -> Self | None:
        """Open the journal in ``folder``, ``None`` where there is none; writes nothing.

        Raises ``StateDamaged`` where a part is missing or is not what was written.
        """
        current = folder / _CURRENT
        place = _place(current)
        if place is None:
            return None
        try:
            header = _checked(load_json(read_file(current / _HEADER)), current, (_DELTA, _BATCHES))
        except (DecodeError, OSError) as error:
            if _place(current) != place:
                # A plan reads without the lock: an apply ended while we looked.
                return cls.open(folder, disk=disk)
            raise _damaged(error) from error
        return cls(folder, header=header, disk=disk or Disk())

    @property
    def id(self) -> str:
        """The id of this apply, unique over all."""
        return str(self._header["id"])

    @property
    def header(self) -> Mapping[str, Any]:
        """What ``create`` was given, with the id."""
        return self._header

    @property
    def delta(self) -> Path:
        """Where the membership changes stand."""
        return self._folder / _CURRENT / _DELTA

    @property
    def batches(self) -> Path:
        """Where the batches stand."""
        return self._folder / _CURRENT / _BATCHES

    def records(self) -> Iterator[Record]:
        """Give the records in order; writes nothing.

        A crash may leave lines broken that no sync had brought to the disk, the last one
        torn, one before it empty.  They are passed over: what they would have said had
        not been promised to anyone.  Any other broken line raises ``StateDamaged``.
        """
        self._check_ours()
        for record, _ in _lines(self._folder / _CURRENT / _LOG):
            yield record

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record; on the disk when this returns, where ``durable``.

        Raises ``OperationError`` where it cannot be written, and ever after: once a sync has
        failed the system may have thrown away what it was to bring to the disk.
        """
        self.append_many([record], durable=durable)

    def append_many(self, records: Iterable[Record], *, durable: bool) -> None:
        """Write several records at once; see ``append``."""
        if self._broken:
            raise self._broken
        try:
            if self._descriptor is None:
                self._descriptor = self._open_log()
            lines = [_line(record, synced=self._synced) for record in records]
            self._disk.write_all(self._descriptor, b"".join(lines))
            self._written += len(lines)
        except OSError as error:
            self._broken = to_operation_error(error, "write the journal")
            raise self._broken from error
        if durable:
            self.sync()

    def sync(self) -> None:
        """Flush every record written so far to disk; raises ``OperationError`` as ``append`` does.

        May run in several threads beside ``append``; whoever waits meanwhile shares the next.
        """
        wanted = self._written
        # One at a time: an error of the disk is told to one of two that run together, and
        # the other one would take its records for safe.
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
        """End the journal, once the state holds what it says; raises ``OperationError``.

        One durable rename ends it; a crash later only leaves rubbish, which the next
        ``create`` clears away.
        """
        self.close()
        self._check_ours()
        with translate_os_errors("remove the journal"):
            self._disk.move(self._folder / _CURRENT, self._folder / f"{_DONE}{self.id}")
            _clean(self._disk, self._folder)

    def archive(self, into: Path, *, serial: int) -> None:
        """Move the finished journal to the folder ``into``; raises ``OperationError``.

        ``serial`` is that of the state which holds what the journal says.  The parent
        of ``into`` must be there, on the journal's file system.
        """
        self.close()
        self._check_ours()
        with translate_os_errors("keep the journal of the apply"):
            self._disk.ensure_folder(into)
            self._disk.move(self._folder / _CURRENT, into / f"{serial:08d}-{self.id}")
            self._disk.sync_folder(self._folder)
            _clean(self._disk, self._folder)
            _thin(self._disk, into)

    def _check_ours(self) -> None:
        """Raise ``StateChanged`` where another journal has this one's name by now.

        That takes a broken lock: the other run took this journal in and began its own.
        """
        if _place(self._folder / _CURRENT) != self._place:
            raise StateChanged(
                "the journal of this run was taken over by another run",
                hint="Make sure that no other run is at work, then run the same command again.",
            )

    def _open_log(self) -> int:
        """Open the log to append, cutting off a torn line that the next would run into."""
        self._check_ours()
        path = self._folder / _CURRENT / _LOG
        whole = max((end for _, end in _lines(path)), default=0)
        descriptor = self._disk.append(path)
        if os.fstat(descriptor).st_size > whole:
            self._disk.truncate(descriptor, whole)
        self._written = read_file(path).count(b"\n")
        return descriptor


@dataclass(frozen=True, kw_only=True)
class ArchivedApply:
    """An apply that was taken into the state: what it was begun with, and what came of it."""

    folder: Path
    header: Mapping[str, Any]

    @property
    def delta(self) -> Path:
        """Where the membership changes stand."""
        return self.folder / _DELTA

    def records(self) -> Iterator[Record]:
        """Give the records in order; see ``Journal.records``."""
        for record, _ in _lines(self.folder / _LOG):
            yield record


def archived_applies(folder: Path) -> Iterator[ArchivedApply]:
    """Give the applies kept in ``folder``, newest first; each is checked when it is reached.

    Raises ``StateDamaged`` where one is not what was written: what was sent last
    cannot be told from the older ones alone.
    """
    for place in reversed(_kept(folder)):
        try:
            header = _checked(load_json(read_file(place / _HEADER)), place, (_DELTA,))
        except (DecodeError, OSError) as error:
            raise StateDamaged(
                f"the record of an earlier apply, {place.name}, cannot be read: {_problem(error)}",
                hint="Put its folder back from a backup of segctl.state.d/history/applies.",
            ) from error
        yield ArchivedApply(folder=place, header=header)


def last_archived_serial(folder: Path) -> int:
    """Give the serial of the state that took in the last of the applies kept in ``folder``, or 0.

    Told by their names alone.
    """
    kept = _kept(folder)
    return int(kept[-1].name.split("-", 1)[0]) if kept else 0


def _kept(folder: Path) -> list[Path]:
    """Give the folders of ended applies, oldest first."""
    if not folder.is_dir():
        return []
    found = [
        (match, path)
        for path in folder.iterdir()
        if (match := _ENDED.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found, key=lambda item: (int(item[0][1]), item[1].name))]


def _thin(disk: Disk, folder: Path) -> None:
    """Remove what is too old or too much of the ended applies, and all of their batches."""
    _clean(disk, folder)
    space = KEPT_BYTES
    doomed = []
    for age, place in enumerate(reversed(_kept(folder))):
        if (place / _BATCHES).exists():
            disk.unlink(place / _BATCHES)
        space -= sum(file.stat().st_size for file in place.iterdir())
        if age and (age >= KEPT_APPLIES or space < 0):
            doomed.append(place)
    for place in reversed(doomed):  # oldest first: what is left has no gap
        # Renamed first: a crash must not leave one that is there in part.
        disk.move(place, folder / f"{_DONE}{place.name}")
    _clean(disk, folder)


def _lines(log: Path) -> Iterator[tuple[Record, int]]:
    """Give each whole line's record and where the line ends, in bytes."""
    with translate_os_errors("read the journal"):
        data = read_file(log)
    # A line without its newline is torn, whatever it holds.
    lines = [(_record(line), len(line)) for line in re.findall(rb"[^\n]*\n|[^\n]+", data)]
    promised = max((record.get(_SYNCED, 0) for record, _ in lines if record), default=0)
    end = 0
    for number, (record, size) in enumerate(lines, start=1):
        end += size
        if record is not None:
            record.pop(_SYNCED, None)
            yield record, end
        elif number <= promised:
            raise StateDamaged(
                f"the journal cannot be read: line {number} of {_LOG} is not what was written",
                hint=_ADVICE,
            )


def journal_identity(folder: Path) -> tuple[int, int] | None:
    """Tell the journal in ``folder`` from any other, ``None`` where there is none; quick."""
    return _place(folder / _CURRENT)


def remove_leftovers(folder: Path, *, disk: Disk) -> None:
    """Remove what a crash left of journals that were begun or ended; needs the lock."""
    if folder.is_dir():
        with translate_os_errors("clear the journal's folder"):
            _clean(disk, folder)


def _checked(document: Any, folder: Path, parts: Sequence[str]) -> Mapping[str, Any]:
    """Give the header of a journal whose files are those that it was begun with."""
    if not isinstance(document, dict) or not isinstance(version := document.get("version"), int):
        raise DecodeError(f"{_HEADER} is not the header of a journal")
    if version > VERSION:
        raise DecodeError(f"it has format {version}, written by a newer segctl: upgrade segctl")
    files, header = document.get("files"), document.get("header")
    if not isinstance(files, dict) or not isinstance(header, dict) or "id" not in header:
        raise DecodeError(f"{_HEADER} is not the header of a journal")
    for name in parts:
        if file_sha256(folder / name) != files.get(name):
            raise DecodeError(f"{name} is not what was written")
    if not (folder / _LOG).is_file():
        raise DecodeError(f"{_LOG} is missing")
    return header


def _place(path: Path) -> tuple[int, int] | None:
    """Tell one folder from another that has its name later."""
    with translate_os_errors("read the journal"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
    return found.st_dev, found.st_ino


def _damaged(error: DecodeError | OSError) -> StateDamaged:
    return StateDamaged(f"the journal cannot be read: {_problem(error)}", hint=_ADVICE)


def _problem(error: DecodeError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{Path(str(error.filename or _HEADER)).name}: {error.strerror}"
    return str(error)


def _line(record: Record, *, synced: int) -> bytes:
    """Write a record as one line that ends in a checksum of what stands before.

    ``synced`` is how many lines before it are on the disk for certain.
    """
    told = {**record, _SYNCED: synced}
    body = json.dumps(told, allow_nan=False, separators=(",", ":"))[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'.encode()


def _record(line: bytes) -> dict[str, Any] | None:
    """Read a line, ``None`` of one that is torn or garbled."""
    body, mark, rest = line.rpartition(b',"crc":"')
    if not mark or rest != b'%08x"}\n' % zlib.crc32(body):
        return None
    try:
        record = json.loads(body + b"}")
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _clean(disk: Disk, folder: Path) -> None:
    """Remove what a crash left of journals that were begun or ended; never the current one."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((_STAGED, _DONE)):
            disk.remove_tree(path)
