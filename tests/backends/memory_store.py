"""A store of bytes in memory, with what a bucket guarantees and nothing more."""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from segctl.backends.byte_store import ListedKey, StoredBytes, WriteConflict


def ignore(action: str, key: str) -> None:
    """Let a request pass."""


class MemoryStore:
    """All processes of a test share one. ``before`` and ``after`` are called at each request.

    They get what is done (read, write, list, delete) and the key; an error from them is the error
    of the request, ``after`` it was carried out.
    """

    name = "s3://bucket/state"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = ignore
        self.after: Callable[[str, str], None] = ignore
        self.conditional = True
        self._numbers = count(1)
        self._mutex = threading.Lock()

    def become(self, objects: Mapping[str, bytes], versions: Mapping[str, str]) -> None:
        """Take what is stored from elsewhere."""
        self.objects.clear()
        self.objects.update(objects)
        self.versions.clear()
        self.versions.update(versions)

    def count(self, action: str) -> int:
        """Return how many requests did this."""
        return sum(done == action for done, _ in self.requests)

    def wait_for(self, action: str, key: str, *, times: int) -> threading.Event:
        """Return an event that is set when this request was made so many times."""
        event = threading.Event()

        def count_down(*_: str) -> None:
            if self.requests.count((action, key)) >= times:
                event.set()

        self.after = count_down
        return event

    def _begin(self, action: str, key: str) -> None:
        self.before(action, key)
        self.requests.append((action, key))

    def _store(self, key: str, data: bytes) -> str:
        self.objects[key] = data
        self.versions[key] = str(next(self._numbers))
        return self.versions[key]

    def read(self, key: str) -> StoredBytes | None:
        self._begin("read", key)
        with self._mutex:
            data = self.objects.get(key)
            found = None if data is None else StoredBytes(data=data, version=self.versions[key])
        self.after("read", key)
        return found

    def write_new(self, key: str, data: bytes) -> str:
        self._begin("write", key)
        with self._mutex:
            if self.conditional and key in self.objects:
                raise WriteConflict(key)
            version = self._store(key, data)
        self.after("write", key)
        return version

    def replace(self, key: str, data: bytes, *, version: str) -> str:
        self._begin("write", key)
        with self._mutex:
            if self.conditional and self.versions.get(key) != version:
                raise WriteConflict(key)
            version = self._store(key, data)
        self.after("write", key)
        return version

    def upload(self, key: str, file: Path) -> None:
        self._begin("write", key)
        with self._mutex:
            self._store(key, file.read_bytes())
        self.after("write", key)

    def download(self, key: str, file: Path) -> bool:
        found = self.read(key)
        if found is not None:
            file.write_bytes(found.data)
        return found is not None

    def list(self, prefix: str) -> Mapping[str, ListedKey]:
        self._begin("list", prefix)
        with self._mutex:
            listed = {
                key: ListedKey(size=len(data), modified=1_767_323_045.0)
                for key, data in self.objects.items()
                if key.startswith(f"{prefix}/")
            }
        self.after("list", prefix)
        return listed

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._begin("delete", key)
            with self._mutex:
                self.objects.pop(key, None)
                self.versions.pop(key, None)
            self.after("delete", key)
