"""A folder of a bucket as a store of bytes, through obstore: S3, Google Cloud Storage, Azure."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segctl.backends.byte_store import ListedKey, StoredBytes, WriteConflict
from segctl.buckets.bucket import StoreLimits, open_bucket
from segctl.buckets.errors import BucketError, NoObject, ObjectChanged, explained
from segctl.core.disk import Disk, create_scratch_file
from segctl.core.errors import OperationError
from segctl.manifests.object_urls import ObjectUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore

STATE_LIMITS = StoreLimits(total=600.0, stall=20.0, retrying=20.0, retries=4)
"""Time limits for a state: its holder has to notice soon that the bucket does not answer."""

_CHUNK_BYTES = 4 << 20
_MAX_TRIES = 5


class BucketStore:
    """The objects below ``url``; ``byte_store.ByteStore`` has the contract.

    Region, endpoint and credentials come from the environment.
    """

    def __init__(self, url: ObjectUrl, *, limits: StoreLimits = STATE_LIMITS) -> None:
        self._url = url
        self._limits = limits
        self.name = str(url).rstrip("/")
        self._prefix = f"{url.key.strip('/')}/" if url.key.strip("/") else ""

    @cached_property
    def _store(self) -> "ObjectStore":
        try:
            return open_bucket(self._url, self._limits, is_written=True)
        except ImportError:
            raise missing_remote() from None

    def read(self, key: str) -> StoredBytes | None:
        """Return the bytes of an object, or ``None`` if there is no such object."""
        store = self._store
        try:
            with explained(self._url_of(key)):
                response = store.get(self._prefix + key)
                version = _encode_version(response.meta)
            with explained(self._url_of(key), downloading=True):
                return StoredBytes(data=bytes(response.bytes()), version=version)
        except NoObject:
            return None

    def write_new(self, key: str, data: bytes) -> str:
        """Write an object that does not exist; raises ``WriteConflict``."""
        return self._put_if(key, data, mode="create", version=None)

    def replace(self, key: str, data: bytes, *, version: str) -> str:
        """Write an object that still has ``version``; raises ``WriteConflict``."""
        return self._put_if(key, data, mode=_decode_version(version), version=version)

    def _put_if(self, key: str, data: bytes, *, mode: Any, version: str | None) -> str:
        """Write an object under a condition.

        A conflict is no proof: the library repeats a request after a server's error, so the
        conflict may be with the own write, and S3 answers 409 to one of two requests at the same
        time although it wrote neither. What is stored decides.
        """
        store = self._store
        url = self._url_of(key)
        for _ in range(_MAX_TRIES):
            try:
                with explained(url, action="write"):
                    result = store.put(self._prefix + key, data, mode=mode, use_multipart=False)
                return _encode_version(result)
            except (ObjectChanged, NoObject) as error:
                stored = self.read(key)
                if stored is not None and stored.data == data:
                    return stored.version
                if (stored and stored.version) != version:
                    raise WriteConflict(key) from error
        raise BucketError(
            "store-failed",
            f"the store refused to write {url} {_MAX_TRIES} times, although nothing had changed",
            "Run the same command again later.",
        )

    def upload(self, key: str, file: Path) -> None:
        """Write a file of any size, in parts if it is large."""
        store = self._store
        with explained(self._url_of(key), action="write"):
            store.put(self._prefix + key, file)

    def download(self, key: str, file: Path) -> bool:
        """Write an object to a new file; return whether the object exists."""
        store = self._store
        url = self._url_of(key)
        try:
            with explained(url):
                response = store.get(self._prefix + key)
        except NoObject:
            return False
        received = 0
        with create_scratch_file(file) as target, explained(url, downloading=True):
            for chunk in response.stream(_CHUNK_BYTES):
                received += target.write(chunk)
        if received != (size := int(response.meta["size"])):
            with suppress(OSError):
                Disk().unlink(file)
            raise BucketError(
                "connection-lost",
                f"{url} has {size:,} bytes, but {received:,} were received",
                "Run the same command again.",
            )
        return True

    def list(self, prefix: str) -> Mapping[str, ListedKey]:
        """Return the objects below ``prefix``."""
        store = self._store
        found = {}
        with explained(self._url_of(prefix), action="list"):
            for page in store.list(prefix=f"{self._prefix}{prefix}".rstrip("/")):
                for meta in page:
                    key = str(meta["path"]).removeprefix(self._prefix)
                    modified = meta["last_modified"].timestamp()
                    found[key] = ListedKey(size=int(meta["size"]), modified=modified)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, many with one request if the store can."""
        if not keys:
            return
        store = self._store
        paths = [self._prefix + key for key in keys]
        try:
            with explained(self._url_of(keys[0]), action="delete"):
                store.delete(paths)
        except NoObject:
            # Azure and Google report an object that is gone, and may not get to the others.
            for path in paths:
                with suppress(NoObject), explained(self._url_of(keys[0]), action="delete"):
                    store.delete(path)

    def _url_of(self, key: str) -> ObjectUrl:
        return ObjectUrl(
            scheme=self._url.scheme, bucket=self._url.bucket, key=f"{self._prefix}{key}"
        )


def missing_remote() -> OperationError:
    """Return the error for an installation without the libraries that a state in a bucket needs."""
    return OperationError(
        "a state in a bucket needs libraries that are not installed",
        hint="Install them: pip install 'segctl[remote]'.",
    )


def _encode_version(meta: Mapping[str, Any]) -> str:
    """Return ETag and version id as one text: S3 and Azure compare the one, Google the other."""
    return f"{meta['e_tag'] or ''}\n{meta['version'] or ''}"


def _decode_version(version: str) -> dict[str, str]:
    e_tag, _, version_id = version.partition("\n")
    known = {"e_tag": e_tag, "version": version_id}
    return {name: value for name, value in known.items() if value}
