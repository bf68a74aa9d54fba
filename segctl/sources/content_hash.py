"""The content of files, told by digests: whether a source is what it was, without its rows.

A file's digest is that of its chunks' digests, so that a large file keeps all
processors busy.  Bytes are hashed, never times or sizes: a copy, a checkout and a
restored backup are the same source.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

CHUNK = 8 << 20
"""Bytes that are hashed in one go, by one thread."""

_PIECE = 1 << 20
_THREADS = 4

FileDigests = Mapping[Path, str]
"""The digest of each file that could be read, by its path: 64 hexadecimal digits."""


def digest_files(files: Iterable[Path]) -> FileDigests:
    """Read the files once and give their digests; one that cannot be read is left out."""
    sizes = {file: size for file in dict.fromkeys(files) if (size := _size(file)) is not None}
    chunks = [(file, start) for file, size in sizes.items() for start in range(0, size, CHUNK)]
    hashed = _hashed(chunks)
    found: dict[Path, str] = {}
    for file, size in sizes.items():
        leaves = [hashed[file, start] for start in range(0, size, CHUNK)]
        if None not in leaves:
            root = hashlib.sha256(b"".join([size.to_bytes(8), *filter(None, leaves)]))
            found[file] = root.hexdigest()
    return found


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _hashed(chunks: list[tuple[Path, int]]) -> Mapping[tuple[Path, int], bytes | None]:
    if len(chunks) < 2:
        return {chunk: _chunk(*chunk) for chunk in chunks}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - heavy for a small plan

    pool = ThreadPoolExecutor(max_workers=min(_THREADS, os.cpu_count() or 1))
    try:
        return dict(zip(chunks, pool.map(lambda chunk: _chunk(*chunk), chunks), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # a signal must not wait for gigabytes


def _chunk(file: Path, start: int) -> bytes | None:
    """Hash one chunk, ``None`` where it cannot be read whole."""
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(start)
            left = CHUNK
            while left and (piece := stream.read(min(_PIECE, left))):
                digest.update(piece)
                left -= len(piece)
    except OSError:
        return None
    return digest.digest()
