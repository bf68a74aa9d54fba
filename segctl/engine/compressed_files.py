"""Check that compressed files are complete.

DuckDB reads a truncated zstd file as if nothing were missing, and ignores the checksum of gzip. A
list that is too short would remove the missing members, so each compressed file is checked
before it is read: zstd by its frames and blocks, whose contents DuckDB checks itself, and gzip by
decompressing it.
"""

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from segctl.engine.model import SourceError

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"

# RFC 8878, sections 3.1.1 and 3.1.2. All numbers are little-endian.
_FRAME_MAGIC = 0xFD2FB528
_SKIPPABLE_MAGICS = range(0x184D2A50, 0x184D2A60)
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_RLE_BLOCK, _RESERVED_BLOCK = 1, 3

_WRITE_AGAIN = "Write the file again."


class _Truncated(Exception):
    """The file ends too early."""


class _OtherFormat(Exception):
    """The file has another format than its name says."""


class _Damaged(Exception):
    """The compressed data is invalid or does not match its checksum."""


def check_compressed(files: Iterable[Path]) -> None:
    """Raise ``SourceError`` for the first compressed file that is incomplete or damaged."""
    for file in files:
        suffix = file.suffix.lower()
        if suffix not in _CHECKS:
            continue
        format_, check = _CHECKS[suffix]
        try:
            with file.open("rb") as stream:
                check(stream)
        except _OtherFormat:
            summary = f"the file is not {format_}, although its name ends in {file.suffix}"
            raise _error(file, summary, "Rename the file, or compress it again.") from None
        except _Damaged:
            summary = "the file is damaged: its compressed data is invalid"
            raise _error(file, summary, _WRITE_AGAIN) from None
        except _Truncated:
            summary = "the file is incomplete: its compressed data ends too early"
            raise _error(file, summary, _WRITE_AGAIN) from None
        except OSError as error:
            raise _error(file, (error.strerror or "it cannot be read").lower(), "") from None


def _error(file: Path, summary: str, detail: str) -> SourceError:
    error = SourceError("unreadable-file", summary, detail)
    error.file = file
    return error


def _check_gzip(stream: BinaryIO) -> None:
    if stream.read(2) != _GZIP_MAGIC:
        raise _OtherFormat
    stream.seek(0)
    with gzip.GzipFile(fileobj=stream) as content:
        try:
            while content.read(_CHUNK):
                pass
        except EOFError:
            raise _Truncated from None
        except (gzip.BadGzipFile, zlib.error):
            raise _Damaged from None


def _check_zstd(stream: BinaryIO) -> None:
    end = stream.seek(0, 2)
    stream.seek(0)
    if not end:
        raise _Truncated
    while stream.tell() < end:
        magic = _read_number(stream, 4)
        if magic in _SKIPPABLE_MAGICS:
            _skip(stream, _read_number(stream, 4), end)
        elif magic == _FRAME_MAGIC:
            _check_frame(stream, end)
        else:
            raise _Damaged if stream.tell() > 4 else _OtherFormat


def _check_frame(stream: BinaryIO, end: int) -> None:
    descriptor = _read_number(stream, 1)
    single_segment = descriptor >> 5 & 1
    header = (1 - single_segment) + _DICTIONARY_ID_BYTES[descriptor & 3]
    header += _CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
    _skip(stream, header, end)
    is_last = False
    while not is_last:
        block = _read_number(stream, 3)
        is_last, type_, size = bool(block & 1), block >> 1 & 3, block >> 3
        if type_ == _RESERVED_BLOCK:
            raise _Damaged
        _skip(stream, 1 if type_ == _RLE_BLOCK else size, end)
    has_checksum = descriptor >> 2 & 1
    _skip(stream, 4 if has_checksum else 0, end)


def _read_number(stream: BinaryIO, size: int) -> int:
    data = stream.read(size)
    if len(data) < size:
        raise _Truncated
    return int.from_bytes(data, "little")


def _skip(stream: BinaryIO, size: int, end: int) -> None:
    if stream.seek(size, 1) > end:
        raise _Truncated


_CHECKS = {".gz": ("gzip", _check_gzip), ".zst": ("zstd", _check_zstd)}
