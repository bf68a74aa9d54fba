"""The journal: the append-only record of one apply, from which the apply can be finished.

    header.json       the apply: its id, the state it starts from, its plan
    delta.parquet     the membership changes of the plan, in sending order
    log.jsonl         what happened; see ``journal_lines.py``

Header and delta are stored before the journal appears, and it appears in one step, before the first
request is sent. When an apply was merged into the state, its journal is archived. It is kept for a
while as evidence of what was sent, since the Error Stream reports refusals much later. Reading
writes nothing, so a plan can do it without the lock.

What is here holds for every place that stores a state. ``Journals`` and ``JournalFiles`` are what
such a place provides.
"""

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from segctl.backends.journal_lines import encode_line, read_lines
from segctl.backends.sealing import NO_SEALING, Sealer
from segctl.core.codec import DecodeError, dump_json, load_json
from segctl.core.dataclass import dataclass
from segctl.core.disk import to_operation_error
from segctl.core.errors import SegctlError
from segctl.core.outcomes import Record

VERSION = 2
"""The format version. Journals of version 1 had one more file. Merging them does not need it."""

HEADER, DELTA, OLD_BATCHES = "header.json", "delta.parquet", "batches.parquet"
KEPT_APPLIES = 20
"""How many archived applies are kept."""

KEPT_BYTES = 1 << 30
"""How many bytes they may take in total. The newest one is kept even if it takes more."""

HEADER_FIELDS: Mapping[str, tuple[type, ...]] = {
    "lineage": (str,),
    "serial": (int,),
    "account": (str, type(None)),
    "host": (str,),
    "at": (int, float),
    "plan": (dict,),
}
"""The fields of an apply's header, with the types of their values in JSON."""


class StoredJournal(Protocol):
    """The files of one journal, for reading.

    ``is_atomic`` is true if no crash can leave a part of a line in the log.
    """

    is_atomic: bool

    def path(self, name: str) -> Path:
        """Return the local path of the delta; raises ``StateDamaged``."""

    def read_log(self) -> bytes:
        """Return everything that was written to the log."""


class JournalFiles(StoredJournal, Protocol):
    """The files of the journal of the running apply. Writing needs the lock of the state.

    ``window`` is how many requests are recorded as sent before the first of them is sent, so that
    a slow place is written to less often.
    """

    window: int

    def check(self) -> None:
        """Raise ``StateChanged`` if another run merged or replaced this journal."""

    def open_log(self, size: int) -> None:
        """Prepare to append to the log after its first ``size`` bytes; the rest is cut off."""

    def append_log(self, data: bytes) -> None:
        """Append to the log. Not durable before ``sync_log``."""

    def sync_log(self) -> None:
        """Return when everything that was appended is durable."""

    def close_log(self) -> None:
        """Close the log; the journal stays."""

    def remove(self) -> None:
        """Remove the journal, in one durable step."""

    def archive(self, *, serial: int) -> None:
        """Archive the journal, then remove old archives."""


class Journals(Protocol):
    """The journal of a state, and its archive."""

    def create(self, *, header: Mapping[str, Any], delta: Path) -> "Journal":
        """Create the journal; it is durable and complete when this returns.

        ``header`` is a JSON object; an ``id`` is added if it has none. The file ``delta``
        is copied. Raises ``StateDamaged`` if there is a journal already,
        ``OperationError`` if it cannot be written.
        """

    def open(self, *, fence: bool = False) -> "Journal | None":
        """Open the journal; return ``None`` if there is none. Writes nothing without ``fence``.

        With ``fence``, which needs the lock, no run that lost the lock can write to it any more.
        Raises ``StateDamaged`` if a file is missing or does not match its checksum.
        """

    def identity(self) -> object | None:
        """Return a value that identifies the journal, or ``None`` if there is none."""

    def remove_leftovers(self) -> None:
        """Remove what a crash left of journals being created or removed; needs the lock."""

    def archived(self) -> "Iterator[ArchivedApply]":
        """Yield the archived applies, newest first, each checked before it is yielded.

        Raises ``StateDamaged`` for a damaged one. It is not skipped: without it, an older request
        for the same pair would look like the last one.
        """

    def last_archived_serial(self) -> int:
        """Return the serial of the newest archived apply, or 0."""

    def copy_archived(self, apply: "ArchivedApply") -> None:
        """Add an archived apply of another place; needs the lock."""


class Journal:
    """The journal of one apply. Writing needs the lock of the state."""

    def __init__(
        self, files: JournalFiles, *, header: Mapping[str, Any], sealer: Sealer = NO_SEALING
    ) -> None:
        self._files = files
        self._sealer = sealer
        self._header = MappingProxyType(dict(header))
        self._is_open = False
        self._broken: SegctlError | None = None
        self._written = self._synced = 0  # lines
        self._syncing = threading.Lock()

    @property
    def id(self) -> str:
        """The unique id of the apply."""
        return str(self._header["id"])

    @property
    def header(self) -> Mapping[str, Any]:
        """The header that was given to ``Journals.create``, with the id."""
        return self._header

    @property
    def window(self) -> int:
        """How many requests to record as sent before the first of them is sent."""
        return self._files.window

    @property
    def delta(self) -> Path:
        """The path of the membership changes."""
        return self._files.path(DELTA)

    def records(self) -> Iterator[Record]:
        """Yield the records in order; writes nothing. See ``read_lines`` for damage."""
        self._files.check()
        for record, _ in self._read_lines(self._files.read_log()):
            yield record

    def _read_lines(self, data: bytes) -> Iterator[tuple[Record, int]]:
        unseal = partial(unseal_log_line, self._sealer, self.id)
        return read_lines(data, unseal, is_atomic=self._files.is_atomic)

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record. If ``durable``, it is stored when this returns.

        Raises ``OperationError`` if it cannot be written. Every later call then raises the same
        error: after a failed sync, the system may have discarded data that it did not write.
        """
        self.append_many([record], durable=durable)

    def append_many(self, records: Iterable[Record], *, durable: bool) -> None:
        """Write several records at once; see ``append``."""
        if self._broken:
            raise self._broken
        try:
            if not self._is_open:
                self._open_log()
            lines = [
                seal_log_line(self._sealer, self.id, encode_line(record, synced=self._synced))
                for record in records
            ]
            self._files.append_log(b"".join(lines))
            self._written += len(lines)
        except (OSError, SegctlError) as error:
            raise self._break(error) from error
        if durable:
            self.sync()

    def sync(self) -> None:
        """Store every record written so far; raises ``OperationError`` as ``append`` does.

        Several threads may call this while another one appends. Threads that wait here share the
        next flush.
        """
        wanted = self._written
        # One flush at a time: the system reports an error of the disk to only one of two
        # concurrent calls, and the other one would take its records for durable.
        with self._syncing:
            if self._broken:
                raise self._broken
            if self._synced >= wanted or not self._is_open:
                return
            written = self._written
            try:
                self._files.sync_log()
            except (OSError, SegctlError) as error:
                raise self._break(error) from error
            self._synced = written

    def close(self) -> None:
        """Close the log; the journal stays."""
        if self._is_open:
            self._is_open = False
            self._files.close_log()

    def remove(self) -> None:
        """Remove a journal that needs no merging; raises ``OperationError``."""
        self.close()
        self._files.check()
        self._files.remove()

    def archive(self, *, serial: int) -> None:
        """Archive a journal that was merged into the state; raises ``OperationError``.

        ``serial`` is the serial of the state that includes it.
        """
        self.close()
        self._files.check()
        self._files.archive(serial=serial)

    def _open_log(self) -> None:
        """Open the log for appending; first cut off an incomplete last line."""
        self._files.check()
        data = self._files.read_log()
        size = max((end for _, end in self._read_lines(data)), default=0)
        self._files.open_log(size)
        self._is_open = True
        self._written = data[:size].count(b"\n")

    def _break(self, error: OSError | SegctlError) -> SegctlError:
        """Return the error that this call and all later ones raise."""
        if isinstance(error, OSError):
            error = to_operation_error(error, "write the journal")
        self._broken = self._broken or error
        return self._broken


@dataclass(frozen=True, kw_only=True)
class ArchivedApply:
    """The archived journal of an apply that was merged into the state of this ``serial``."""

    header: Mapping[str, Any]
    serial: int
    files: StoredJournal
    sealer: Sealer = NO_SEALING

    @property
    def delta(self) -> Path:
        """The path of the membership changes."""
        return self.files.path(DELTA)

    def records(self) -> Iterator[Record]:
        """Yield the records in order; see ``Journal.records``."""
        for record, _ in self._lines(self.files.read_log()):
            yield record

    def intact_log(self) -> bytes:
        """Return the log as it is stored, without the lines that a crash damaged."""
        log = self.files.read_log()
        ends = [end for _, end in self._lines(log)]
        return b"".join(log[log.rfind(b"\n", 0, end - 1) + 1 : end] for end in ends)

    def _lines(self, log: bytes) -> Iterator[tuple[Record, int]]:
        unseal = partial(unseal_log_line, self.sealer, str(self.header["id"]))
        return read_lines(log, unseal, is_atomic=self.files.is_atomic)


def seal_log_line(sealer: Sealer, journal_id: str, line: bytes) -> bytes:
    """Return a line as it is stored in the log of this journal."""
    return sealer.seal_line(line, f"log {journal_id}")


def unseal_log_line(sealer: Sealer, journal_id: str, line: bytes) -> bytes:
    """Return what ``seal_log_line`` was given."""
    return sealer.unseal_line(line, f"log {journal_id}", name="the journal")


def with_id(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header that has an ``id``."""
    return {"id": uuid.uuid4().hex, **header}


def encode_header(header: Mapping[str, Any], checksums: Mapping[str, str], sealer: Sealer) -> bytes:
    """Encode the header of a journal, with the SHA-256 of each of its files as it is stored."""
    document = {"version": VERSION, "files": dict(checksums), "header": dict(header)}
    return sealer.seal(dump_json(document), HEADER)


def decode_header(data: bytes, sealer: Sealer) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Return the header and the checksums in a header file; raises ``DecodeError``."""
    document = load_json(sealer.unseal(data, HEADER, name="the journal"))
    if not isinstance(document, dict) or not isinstance(version := document.get("version"), int):
        raise DecodeError(f"{HEADER} is not the header of a journal")
    if version > VERSION:
        raise DecodeError(
            f"it has format {version}, this segctl reads format {VERSION}: upgrade segctl"
        )
    files, header = document.get("files"), document.get("header")
    if not isinstance(files, dict) or not isinstance(header, dict) or not _is_header(header):
        raise DecodeError(f"{HEADER} is not the header of a journal")
    return header, files


def select_old_applies(sizes: Sequence[int]) -> Sequence[int]:
    """Return the positions of archived applies beyond the limits, oldest first.

    ``sizes`` are the bytes of each, newest first. In that order of removal a crash leaves no gap.
    """
    bytes_left = KEPT_BYTES
    old = []
    for age, size in enumerate(sizes):
        bytes_left -= size
        if age and (age >= KEPT_APPLIES or bytes_left < 0):
            old.append(age)
    return old[::-1]


def _is_header(header: Mapping[str, Any]) -> bool:
    """Whether a header has its fields in their forms. Only ``id`` is required here.

    The caller of ``create`` chooses the others.
    """
    return isinstance(header.get("id"), str) and all(
        isinstance(header[name], kinds) and not isinstance(header[name], bool)
        for name, kinds in HEADER_FIELDS.items()
        if name in header
    )
