"""Objects in buckets: listed by name, downloaded into scratch files when they are read.

Listing records each object's ETag and size. An object that changes or is truncated during
download is an error; it never yields a partial list.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segctl.buckets import errors
from segctl.buckets.bucket import StoreLimits, open_bucket
from segctl.core.dataclass import dataclass
from segctl.core.disk import Disk, translate_scratch_errors
from segctl.engine.model import SourceError
from segctl.engine.source_errors import NOT_USED, missing_library
from segctl.manifests.object_urls import URL_FORMS, ObjectUrl, parse_object_url
from segctl.sources.globs import SKIPPED_NAMES, is_pattern, matches, split_pattern

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK_BYTES = 4 << 20
_MAX_CONCURRENT = 4
_MAX_NAME_CHARACTERS = 100

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class FoundObject:
    """One object as it was listed. ``size`` is in bytes.

    ``e_tag`` and ``version`` identify its content. None if the store does not report them.
    """

    url: ObjectUrl
    size: int
    e_tag: str | None
    version: str | None

    @property
    def content_id(self) -> str | None:
        """A text that changes with the content, or None without a strong ETag.

        A weak ETag may be the same for different bytes.
        """
        if not self.e_tag or self.e_tag.startswith("W/"):
            return None
        return f"{self.url} {self.e_tag} {self.size} {self.version or ''}".rstrip()


class ObjectFetcher:
    """Finds objects and downloads them into scratch files.

    Each file is in ``scratch``, below folders with the names of its key, which can contain
    partition values.
    """

    def __init__(self, scratch: Path, *, limits: StoreLimits | None = None) -> None:
        self._scratch = scratch
        self._limits = limits or StoreLimits()
        self._numbers = count()
        self._found: dict[str, FoundObject] = {}
        self._files: dict[str, Path] = {}
        self._urls: dict[Path, str] = {}
        self._failures: dict[str, SourceError] = {}

    def find(self, path: str) -> tuple[str, ...]:
        """Return the URLs of the objects that a path means, sorted, at least one.

        The path is an object, a folder (all objects below it) or a pattern. Raises
        ``SourceError``.
        """
        url = parse_object_url(path)
        if url is None:
            raise _not_an_object_url()
        found = self._run(url, partial(_find, url=url))
        self._found.update((str(each.url), each) for each in found)
        return tuple(sorted(str(each.url) for each in found))

    def locate(self, name: str) -> Path:
        """Return the scratch file of an object that ``find`` returned. It may not exist yet."""
        if name not in self._files:
            steps = [_shorten(step) for step in self._found[name].url.key.split("/")]
            file = self._scratch.joinpath(f"objects_{next(self._numbers)}", *steps)
            self._files[name], self._urls[file] = file, name
        return self._files[name]

    def strip_scratch_folder(self, text: str) -> str:
        """Remove the scratch folder, which differs from run to run, from a text with paths."""
        return text.replace(f"{self._scratch}/", "")

    def url_of(self, file: Path) -> str | None:
        """Return the URL of the object with this scratch file, or None."""
        return self._urls.get(file)

    def content_id_of(self, file: Path) -> str | None:
        """Return the ``FoundObject.content_id`` of the object with this scratch file, or None."""
        name = self._urls.get(file)
        return self._found[name].content_id if name else None

    def download(self, files: Iterable[Path]) -> None:
        """Download the objects of these scratch files that do not exist yet.

        Other files are ignored. Raises ``SourceError``.
        """
        missing = [file for file in files if file in self._urls and not file.exists()]
        buckets: dict[tuple[str, str], dict[Path, FoundObject]] = {}
        for file in missing:
            found = self._found[self._urls[file]]
            bucket = (found.url.scheme, found.url.bucket)
            buckets.setdefault(bucket, {})[file] = found
        for wanted in buckets.values():
            [url, *_] = (found.url for found in wanted.values())
            with translate_scratch_errors(self._scratch):
                self._run(url, partial(_download_all, wanted=wanted))

    def _run(self, url: ObjectUrl, work: "Callable[[ObjectStore], Coroutine[Any, Any, _T]]") -> _T:
        """Open a bucket and run ``work`` on it within the time limit.

        A signal interrupts it at once. A bucket that cannot be read at all is asked once.
        """
        bucket = f"{url.scheme}://{url.bucket}"
        if bucket in self._failures:
            raise self._failures[bucket]
        import asyncio  # noqa: PLC0415 - heavy, and few sources are in buckets

        try:
            import obstore  # noqa: F401, PLC0415 - heavy, and an extra
        except ImportError:
            raise missing_library("reading from buckets", "obstore", "remote") from None

        async def limited() -> _T:
            async with asyncio.timeout(self._limits.total):
                return await work(open_bucket(url, self._limits))

        try:
            return asyncio.run(limited())
        except TimeoutError:
            raise _store_timeout(url, self._limits.total) from None
        except errors.BucketError as error:
            failure = SourceError(error.code, error.message, error.hint)
            if error.is_bucket_wide:
                failure.service = bucket
                self._failures[bucket] = failure
            raise failure from None


async def _find(store: "ObjectStore", url: ObjectUrl) -> list[FoundObject]:
    if is_pattern(url.key):
        folder, parts = split_pattern(url.key)
        listed = [found async for found in _list(store, url, "" if folder == "." else folder)]
        matching = _match(listed, url.key, folder, parts)
    else:
        if url.key and not url.key.endswith("/"):
            found = await _head(store, url)
            if found:
                return [found]
        folder = url.key.rstrip("/")
        listed = [found async for found in _list(store, url, folder)]
        matching = _match_parts(listed, folder, ("**",))
    objects = await _without_folder_markers(store, matching)
    if not objects:
        raise _no_object(url)
    return objects


def _match(
    listed: Sequence[FoundObject], key: str, folder: str, parts: Sequence[str]
) -> list[FoundObject]:
    """Return the objects that a pattern means.

    As for files, an object or a folder with exactly this name counts before those that match.
    """
    same = [found for found in listed if found.url.key == key]
    name = key.rstrip("/")
    below = [found for found in listed if found.url.key.startswith(f"{name}/")]
    if same or not below:
        return same or _match_parts(listed, "" if folder == "." else folder, parts)
    return _match_parts(below, name, ("**",))


def _match_parts(
    listed: Iterable[FoundObject], folder: str, parts: Sequence[str]
) -> list[FoundObject]:
    """Return the objects whose names below a folder match pattern parts."""
    depth = len(folder.split("/")) if folder else 0
    return [found for found in listed if matches(found.url.key.split("/")[depth:], parts)]


async def _without_folder_markers(
    store: "ObjectStore", listed: Iterable[FoundObject]
) -> list[FoundObject]:
    """Remove the empty objects with which some tools mark folders.

    Their names end in a slash, which the library strips. A request for the name without the
    slash shows whether an empty object is a marker or an empty file.
    """
    found: dict[ObjectUrl, FoundObject | None] = {}
    for each in listed:
        if each.size or each.url not in found:
            found[each.url] = each

    async def look_up(url: ObjectUrl) -> None:
        found[url] = await _head(store, url)

    empty = [url for url, each in found.items() if each and not each.size]
    await _run_concurrently(partial(look_up, url) for url in empty)
    return [each for each in found.values() if each]


async def _head(store: "ObjectStore", url: ObjectUrl) -> FoundObject | None:
    import obstore  # noqa: PLC0415 - loaded by the caller

    try:
        with errors.explained(url):
            return _found_object(url, await obstore.head_async(store, url.key))
    except errors.NoObject:
        return None


async def _list(store: "ObjectStore", url: ObjectUrl, folder: str) -> AsyncIterator[FoundObject]:
    import obstore  # noqa: PLC0415 - loaded by the caller

    with errors.explained(url):
        async for page in obstore.list(store, prefix=folder or None):
            for metadata in page:
                yield _found_object(url, metadata)


def _found_object(url: ObjectUrl, metadata: Mapping[str, Any]) -> FoundObject:
    key = str(metadata["path"])
    return FoundObject(
        url=ObjectUrl(scheme=url.scheme, bucket=url.bucket, key=key),
        size=int(metadata["size"]),
        e_tag=_quote_e_tag(metadata["e_tag"]),
        version=metadata["version"],
    )


def _quote_e_tag(e_tag: str | None) -> str | None:
    """Return an ETag as headers have it. Azure's listings omit the quotes."""
    unquoted = e_tag and not e_tag.startswith(('"', "W/"))
    return f'"{e_tag}"' if unquoted else e_tag


async def _download_all(store: "ObjectStore", wanted: Mapping[Path, FoundObject]) -> None:
    await _run_concurrently(
        partial(_download, store, found, file) for file, found in wanted.items()
    )


async def _run_concurrently(works: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Run several works at a time. Raises the first error and cancels the others."""
    import asyncio  # noqa: PLC0415 - loaded by the caller

    slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def run_one(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with slots:
            await work()

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(run_one(work))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


async def _download(store: "ObjectStore", found: FoundObject, file: Path) -> None:
    import obstore  # noqa: PLC0415 - loaded by the caller

    url = found.url
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    received = 0
    disk = Disk()
    descriptor = disk.create(part)
    try:
        with errors.explained(url):
            response = await obstore.get_async(store, url.key, options={"if_match": found.e_tag})
            # Some stores ignore the condition.
            current = _found_object(url, response.meta)
            if (current.size, current.e_tag) != (found.size, found.e_tag):
                raise errors.object_changed(url)
        with errors.explained(url, downloading=True):
            async for chunk in response.stream(_CHUNK_BYTES):
                _write_all(disk, descriptor, memoryview(chunk))
                received += len(chunk)
    finally:
        os.close(descriptor)
    if received != found.size:
        raise _truncated(url, received=received, size=found.size)
    part.rename(file)


def _write_all(disk: Disk, descriptor: int, data: memoryview) -> None:
    while data:
        data = data[disk.write(descriptor, data) :]


def _shorten(name: str) -> str:
    """Return a file or folder name that every disk accepts. Keeps its end, with the format."""
    if len(name) <= _MAX_NAME_CHARACTERS:
        return name
    if "=" in name:
        raise SourceError(
            "bad-path",
            f"the name of the partition {name[:40]}… is longer than {_MAX_NAME_CHARACTERS} "
            "characters",
            "Shorten it.",
        )
    return name[-_MAX_NAME_CHARACTERS:]


def _not_an_object_url() -> SourceError:
    """Return the error for a malformed URL. It is not shown, as it may contain credentials."""
    return SourceError(
        "bad-path",
        "a path with :// in it is not the URL of an object",
        f"Write {URL_FORMS}. Credentials come from the environment.",
    )


def _no_object(url: ObjectUrl) -> SourceError:
    """Return the error for a URL, a folder or a pattern without objects."""
    if is_pattern(url.key):
        return SourceError("missing-file", f"no object matches {url}", SKIPPED_NAMES)
    if not url.key or url.key.endswith("/"):
        summary = f"the folder {url} contains no objects"
        return SourceError("missing-file", summary, SKIPPED_NAMES)
    return SourceError("missing-file", f"there is no object {url}", "Check the URL.")


def _truncated(url: ObjectUrl, *, received: int, size: int) -> SourceError:
    """Return the error for an object of which only a part was received."""
    summary = f"{url} has {size:,} bytes, but {received:,} were received"
    return SourceError("connection-lost", summary, NOT_USED)


def _store_timeout(url: ObjectUrl, seconds: float) -> SourceError:
    """Return the error for a listing or download that exceeds its time limit."""
    return SourceError(
        "store-timeout",
        f"reading {url} took longer than {seconds:g} seconds",
        "Check the network, or split the data into several sources.",
    )
