"""A store of bytes: what a place must offer so that ``remote.py`` can keep a state in it.

A store for another kind of place is one module with one class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from segctl.core.dataclass import dataclass


class WriteConflict(Exception):
    """The condition of a write does not hold: the key has other bytes, or another version."""


@dataclass(frozen=True, kw_only=True)
class StoredBytes:
    """The bytes of one key. ``version`` changes with every write of other bytes."""

    data: bytes = field(repr=False)
    version: str


@dataclass(frozen=True, kw_only=True)
class ListedKey:
    """One key of a listing: its size in bytes, and when it was written (seconds since 1970)."""

    size: int
    modified: float


class ByteStore(Protocol):
    """Bytes by key. Keys are paths with slashes; every write is complete or did not happen.

    All methods raise ``OperationError`` if the store does not answer or does not allow it. A write
    that ended in such an error may still have happened, or may happen later.

    ``name`` is how messages name the store, such as ``s3://bucket/prefix``.
    """

    name: str

    def read(self, key: str) -> StoredBytes | None:
        """Return the bytes of a key, or ``None`` if there is no such key."""

    def write_new(self, key: str, data: bytes) -> str:
        """Write a key that does not exist and return its version; raises ``WriteConflict``.

        Writing the same bytes again may succeed.
        """

    def replace(self, key: str, data: bytes, *, version: str) -> str:
        """Write a key that still has ``version``, return the new one; raises ``WriteConflict``."""

    def upload(self, key: str, file: Path) -> None:
        """Write a file of any size. An existing key is overwritten."""

    def download(self, key: str, file: Path) -> bool:
        """Write a key of any size to a new file; return whether the key exists."""

    def list(self, prefix: str) -> Mapping[str, ListedKey]:
        """Return all keys in the folder ``prefix`` and below. It may lack recent writes."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete keys. Keys that do not exist are ignored."""
