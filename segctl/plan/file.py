"""Save and load plan files.

A plan file is an uncompressed zip of ``delta.parquet``, of ``imported-N.parquet`` with the members
of target N if a block imports it, of ``plan.json`` and of ``manifest.json``. The manifest holds the
SHA-256 of the other files. It detects damage and manual edits, but it is not a signature. Only
these names are read, so a name in a crafted zip cannot lead to another path.
"""

import errno
import fcntl
import hashlib
import io
import os
import re
import stat
import struct
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from segctl.backends.sealing import NO_SEALING, Sealer, is_sealed_file
from segctl.core import codec as value_codec
from segctl.core.codec import DecodeError
from segctl.core.dataclass import dataclass
from segctl.core.disk import Disk, open_file, translate_os_errors
from segctl.core.errors import OperationError
from segctl.plan import codec as plan_codec
from segctl.plan.model import Plan

_MANIFEST, _PLAN, _DELTA = "manifest.json", "plan.json", "delta.parquet"
_PURPOSE = "plan"
"""What is sealed; see ``backends/sealing.py``."""

_HINT = "Make a new plan with `segctl plan --out FILE`."
_CHUNK = 1 << 20

NO_IMPORTS: Mapping[int, Path] = MappingProxyType({})
"""The files of a plan without imports."""


@dataclass(frozen=True, kw_only=True)
class LoadedPlan:
    """A saved plan, and the paths of its extracted files; ``imported`` are by target index."""

    plan: Plan
    delta: Path
    imported: Mapping[int, Path] = field(default_factory=dict)


def save_plan(
    path: Path,
    *,
    plan: Plan,
    delta: Path,
    imported: Mapping[int, Path] = NO_IMPORTS,
    disk: Disk | None = None,
    sealer: Sealer = NO_SEALING,
) -> None:
    """Write a plan file with mode 0600, encrypted if ``sealer`` seals.

    ``path`` may be absent, an empty file or an older plan file; anything else raises
    ``OperationError``. After a crash it is the old or the new file, never a part of one.
    Temporary files of killed runs are removed by the next call.
    """
    disk = disk or Disk()
    _check_replaceable(path)
    _remove_leftovers(path, disk)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with translate_os_errors(f"save the plan as {path}"):
        document = value_codec.dump_json(plan_codec.encode(plan))
        columns = {_DELTA: delta}
        columns |= {_imported_name(index): file for index, file in sorted(imported.items())}
        with disk.new_file(temporary) as descriptor:
            with suppress(OSError):  # some network mounts cannot lock: see _remove_leftovers
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with zipfile.ZipFile(_DiskWriter(disk, descriptor), "w") as archive:
                files = {name: _store_file(archive, name, file) for name, file in columns.items()}
                files[_PLAN] = hashlib.sha256(document).hexdigest()
                manifest = {
                    "version": plan_codec.VERSION,
                    "segctl_version": plan.segctl_version,
                    "files": files,
                }
                for name, data in ((_PLAN, document), (_MANIFEST, value_codec.dump_json(manifest))):
                    archive.writestr(zipfile.ZipInfo(name), data)
            disk.sync(descriptor)
            if sealer.key_id:
                sealed = temporary.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
                sealer.seal_file(temporary, sealed, _PURPOSE, disk=disk)
                disk.unlink(temporary)
                temporary = sealed
            disk.move(temporary, path)


def read_plan(path: Path, *, sealer: Sealer = NO_SEALING) -> Plan:
    """Read only the plan of a plan file, without its delta.

    Raises ``OperationError`` and ``StalePlan`` as ``load_plan`` does.
    """
    with _open_archive(path, sealer) as archive:
        return _decode_plan(path, archive, _read_hashes(path, archive))


def load_plan(
    path: Path, *, scratch: Path, disk: Disk | None = None, sealer: Sealer = NO_SEALING
) -> LoadedPlan:
    """Read a plan file, and extract its Parquet files into the folder ``scratch``.

    Raises ``OperationError`` if the file is not a plan file, is damaged, or has a newer
    format, and ``StalePlan`` if it has an older format.
    """
    disk = disk or Disk()
    with _open_archive(path, sealer) as archive:
        hashes = _read_hashes(path, archive)
        plan = _decode_plan(path, archive, hashes)
        imported = {i: _imported_name(i) for i in imported_targets(plan)}
        for name in (_DELTA, *imported.values()):
            with _open_member(path, archive, name) as source:
                digest = _extract(disk, source, scratch / name)
            _check_hash(path, name, digest, hashes)
    return LoadedPlan(
        plan=plan,
        delta=scratch / _DELTA,
        imported={index: scratch / name for index, name in imported.items()},
    )


def imported_targets(plan: Plan) -> tuple[int, ...]:
    """Return the targets that a plan imports with members, by their indexes."""
    return tuple(
        change.target
        for change in plan.changes
        if change.imported and change.imported.count and change.target is not None
    )


def _imported_name(index: int) -> str:
    return f"imported-{index}.parquet"


def _check_replaceable(path: Path) -> None:
    """Raise ``OperationError`` if ``path`` is something other than a plan or an empty file.

    A mistyped path must not overwrite a manifest or the state.
    """
    with translate_os_errors(f"save the plan as {path}"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        return  # an empty file, as mktemp creates
    try:
        with translate_os_errors(f"save the plan as {path}"), open_file(path) as file:
            if is_sealed_file(file):
                return
        with _open_archive(path, NO_SEALING) as archive:
            archive.getinfo(_MANIFEST)
    except (OperationError, KeyError) as error:
        raise OperationError(
            f"{path} already exists and is not a plan file",
            hint="Choose another name, or remove the file first. Nothing was written.",
        ) from error


def _remove_leftovers(path: Path, disk: Disk) -> None:
    """Remove temporary files of killed runs that saved to ``path``: they contain members."""
    temporary_name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):
        for file in (f for f in path.parent.iterdir() if temporary_name.fullmatch(f.name)):
            with suppress(OSError), open_file(file) as opened:
                # A running save locks its temporary file, and the lock ends with its process.
                # Without lock support, the call fails here and the file stays.
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(opened.fileno()).st_uid == os.geteuid():
                    disk.unlink(file)


class _DiskWriter(io.RawIOBase):
    """A sequential stream for ``zipfile`` that writes to a descriptor through a ``Disk``."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._disk.write_all(self._descriptor, bytes(data))
        return len(data)


def _store_file(archive: zipfile.ZipFile, name: str, source: Path) -> str:
    """Copy a file into the zip. Return the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    with open_file(source) as file:
        info = zipfile.ZipInfo(name)
        # zipfile chooses Zip64 for files above 2 GiB only if it knows the size up front.
        info.file_size = os.fstat(file.fileno()).st_size
        with archive.open(info, "w") as target:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
    return digest.hexdigest()


@contextmanager
def _open_archive(path: Path, sealer: Sealer) -> Iterator[zipfile.ZipFile]:
    with translate_os_errors(f"read the plan file {path}"):
        file: IO[bytes] = open_file(path)
    with ExitStack() as stack:
        stack.enter_context(file)
        if is_sealed_file(file):
            file = stack.enter_context(_unsealed(path, file, sealer))
        elif sealer is not NO_SEALING:
            sealer.check_plain(f"the plan file {path}")
        has_zip_signature = file.read(4) == b"PK\3\4"
        try:
            archive = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            if has_zip_signature:
                raise _damaged_error(path, "its end is missing or invalid") from error
            raise OperationError(f"{path} is not a plan file of segctl", hint=_HINT) from error
        with archive:
            yield archive


@contextmanager
def _unsealed(path: Path, file: IO[bytes], sealer: Sealer) -> Iterator[IO[bytes]]:
    """Decrypt into a file without a name, which nobody else can open and no crash leaves behind."""
    with translate_os_errors(f"decrypt the plan file {path}"), tempfile.TemporaryFile() as plain:
        sealer.unseal_stream(file, plain.write, _PURPOSE, name=f"the plan file {path}")
        plain.seek(0)
        yield plain


@contextmanager
def _open_member(path: Path, archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """Open a member of the zip by its name. Other members are ignored."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        if name == _MANIFEST:
            raise OperationError(f"{path} is not a plan file of segctl", hint=_HINT) from error
        raise _damaged_error(path, f"{name} is missing") from error
    # Plans are saved uncompressed, so a member can never expand beyond the file itself.
    if info.compress_type != zipfile.ZIP_STORED:
        raise _damaged_error(path, f"{name} is compressed")
    try:
        with archive.open(info) as source:
            yield source
    except _UNREADABLE as error:
        raise _damaged_error(path, f"{name} cannot be read") from error


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
"""The errors that ``zipfile`` raises for a file that is damaged or not a zip."""


def _read_hashes(path: Path, archive: zipfile.ZipFile) -> Mapping[str, str]:
    with _open_member(path, archive, _MANIFEST) as source:
        data = source.read()
    try:
        manifest = value_codec.load_json(data)
    except DecodeError as error:
        raise _damaged_error(path, f"{_MANIFEST}: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise _damaged_error(path, f"{_MANIFEST} does not list the files")
    plan_codec.check_version(manifest)
    return {name: str(digest) for name, digest in manifest["files"].items()}


def _decode_plan(path: Path, archive: zipfile.ZipFile, hashes: Mapping[str, str]) -> Plan:
    with _open_member(path, archive, _PLAN) as source:
        data = source.read()
    _check_hash(path, _PLAN, hashlib.sha256(data).hexdigest(), hashes)
    try:
        document = value_codec.load_json(data)
    except DecodeError as error:
        raise _damaged_error(path, f"{_PLAN}: {error}") from error
    if not isinstance(document, dict):
        raise _damaged_error(path, f"{_PLAN} is not a plan")
    return plan_codec.decode(document)


def _extract(disk: Disk, source: IO[bytes], target: Path) -> str:
    """Write a member of the zip to a new file. Return the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    # Handled here, before _open_member sees the error: a full disk is not a damaged plan.
    with translate_os_errors(f"write {target}"), disk.new_file(target) as descriptor:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            disk.write_all(descriptor, chunk)
    return digest.hexdigest()


def _check_hash(path: Path, name: str, digest: str, hashes: Mapping[str, str]) -> None:
    if hashes.get(name) != digest:
        raise _damaged_error(path, f"{name} does not match its SHA-256")


def _damaged_error(path: Path, what: str) -> OperationError:
    return OperationError(f"the plan file {path} is damaged or was changed: {what}", hint=_HINT)
