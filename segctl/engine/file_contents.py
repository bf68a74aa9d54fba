"""Check that the files of a source are whole, and that they are lists.

A list that is read in part, or that is something else, would remove members or add people who
opted out. DuckDB reads a truncated zstd file as if nothing were missing, ignores the checksum of
gzip, can lose a last line that is longer than its buffer, and takes each line of an error page for
a value. So every byte of a text file is looked at once before DuckDB reads it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import zstandard

from segctl.engine.model import SourceError
from segctl.manifests.file_formats import Format, infer_format

LINE_LIMITS: dict[str, int] = {"csv": 2_000_000, "tsv": 2_000_000, "txt": 2_000_000}
"""The bytes that a row of a text format may have, with its line end, as DuckDB counts them."""

JSON_LINE_LIMIT = 16_000_000

_NAMES = {"csv": "CSV", "tsv": "TSV", "jsonl": "JSON Lines"}

_CHUNK = 1 << 20
_COMPRESSED_CHUNK = 1 << 14
"""A chunk of zstd can expand ten thousand times."""

_LINE_END_BYTES = 2

_END_BYTES = 4096

_BEFORE_QUOTES = (b",", b"\t", b";", b"|", b"\n", b"\r", b'"', b"")
"""What stands before a quote that begins a value, or that repeats one within a value."""

_WRITE_AGAIN = "Write the file again."
_EMPTY = {
    "csv": "Write it again. A list without users still has a header line.",
    "tsv": "Write it again. A list without users still has a header line.",
    "txt": "Write it again. A txt without users can have a comment line, with comments: '#'.",
    "jsonl": "Write it again. A list without users can be a csv that has only a header line.",
}
_EMPTY_OTHER = "Write it again."
_EXPORT_AGAIN = "Write the list again, and check the step that writes it."

_SAVE_UTF16 = "Save it as UTF-8, or set encoding: utf-16 in a file source."

_FIRST_BYTES = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "Run `git lfs pull`."),
    (b"\x1f\x8b", "compressed with gzip", "Add .gz to its name."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Add .zst to its name."),
    (b"PK\x03\x04", "a zip file or a spreadsheet", "Save the sheet as CSV UTF-8."),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet", "Save the sheet as CSV UTF-8."),
    (b"PAR1", "a Parquet file", "Set format: parquet, or end its name in .parquet."),
    (b"SQLite format 3\0", "a SQLite database", "Read it with a sqlite source."),
    (b"%PDF", "a PDF file", _EXPORT_AGAIN),
    (b"\xff\xfe", "text in UTF-16", _SAVE_UTF16),
    (b"\xfe\xff", "text in UTF-16", _SAVE_UTF16),
)
"""The first bytes of files that are no lists, what they are, and what to do."""

_MARKUP = re.compile(rb"<(\?xml|!doctype|!--|[a-z][a-z0-9:-]*[\s>/])", re.IGNORECASE)
_CONFLICT = re.compile(rb"\n(<{7} |={7}\r?\n|>{7} )")
_JSON_SUFFIX = re.compile(r"\.(geo|nd)?json(\.gz|\.zst)?$")
"""Files of queries that are not read line by line, or whose lines DuckDB checks."""

_CONFLICT_BEGINNINGS = (b"<<<<<<<", b"=======", b">>>>>>>")
_PROGRAM_MESSAGE = re.compile(
    rb"^(Traceback \(most recent call last\):|Exception in thread|\s+at [\w.$<>]+\(.*\)|"
    rb"  File \".*\", line \d+.*|(?:[A-Za-z.]*(?:Error|Exception)|ERROR|FATAL|WARN(?:ING)?): .*|"
    rb"\(\d+ rows?(?: affected)?\)|Query OK,.*|Segmentation fault.*|Killed|"
    rb"\{\s*\".*\}|</?[A-Za-z][^>]*>.*|\.\.\.|\\\.)\r?$",
    re.MULTILINE,
)
"""Lines of programs next to rows: a stack trace, a message, a count, JSON, HTML, an end mark."""


class _Truncated(Exception):
    """The file ends too early."""


class _OtherFormat(Exception):
    """The file has another format than its name says."""


class _Damaged(Exception):
    """The compressed data is invalid or does not match its checksum."""


def check_files(files: Iterable[Path], format_: Format | None, delimiter: str = ",") -> None:
    """Raise ``SourceError`` for the first file that is incomplete, damaged or no list.

    ``delimiter`` is that of csv files. Without ``format_``, they are files of a query: the name of
    each shows its format, and lines of text are rows of csv.
    """
    for file in files:
        with name_file_in_errors(file), file.open("rb") as stream:
            _check_file(stream, file, format_ or _format_in_query(file), delimiter)


def read_beginning(file: Path, format_: Format | None) -> bytes:
    """Return the first megabyte of a file, decompressed; a compressed one may give less.

    Raises ``SourceError`` if the file cannot be read, or if this shows that it is no list. More is
    read if the first line is longer.
    ``format_`` is as in ``check_files``.
    """
    with name_file_in_errors(file), file.open("rb") as stream:
        format_ = format_ or _format_in_query(file)
        chunks = _DECOMPRESS.get(file.suffix.lower(), _read_chunks)(stream)
        start = next(chunks, b"") if format_ != "parquet" else stream.read(_END_BYTES)
        if format_ != "parquet" or not start.startswith(b"PAR1"):
            _check_start(start, format_)
        if format_ and format_ != "parquet":
            _check_first_line(start, chunks, format_)
        return start


def read_text(file: Path) -> Iterator[bytes]:
    """Yield the content of a text file in chunks, decompressed.

    Use it in ``name_file_in_errors``.
    """
    with file.open("rb") as stream:
        yield from _DECOMPRESS.get(file.suffix.lower(), _read_chunks)(stream)


def first_line(file: Path, comments: str | None = None) -> str:
    """Return the first line of a text file that is neither blank nor, with "#", a comment.

    It is looked for in the first chunk, and empty if that has none.
    """
    start = next(iter(read_text(file)), b"").decode("utf-8-sig", "replace")
    lines = (line for line in start.splitlines() if line.strip())
    return next((line for line in lines if not (comments and line.lstrip()[0] == comments)), "")


@contextmanager
def name_file_in_errors(file: Path) -> Iterator[None]:
    """Turn the errors of a file that cannot be read into a ``SourceError`` with the file."""
    try:
        yield
    except SourceError as error:
        error.file = file
        raise
    except _OtherFormat:
        name = "gzip" if file.suffix.lower() == ".gz" else "zstd"
        summary = f"the file is not {name}, although its name ends in {file.suffix}"
        raise _error(file, summary, "Rename the file, or compress it again.") from None
    except _Damaged:
        summary = "the file is damaged: its compressed data is invalid"
        raise _error(file, summary, _WRITE_AGAIN) from None
    except _Truncated:
        summary = "the file is incomplete: its compressed data ends too early"
        raise _error(file, summary, _WRITE_AGAIN) from None
    except FileNotFoundError:
        summary = "the file no longer exists"
        raise _error(file, summary, "Run the same command again.") from None
    except OSError as error:
        raise _error(file, (error.strerror or "it cannot be read").lower(), "") from None


def _format_in_query(file: Path) -> Format | None:
    format_ = infer_format(file.name)
    return "csv" if format_ == "txt" else format_


def _error(file: Path, summary: str, detail: str) -> SourceError:
    error = SourceError("unreadable-file", summary, detail)
    error.file = file
    return error


def _check_file(stream: BinaryIO, file: Path, format_: Format | None, delimiter: str) -> None:
    if format_ == "parquet":
        _check_parquet(stream)
        return
    decompress = _DECOMPRESS.get(file.suffix.lower(), _read_chunks)
    chunks = decompress(stream)
    if format_:
        _check_text(chunks, format_, delimiter)
    elif _JSON_SUFFIX.search(file.name.lower()):
        _check_start(next(chunks, b""))
        for _ in chunks:  # the end of a compressed file shows whether it is whole
            pass
    else:
        _check_text(chunks, "csv", delimiter)


def _check_parquet(stream: BinaryIO) -> None:
    start = stream.read(_END_BYTES)
    if not start.startswith(b"PAR1"):
        _check_start(start)
        return  # DuckDB names what is missing
    stream.seek(-4, 2)
    if stream.read(4) not in (b"PAR1", b"PARE"):
        raise SourceError(
            "unreadable-file", "the file is incomplete: the end of Parquet is missing", _WRITE_AGAIN
        )


def _check_start(start: bytes, format_: Format | None = None) -> None:
    """Raise ``SourceError`` if the beginning of a file shows that it is no list."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        advice = _EMPTY.get(format_ or "", _EMPTY_OTHER)
        raise SourceError("empty-file", "the file is empty", advice)
    for first_bytes, what, advice in _FIRST_BYTES:
        if start.startswith(first_bytes):
            raise not_a_list(what, advice)
    if _MARKUP.match(text):
        raise not_a_list("an HTML or XML document", _EXPORT_AGAIN)


def not_a_list(what: str, advice: str) -> SourceError:
    """Return the error for a file that is something else, such as an error page."""
    return SourceError("not-a-list", f"the file is {what}, not a list", advice)


def _check_text(chunks: Iterator[bytes], format_: Format, delimiter: str) -> None:
    start = next(chunks, b"")
    _check_start(start, format_)
    if format_ != "jsonl":
        _check_json(start)
    rows = _RowEnds(
        limit=_line_limit(format_),
        format_=format_,
        quotes=format_ in ("csv", "tsv"),
        before_quotes=(*_BEFORE_QUOTES, delimiter.encode()[-1:]),
    )
    end = b"\n"
    chunk = start
    while chunk:
        _check_bytes(end[-16:] + chunk, rows.lines - end[-16:].count(b"\n") + 1)
        rows.add(chunk)
        end = (end + chunk)[-_END_BYTES:]
        chunk = next(chunks, b"")
    first_line = start.split(b"\n", 1)[0]
    has_delimiter = delimiter.encode() in first_line or re.search(rb"[,;|\t]", first_line)
    if format_ == "txt" or (format_ != "jsonl" and not has_delimiter):
        # A part of a line may look like a message.
        if len(start) > _END_BYTES:
            start = start[:_END_BYTES].rpartition(b"\n")[0]
        if len(end) == _END_BYTES:
            end = end.partition(b"\n")[2]
        _check_messages(start, 1)
        _check_messages(end, rows.lines - end.count(b"\n") + 1)


def _check_first_line(start: bytes, chunks: Iterator[bytes], format_: Format) -> None:
    """Raise ``SourceError`` for a NUL byte in the first chunk, and for a first line without end.

    DuckDB would look for the end in the whole file.
    """
    _check_bytes(start, 1)
    line = _RowEnds(limit=_line_limit(format_), format_=format_, quotes=False)
    chunk = start
    while chunk and _first_end(chunk) < 0:
        line.add(chunk)
        chunk = next(chunks, b"")


def _check_json(start: bytes) -> None:
    """Raise ``SourceError`` if the first line of a file is JSON."""
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    if first[:1] in (b"{", b"["):
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return
        raise not_a_list("JSON", "Set format: jsonl if it has one object per line.")


def _check_bytes(part: bytes, line: int) -> None:
    """Raise ``SourceError`` for a NUL byte and for the marks of a merge conflict.

    ``line`` is the number of the first line of the part.
    """
    if b"\0" in part:
        line += part[: part.index(b"\0")].count(b"\n")
        raise SourceError(
            "unreadable-file", "the file has a NUL byte", "Save it as UTF-8 text.", line=line
        )
    if any(mark in part for mark in _CONFLICT_BEGINNINGS) and (found := _CONFLICT.search(part)):
        raise SourceError(
            "conflict-marks",
            "the file has the marks of a merge conflict",
            "Resolve the conflict, and commit the file.",
            line=line + part[: found.start()].count(b"\n") + 1,
        )


def _check_messages(part: bytes, line: int) -> None:
    if found := _PROGRAM_MESSAGE.search(part):
        raise SourceError(
            "not-a-list",
            "a line is the message of a program, not a row",
            "Write rows only: send messages to another file, and use the rows only if the program "
            "succeeds.",
            line=line + part[: found.start()].count(b"\n"),
        )


@dataclass(kw_only=True)
class _RowEnds:
    """Measures rows, chunk by chunk; a line end within quotes ends no row.

    The ``limit`` of a row counts its line end, which is taken for two bytes.
    ``lines`` counts the lines of the chunks so far, ``open_bytes`` the bytes of the last row.
    """

    limit: int
    format_: Format
    quotes: bool
    before_quotes: tuple[bytes, ...] = _BEFORE_QUOTES
    lines: int = 0
    open_bytes: int = 0
    in_quotes: bool = False
    _row_line: int = field(default=1)
    _previous: bytes = field(default=b"\n")

    def add(self, chunk: bytes) -> None:
        """Measure the rows of a chunk. Raises ``SourceError`` for one that is too long."""
        if self.quotes and (self.in_quotes or b'"' in chunk):
            self._add_quoted(chunk)
        else:
            self._add_lines(chunk)
        self.lines += chunk.count(b"\n")
        if self.open_bytes > self.limit - _LINE_END_BYTES:
            self._raise()

    def _add_lines(self, chunk: bytes) -> None:
        self._previous = chunk[-1:]
        first = _first_end(chunk)
        if first < 0:
            self.open_bytes += len(chunk)
            return
        if self.open_bytes + first > self.limit - _LINE_END_BYTES:
            self._raise()
        last = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self.open_bytes = len(chunk) - last - 1
        self._row_line = self.lines + chunk.count(b"\n") + 1

    def _add_quoted(self, chunk: bytes) -> None:
        line = self.lines
        parts = chunk.split(b'"')
        for number, part in enumerate(parts):
            if number:
                self.open_bytes += 1
                self.in_quotes = not self.in_quotes and self._previous in self.before_quotes
                self._previous = b'"'
            first = -1 if self.in_quotes else _first_end(part)
            if first < 0:
                self.open_bytes += len(part)
            else:
                if self.open_bytes + first > self.limit - _LINE_END_BYTES:
                    self._raise()
                last = max(part.rfind(b"\n"), part.rfind(b"\r"))
                self.open_bytes = len(part) - last - 1
                self._row_line = line + part.count(b"\n") + 1
            line += part.count(b"\n")
            self._previous = part[-1:] or self._previous

    def _raise(self) -> None:
        advice = "Split the value, or use Parquet."
        if self.in_quotes:
            advice = 'Write a quote inside a quoted value as "". ' + advice
        raise SourceError(
            "line-too-long",
            f"line is longer than {self.limit // 1_000_000} MB, the limit for "
            f"{_NAMES.get(self.format_, self.format_)}",
            advice,
            line=self._row_line,
        )


def _line_limit(format_: Format) -> int:
    return LINE_LIMITS.get(format_, JSON_LINE_LIMIT)


def _first_end(part: bytes) -> int:
    ends = [end for end in (part.find(b"\n"), part.find(b"\r")) if end >= 0]
    return min(ends, default=-1)


# Compression


def _read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _decompress_gzip(stream: BinaryIO) -> Iterator[bytes]:
    if stream.read(2) != b"\x1f\x8b":
        raise _OtherFormat
    stream.seek(0)
    with gzip.GzipFile(fileobj=stream) as content:
        try:
            while chunk := content.read(_CHUNK):
                yield chunk
        except EOFError:
            raise _Truncated from None
        except (gzip.BadGzipFile, zlib.error):
            raise _Damaged from None


def _decompress_zstd(stream: BinaryIO) -> Iterator[bytes]:
    frame = None
    frames = 0
    rest = b""
    while rest or (rest := stream.read(_COMPRESSED_CHUNK)):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        try:
            content = frame.decompress(rest)
        except zstandard.ZstdError:
            raise _Damaged if frames else _OtherFormat from None
        rest = frame.unused_data if frame.eof else b""
        yield from (content[i : i + _CHUNK] for i in range(0, len(content), _CHUNK))
        if frame.eof:
            frame, frames = None, frames + 1
    if frame is not None or not frames:
        raise _Truncated


_DECOMPRESS: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    ".gz": _decompress_gzip,
    ".zst": _decompress_zstd,
}
