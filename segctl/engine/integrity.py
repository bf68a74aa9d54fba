"""Whether a compressed file is all there.

DuckDB reads a zstd file that was cut short as if nothing were missing, and passes over
the checksum of gzip.  A list that is too short would remove its missing members, so
each compressed file is looked through before it is read: zstd by its frames and blocks,
whose contents DuckDB checks itself; gzip by unpacking it.
"""

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from segctl.engine.model import SourceError

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"

# RFC 8878, sections 3.1.1 and 3.1.2; all numbers are little-endian.
_FRAME = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_RLE_BLOCK, _RESERVED_BLOCK = 1, 3


class _CutShort(Exception):
    """A file ends where more of it must follow."""


class _Other(Exception):
    """A file is not what its name says."""


class _Damaged(Exception):
    """Something in a file cannot be so, or does not fit its checksum."""


def check(files: Iterable[Path]) -> None:
    """Raise ``SourceError`` for the first compressed file that is not whole."""
    for file in files:
        if file.suffix.lower() not in _LOOKS:
            continue
        what, look = _LOOKS[file.suffix.lower()]
        try:
            with file.open("rb") as stream:
                look(stream)
        except _Other:
            summary = f"the file is not {what}, though its name ends in {file.suffix}"
            raise _at(file, summary, "") from None
        except _Damaged:
            summary = "the file is damaged: its compressed data cannot be unpacked"
            raise _at(file, summary, "Write it again.") from None
        except _CutShort:
            summary = "the file is not whole: its compressed data break off"
            raise _at(file, summary, "Write it again.") from None
        except OSError as error:
            raise _at(file, (error.strerror or "it cannot be read").lower(), "") from None


def _at(file: Path, summary: str, detail: str) -> SourceError:
    error = SourceError("unreadable-file", summary, detail)
    error.file = file
    return error


def _gzip(stream: BinaryIO) -> None:
    if stream.read(2) != _GZIP:
        raise _Other
    stream.seek(0)
    with gzip.GzipFile(fileobj=stream) as content:
        try:
            while content.read(_CHUNK):
                pass
        except EOFError:
            raise _CutShort from None
        except (gzip.BadGzipFile, zlib.error):
            raise _Damaged from None


def _zstd(stream: BinaryIO) -> None:
    end = stream.seek(0, 2)
    stream.seek(0)
    if not end:
        raise _CutShort
    while stream.tell() < end:
        magic = _number(stream, 4)
        if magic in _SKIPPABLE:
            _skip(stream, _number(stream, 4), end)
        elif magic == _FRAME:
            _frame(stream, end)
        else:
            raise _Damaged if stream.tell() > 4 else _Other


def _frame(stream: BinaryIO, end: int) -> None:
    descriptor = _number(stream, 1)
    single = descriptor >> 5 & 1
    header = (1 - single) + _DICTIONARY_ID_BYTES[descriptor & 3]
    header += _CONTENT_SIZE_BYTES[descriptor >> 6] or single
    _skip(stream, header, end)
    last = False
    while not last:
        block = _number(stream, 3)
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        if kind == _RESERVED_BLOCK:
            raise _Damaged
        _skip(stream, 1 if kind == _RLE_BLOCK else size, end)
    _skip(stream, 4 if descriptor >> 2 & 1 else 0, end)


def _number(stream: BinaryIO, size: int) -> int:
    found = stream.read(size)
    if len(found) < size:
        raise _CutShort
    return int.from_bytes(found, "little")


def _skip(stream: BinaryIO, size: int, end: int) -> None:
    if stream.seek(size, 1) > end:
        raise _CutShort


_LOOKS = {".gz": ("gzip", _gzip), ".zst": ("zstd", _zstd)}
