"""Objects in buckets: found by their names, brought into scratch files when they are read.

What is found is fixed at that moment by its ETag and size.  An object that is another
one when it comes, or comes in part, is an error and never a short list.
"""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segctl.core.disk import Disk, translate_scratch_errors
from segctl.engine.base import SourceError
from segctl.manifests.object_urls import ObjectUrl, parse_object_url
from segctl.sources import object_store_errors as failures
from segctl.sources.globs import fits, fixed_part, is_pattern

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK = 4 << 20
_AT_ONCE = 4
_LONGEST_STEP = 100

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """How long, in seconds, a store may take.

    ``total`` for the listing or the download of one source, ``stall`` without a byte,
    ``retrying`` for one request that fails again and again, at most ``retries`` times.
    """

    total: float = 3600.0
    stall: float = 60.0
    retrying: float = 60.0
    retries: int = 5


@dataclass(frozen=True, kw_only=True)
class FoundObject:
    """One object as it was when it was found; ``size`` in bytes.

    ``e_tag`` and ``version`` are what the store says of its content, ``None`` where it
    says nothing.
    """

    address: ObjectUrl
    size: int
    e_tag: str | None
    version: str | None

    @property
    def content_id(self) -> str | None:
        """What tells this content from any other under the name, ``None`` where unknown.

        A weak ETag stands for contents that are merely alike.
        """
        if not self.e_tag or self.e_tag.startswith("W/"):
            return None
        return f"{self.address} {self.e_tag} {self.size} {self.version or ''}".rstrip()


class ObjectFetcher:
    """The objects that a run has found, and the scratch files that they come into.

    Files lie in ``scratch`` below the folders of their names, which may say partitions.
    """

    def __init__(self, scratch: Path, *, limits: StoreLimits | None = None) -> None:
        self._scratch = scratch
        self._limits = limits or StoreLimits()
        self._numbers = count()
        self._found: dict[str, FoundObject] = {}
        self._places: dict[str, Path] = {}
        self._names: dict[Path, str] = {}

    def find(self, path: str) -> tuple[str, ...]:
        """Give the addresses of the objects that a path stands for, sorted; at least one.

        The path is that of an object, that of a folder, which stands for all objects
        below it, or a pattern.  Raises ``SourceError``.
        """
        where = parse_object_url(path)
        if where is None:
            raise failures.no_address()
        found = self._run(where, partial(_find, where=where))
        self._found.update((str(one.address), one) for one in found)
        return tuple(sorted(str(one.address) for one in found))

    def locate(self, name: str) -> Path:
        """Give the scratch file that an object which was found will be in, once brought."""
        if name not in self._places:
            steps = [_shortened(step) for step in self._found[name].address.key.split("/")]
            path = self._scratch.joinpath(f"objects_{next(self._numbers)}", *steps)
            self._places[name], self._names[path] = path, name
        return self._places[name]

    def strip_scratch_folder(self, text: str) -> str:
        """Give a text without the scratch folder in it, which each run has another of."""
        return text.replace(f"{self._scratch}/", "")

    def address_of(self, file: Path) -> str | None:
        """Give the address of the object whose scratch file this is."""
        return self._names.get(file)

    def content_id_of(self, file: Path) -> str | None:
        """Give what tells the content of an object without its bytes; see ``FoundObject``."""
        name = self._names.get(file)
        return self._found[name].content_id if name else None

    def download(self, files: Iterable[Path]) -> None:
        """Bring what is not there yet of objects among the files; raises ``SourceError``."""
        missing = [file for file in files if file in self._names and not file.exists()]
        buckets: dict[tuple[str, str], dict[Path, FoundObject]] = {}
        for file in missing:
            found = self._found[self._names[file]]
            bucket = (found.address.scheme, found.address.bucket)
            buckets.setdefault(bucket, {})[file] = found
        for wanted in buckets.values():
            [where, *_] = (found.address for found in wanted.values())
            with translate_scratch_errors(self._scratch):
                self._run(where, partial(_download_all, wanted=wanted))

    def _run(
        self, where: ObjectUrl, work: "Callable[[ObjectStore], Coroutine[Any, Any, _T]]"
    ) -> _T:
        """Work on a bucket for as long as the limits allow; cut off at once by a signal."""
        import asyncio  # noqa: PLC0415 - heavy, and few sources lie in buckets

        try:
            import obstore  # noqa: F401, PLC0415 - heavy, and an extra
        except ImportError:
            raise failures.no_library() from None

        async def limited() -> _T:
            async with asyncio.timeout(self._limits.total):
                return await work(_store(where, self._limits))

        try:
            return asyncio.run(limited())
        except TimeoutError:
            raise failures.too_slow(where, self._limits.total) from None


def _store(where: ObjectUrl, limits: StoreLimits) -> "ObjectStore":
    """Open a bucket; region, endpoint and credentials come from the environment."""
    from obstore import store  # noqa: PLC0415 - loaded by the caller

    kinds: Mapping[str, Any] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    failures.check_settings(where, os.environ)
    with failures.explained(where):
        opened: ObjectStore = kinds[where.scheme](
            where.bucket,
            # Not as client_options: they would take the place of those in the environment.
            config={
                "connect_timeout": f"{min(10.0, limits.stall):g} seconds",
                "read_timeout": f"{limits.stall:g} seconds",
                "timeout": f"{limits.total:g} seconds",
            },
            retry_config={
                "max_retries": limits.retries,
                "retry_timeout": timedelta(seconds=limits.retrying),
            },
        )
    return opened


async def _find(store: "ObjectStore", where: ObjectUrl) -> list[FoundObject]:
    if is_pattern(where.key):
        folder, steps = fixed_part(where.key)
        folder = "" if folder == "." else folder
    else:
        if where.key and not where.key.endswith("/"):
            found = await _head(store, where)
            if found:
                return [found]
        folder, steps = where.key.rstrip("/"), ("**",)
    depth = len(folder.split("/")) if folder else 0
    matching = [
        found
        async for found in _listed(store, where, folder)
        if fits(found.address.key.split("/")[depth:], steps)
    ]
    there = await _without_marks(store, matching)
    if not there:
        raise failures.nothing_there(where)
    return there


async def _without_marks(store: "ObjectStore", listed: Iterable[FoundObject]) -> list[FoundObject]:
    """Pass over the empty objects that stand for folders, which some tools put there.

    Their names end in a slash, which the library takes away: a look at the name without
    it tells them from files that are empty.
    """
    found: dict[ObjectUrl, FoundObject | None] = {}
    for each in listed:
        if each.size or each.address not in found:
            found[each.address] = each

    async def look(where: ObjectUrl) -> None:
        found[where] = await _head(store, where)

    empty = [where for where, each in found.items() if each and not each.size]
    await _few_at_once(partial(look, where) for where in empty)
    return [each for each in found.values() if each]


async def _head(store: "ObjectStore", where: ObjectUrl) -> FoundObject | None:
    import obstore  # noqa: PLC0415 - loaded by the caller

    try:
        with failures.explained(where):
            return _described(where, await obstore.head_async(store, where.key))
    except failures.NoObject:
        return None


async def _listed(
    store: "ObjectStore", where: ObjectUrl, folder: str
) -> AsyncIterator[FoundObject]:
    import obstore  # noqa: PLC0415 - loaded by the caller

    with failures.explained(where):
        async for listed in obstore.list(store, prefix=folder or None):
            for each in listed:
                yield _described(where, each)


def _described(where: ObjectUrl, each: Mapping[str, Any]) -> FoundObject:
    return FoundObject(
        address=ObjectUrl(scheme=where.scheme, bucket=where.bucket, key=str(each["path"])),
        size=int(each["size"]),
        e_tag=_quoted(each["e_tag"]),
        version=each["version"],
    )


def _quoted(e_tag: str | None) -> str | None:
    """Give an ETag as it stands in headers; Azure's listings leave its quotes away."""
    plain = e_tag and not e_tag.startswith(('"', "W/"))
    return f'"{e_tag}"' if plain else e_tag


async def _download_all(store: "ObjectStore", wanted: Mapping[Path, FoundObject]) -> None:
    """Download objects."""
    await _few_at_once(partial(_download, store, found, file) for file, found in wanted.items())


async def _few_at_once(works: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Do things with a store side by side, up to the first that fails."""
    import asyncio  # noqa: PLC0415 - loaded by the caller

    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with slots:
            await work()

    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(one(work))
    except BaseExceptionGroup as several:
        # The first that failed; the others were canceled for it.
        raise several.exceptions[0] from None


async def _download(store: "ObjectStore", found: FoundObject, file: Path) -> None:
    import obstore  # noqa: PLC0415 - loaded by the caller

    where = found.address
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    came = 0
    disk = Disk()
    descriptor = disk.create(part)
    try:
        with failures.explained(where):
            answer = await obstore.get_async(store, where.key, options={"if_match": found.e_tag})
            now = _described(where, answer.meta)
            if (now.size, now.e_tag) != (found.size, found.e_tag):
                raise failures.changed(where)
        with failures.explained(where, coming=True):
            async for chunk in answer.stream(_CHUNK):
                _write(disk, descriptor, memoryview(chunk))
                came += len(chunk)
    finally:
        os.close(descriptor)
    if came != found.size:
        raise failures.cut_short(where, came=came, size=found.size)
    part.rename(file)


def _write(disk: Disk, descriptor: int, data: memoryview) -> None:
    while data:
        data = data[disk.write(descriptor, data) :]


def _shortened(step: str) -> str:
    """Give a folder or file name that any disk takes, its end with the format kept."""
    if len(step) <= _LONGEST_STEP:
        return step
    if "=" in step:
        raise SourceError(
            "bad-path", f"the partition {step[:40]}… has a name that is too long", "Shorten it."
        )
    return step[-_LONGEST_STEP:]
