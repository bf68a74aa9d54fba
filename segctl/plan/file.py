"""Saved plans: one file that holds the plan, its delta and its batches.

A zip, not compressed, of ``manifest.json``, ``plan.json``, ``delta.parquet`` and
``batches.parquet``.  The manifest holds the SHA-256 of the others: it finds
damage and editing by hand, and is no signature.  Members of the zip are read by
these names only, so that no name in it can lead anywhere.
"""

import errno
import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
import struct
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from segctl.core import codec as value_codec
from segctl.core.codec import DecodeError
from segctl.core.disk import Disk, explained, open_file, sha256_of
from segctl.core.errors import OperationError
from segctl.plan import codec as plan_codec
from segctl.plan.model import Plan

_MANIFEST, _PLAN, _DELTA, _BATCHES = (
    "manifest.json",
    "plan.json",
    "delta.parquet",
    "batches.parquet",
)
_ADVICE = "Make a new one with `segctl plan --out FILE`."
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LoadedPlan:
    """A saved plan, and where its delta and batches were put."""

    plan: Plan
    delta: Path
    batches: Path


def save_plan(
    path: Path, *, plan: Plan, delta: Path, batches: Path, disk: Disk | None = None
) -> None:
    """Write a plan file, mode 0600, where there is nothing, an empty file or an older plan.

    The old or the new file is there after a crash; what else a killed run left is removed
    by the next one.  Raises ``OperationError``.
    """
    disk = disk or Disk()
    _check_replaceable(path)
    _clear_left(path, disk)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with explained(f"save the plan as {path}"):
        document = value_codec.dump(plan_codec.encode(plan))
        files = {
            _PLAN: hashlib.sha256(document).hexdigest(),
            _DELTA: sha256_of(delta),
            _BATCHES: sha256_of(batches),
        }
        manifest = {
            "version": plan_codec.VERSION,
            "segctl_version": plan.segctl_version,
            "files": files,
        }
        with disk.creating(temporary) as descriptor:
            with suppress(OSError):  # some network mounts cannot lock; then nobody clears there
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with zipfile.ZipFile(_Sink(disk, descriptor), "w") as archive:
                for name, data in ((_MANIFEST, value_codec.dump(manifest)), (_PLAN, document)):
                    archive.writestr(zipfile.ZipInfo(name), data)
                for name, source in ((_DELTA, delta), (_BATCHES, batches)):
                    _store(archive, name, source)
            disk.sync(descriptor)
            disk.move(temporary, path)


def read_plan(path: Path) -> Plan:
    """Read the plan alone; raises ``OperationError`` where it is no plan file or is damaged."""
    with _opened(path) as archive:
        return _plan(path, archive, _hashes(path, archive))


def load_plan(path: Path, *, scratch: Path, disk: Disk | None = None) -> LoadedPlan:
    """Read a plan file whole, putting its Parquet files into the folder ``scratch``.

    Raises ``OperationError`` where it is no plan file, is damaged, or was saved by a newer
    segctl; ``StalePlan`` where by an older one whose plans are no longer read.
    """
    disk = disk or Disk()
    with _opened(path) as archive:
        hashes = _hashes(path, archive)
        plan = _plan(path, archive, hashes)
        for name in (_DELTA, _BATCHES):
            with _member(path, archive, name) as source:
                digest = _extract(disk, source, scratch / name)
            _compare(path, name, digest, hashes)
    return LoadedPlan(plan=plan, delta=scratch / _DELTA, batches=scratch / _BATCHES)


def _check_replaceable(path: Path) -> None:
    """Refuse to write over anything but a plan: a slip must not cost a manifest or the state."""
    with explained(f"save the plan as {path}"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        return  # what mktemp leaves
    try:
        with _opened(path) as archive:
            archive.getinfo(_MANIFEST)
    except (OperationError, KeyError) as error:
        raise OperationError(
            f"{path} is there already and is no plan file",
            hint="Nothing was written. Choose another name, or remove it first.",
        ) from error


def _clear_left(path: Path, disk: Disk) -> None:
    """Remove what killed runs left of saving this plan: it holds members in full."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):
        for left in (each for each in path.parent.iterdir() if ours.fullmatch(each.name)):
            with suppress(OSError), open_file(left) as file:
                # Whoever is at work holds the lock, which ends with its process.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_uid == os.geteuid():
                    disk.unlink(left)


class _Sink(io.RawIOBase):
    """What ``zipfile`` writes to: a descriptor behind a ``Disk``, forwards only."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._disk.write_all(self._descriptor, bytes(data))
        return len(data)


def _store(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    with open_file(source) as file:
        info = zipfile.ZipInfo(name)
        # Known beforehand, so that zipfile takes its long form where the short one ends.
        info.file_size = os.fstat(file.fileno()).st_size
        with archive.open(info, "w") as target:
            shutil.copyfileobj(file, target, _CHUNK)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with explained(f"read the plan file {path}"):
        file = open_file(path)
    with file:
        begins_as_zip = file.read(4) == b"PK\3\4"
        try:
            archive = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            if begins_as_zip:
                raise _damaged(path, "its end is missing or garbled") from error
            raise OperationError(f"{path} is not a plan file of segctl", hint=_ADVICE) from error
        with archive:
            yield archive


@contextmanager
def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """Open one of our names, whatever else the zip holds."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        if name == _MANIFEST:
            raise OperationError(f"{path} is not a plan file of segctl", hint=_ADVICE) from error
        raise _damaged(path, f"{name} is missing") from error
    # Stored, as we write it: what is read is never larger than the file itself.
    if info.compress_type != zipfile.ZIP_STORED:
        raise _damaged(path, f"{name} is not what was saved")
    try:
        with archive.open(info) as source:
            yield source
    except _UNREADABLE as error:
        raise _damaged(path, f"{name} cannot be read") from error


_UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    ValueError,
    OSError,
    struct.error,
)
"""What ``zipfile`` raises for a file that is no zip or a broken one."""


def _hashes(path: Path, archive: zipfile.ZipFile) -> Mapping[str, str]:
    with _member(path, archive, _MANIFEST) as source:
        data = source.read()
    try:
        manifest = value_codec.load(data)
    except DecodeError as misfit:
        raise _damaged(path, f"{_MANIFEST}: {misfit}") from misfit
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise _damaged(path, f"{_MANIFEST} is not what was saved")
    plan_codec.check_version(manifest)
    return {name: str(digest) for name, digest in manifest["files"].items()}


def _plan(path: Path, archive: zipfile.ZipFile, hashes: Mapping[str, str]) -> Plan:
    with _member(path, archive, _PLAN) as source:
        data = source.read()
    _compare(path, _PLAN, hashlib.sha256(data).hexdigest(), hashes)
    try:
        document = value_codec.load(data)
    except DecodeError as misfit:
        raise _damaged(path, f"{_PLAN}: {misfit}") from misfit
    if not isinstance(document, dict):
        raise _damaged(path, f"{_PLAN} is not a plan")
    return plan_codec.decode(document)


def _extract(disk: Disk, source: IO[bytes], target: Path) -> str:
    """Write a member of the zip to a new file; give the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    # Its own explanation, inside that of the zip: a full disk is not a damaged plan.
    with explained(f"write {target}"), disk.creating(target) as descriptor:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            disk.write_all(descriptor, chunk)
    return digest.hexdigest()


def _compare(path: Path, name: str, digest: str, hashes: Mapping[str, str]) -> None:
    if hashes.get(name) != digest:
        raise _damaged(path, f"{name} is not what was saved")


def _damaged(path: Path, what: str) -> OperationError:
    return OperationError(f"the plan file {path} is damaged or was changed: {what}", hint=_ADVICE)
