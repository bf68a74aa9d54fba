"""Digests of file content, which show whether a source changed without reading its rows.

A file's digest is built from digests of its chunks, so that several processors can share a
large file. Times are not part of it: a copy, a checkout and a restored backup are the same
source.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

CHUNK_BYTES = 8 << 20
"""How many bytes one thread hashes at a time."""

_READ_BYTES = 1 << 20
_THREADS = 4

FileDigests = Mapping[Path, str]
"""Digests by file, each of 64 hexadecimal digits."""


def digest_files(files: Iterable[Path]) -> FileDigests:
    """Return the digest of each file. Files that cannot be read are missing from the result."""
    sizes = {file: size for file in dict.fromkeys(files) if (size := _size(file)) is not None}
    chunks = [
        (file, start) for file, size in sizes.items() for start in range(0, size, CHUNK_BYTES)
    ]
    hashed = _hash_chunks(chunks)
    digests: dict[Path, str] = {}
    for file, size in sizes.items():
        leaves = [hashed[file, start] for start in range(0, size, CHUNK_BYTES)]
        if None not in leaves:
            root = hashlib.sha256(b"".join([size.to_bytes(8), *filter(None, leaves)]))
            digests[file] = root.hexdigest()
    return digests


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _hash_chunks(chunks: list[tuple[Path, int]]) -> Mapping[tuple[Path, int], bytes | None]:
    if len(chunks) < 2:
        return {chunk: _hash_chunk(*chunk) for chunk in chunks}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - heavy for a small plan

    pool = ThreadPoolExecutor(max_workers=min(_THREADS, os.cpu_count() or 1))
    try:
        hashed = pool.map(lambda chunk: _hash_chunk(*chunk), chunks)
        return dict(zip(chunks, hashed, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # a signal must not wait for gigabytes


def _hash_chunk(file: Path, start: int) -> bytes | None:
    """Return the digest of one chunk, or None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(start)
            left = CHUNK_BYTES
            while left and (data := stream.read(min(_READ_BYTES, left))):
                digest.update(data)
                left -= len(data)
    except OSError:
        return None
    return digest.digest()
