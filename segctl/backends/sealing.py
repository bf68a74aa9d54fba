"""Encrypt what a state and saved plans contain, so that only who has the key can read or make it.

    magic, key id (8 bytes), salt (32 bytes), then segments of 64 KiB with their tags

Each sealed file has a key of its own, derived from the key and the salt with HKDF-SHA256. Its
segments are sealed with AES-256-GCM; the nonce of one is its number and whether it is the last, so
that none can be left out, moved or added. This is the streaming construction of Tink (AES-GCM-HKDF)
and age. The purpose of a file is authenticated too: a head cannot be put in the place of a plan.

What this cannot detect is an older file of the same purpose in the place of a newer one.
"""

import base64
import hashlib
import io
import os
import secrets
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from segctl.core.disk import Disk, open_file, translate_scratch_errors
from segctl.core.errors import OperationError, StateDamaged
from segctl.core.scratch import process_scratch

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"segctl sealed 1\n"
KEY_BYTES = 32

_ID_BYTES, _SALT_BYTES, _TAG_BYTES = 8, 32, 16
_HEADER_BYTES = len(MAGIC) + _ID_BYTES + _SALT_BYTES
_SEGMENT = 64 << 10
_MAX_SEGMENTS = 1 << 32

Write = Callable[[bytes], object]


class Sealer:
    """Seals with the first of ``keys`` and opens with any.

    Without ``is_sealing``, nothing is sealed. With ``is_enforced``, what is not sealed is refused.
    Needs the library cryptography only if there are keys.
    """

    def __init__(
        self, keys: Sequence[bytes] = (), *, is_sealing: bool = False, is_enforced: bool = False
    ) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._id = _key_id(keys[0]) if is_sealing and keys else b""
        self._is_enforced = is_enforced

    def without_enforcement(self) -> "Sealer":
        """Return one that accepts what is not sealed: what was stored before the encryption."""
        lenient = Sealer()
        lenient._keys, lenient._id = self._keys, self._id
        return lenient

    @property
    def key_id(self) -> str:
        """The id of the key that seals, empty if nothing is sealed."""
        return self._id.hex()

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Return the sealed data, or the data if nothing is sealed."""
        target = io.BytesIO()
        self.seal_stream(io.BytesIO(data), target.write, purpose)
        return target.getvalue()

    def unseal(self, data: bytes, purpose: str, *, name: str) -> bytes:
        """Return what was sealed; data that is not sealed is returned as it is.

        ``name`` is how messages name it. Raises ``OperationError`` without the key, and
        ``StateDamaged`` if it is not exactly what was sealed for this purpose.
        """
        target = io.BytesIO()
        self.unseal_stream(io.BytesIO(data), target.write, purpose, name=name)
        return target.getvalue()

    def seal_file(self, source: Path, target: Path, purpose: str, *, disk: Disk) -> None:
        """Write the sealed content of a file to a new file."""
        with open_file(source) as file, disk.new_file(target) as descriptor:
            self.seal_stream(file, lambda data: disk.write_all(descriptor, data), purpose)
            disk.sync(descriptor)

    def unseal_file(self, source: Path, target: Path, purpose: str, *, name: str) -> None:
        """Write what was sealed to a new scratch file."""
        disk = Disk()
        with open_file(source) as file, disk.new_file(target) as descriptor:
            self.unseal_stream(
                file, lambda data: disk.write_all(descriptor, data), purpose, name=name
            )

    def seal_line(self, line: bytes, purpose: str) -> bytes:
        """Return a line of text that contains the sealed line."""
        if not self._id:
            return line
        return base64.b64encode(self.seal(line, purpose)) + b"\n"

    def unseal_line(self, line: bytes, purpose: str, *, name: str) -> bytes:
        """Return the line in a sealed one; a line that is not sealed is returned as it is.

        Raises ``OperationError`` for one that should be sealed, ``StateDamaged`` for a part of one.
        """
        try:
            sealed = base64.b64decode(line.removesuffix(b"\n"), validate=True)
        except ValueError:
            sealed = b""
        if sealed.startswith(MAGIC):
            return self.unseal(sealed, purpose, name=name)
        if self._is_enforced:
            if line.endswith(b"\n") and line.lstrip().startswith(b"{"):
                self.check_plain(name)
            raise _changed(name)
        return line

    def seal_stream(self, source: IO[bytes], write: Write, purpose: str) -> None:
        """Write the sealed content of a stream."""
        if not self._id:
            while data := source.read(_SEGMENT):
                write(data)
            return
        salt = os.urandom(_SALT_BYTES)
        cipher = _cipher(self._keys[self._id], salt)
        write(MAGIC + self._id + salt)
        segment = source.read(_SEGMENT)
        for number in range(_MAX_SEGMENTS):
            following = source.read(_SEGMENT)
            nonce = _nonce(number, is_last=not following)
            write(cipher.encrypt(nonce, segment, purpose.encode()))
            if not following:
                return
            segment = following
        raise OperationError("the file is too large to be encrypted")

    def unseal_stream(self, source: IO[bytes], write: Write, purpose: str, *, name: str) -> None:
        """Write what was sealed. Nothing that was written counts if this raises."""
        header = source.read(_HEADER_BYTES)
        if not header.startswith(MAGIC):
            self.check_plain(name, header=header)
            write(header)
            while data := source.read(_SEGMENT):
                write(data)
            return
        key_id, salt = header[len(MAGIC) : -_SALT_BYTES], header[-_SALT_BYTES:]
        if len(header) < _HEADER_BYTES:
            raise _changed(name)
        if key_id not in self._keys:
            raise _no_key(name, key_id)
        cipher = _cipher(self._keys[key_id], salt)
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - heavy, and an extra

        size = _SEGMENT + _TAG_BYTES
        segment = source.read(size)
        for number in range(_MAX_SEGMENTS):
            following = source.read(size)
            nonce = _nonce(number, is_last=not following)
            try:
                write(cipher.decrypt(nonce, segment, purpose.encode()))
            except InvalidTag:
                raise _changed(name) from None
            if not following:
                return
            segment = following

    def check_plain(self, name: str, *, header: bytes = b"") -> None:
        """Raise ``OperationError`` for what is not sealed and should be."""
        if self._is_enforced:
            raise OperationError(
                f"{name} is not encrypted, and spec.state.encryption.enforced is set",
                hint="If it was stored before encryption was turned on, remove enforced until the "
                "next apply has written the state; make a saved plan again. Otherwise do not use "
                "it.",
            )
        if MAGIC.startswith(header) and header:
            raise _changed(name)  # the beginning of a sealed file


class UnsealedFiles:
    """Readable copies of sealed files, in a scratch folder of this process.

    DuckDB reads files by name, so members are in the clear there while a run needs them. The folder
    is removed when the process ends, or by the next run if it was killed.
    """

    def __init__(self, sealer: Sealer, parent: Path | None) -> None:
        self._sealer = sealer
        self._parent = parent

    def without_enforcement(self) -> "UnsealedFiles":
        """Return one that accepts files that are not sealed."""
        return UnsealedFiles(self._sealer.without_enforcement(), self._parent)

    def locate(self, file: Path, purpose: str, *, name: str) -> Path:
        """Return the path of a new copy that can be read; a file that is not sealed is its own."""
        with open_file(file) as opened:
            is_sealed = is_sealed_file(opened)
        if not is_sealed:
            self._sealer.check_plain(name)
            return file
        copy = process_scratch(self._parent) / f"unsealed-{secrets.token_hex(8)}"
        with translate_scratch_errors(copy.parent):
            self._sealer.unseal_file(file, copy, purpose, name=name)
        return copy


NO_SEALING = Sealer()
"""Seals nothing, and opens nothing that is sealed."""

NOTHING_UNSEALED = UnsealedFiles(NO_SEALING, None)


def decode_key(text: str) -> bytes | None:
    """Return the key in a base64 text, or ``None`` if it is not one of ``KEY_BYTES`` bytes."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def is_sealed_file(file: IO[bytes]) -> bool:
    """Whether a file begins like a sealed one. Goes back to its beginning."""
    head = file.read(len(MAGIC))
    file.seek(0)
    return head == MAGIC


def _key_id(key: bytes) -> bytes:
    """Return what tells keys apart without giving them away."""
    return hashlib.sha256(b"segctl key id\n" + key).digest()[:_ID_BYTES]


def _cipher(key: bytes, salt: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - an extra
            AESGCM,
        )
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - as above
    except ImportError:
        raise OperationError(
            "an encrypted state needs the library cryptography, which is not installed",
            hint="Install it: pip install 'segctl[encryption]'.",
        ) from None
    derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=MAGIC).derive(key)
    return AESGCM(derived)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return struct.pack(">7xI?", number, is_last)


def _no_key(name: str, key_id: bytes) -> OperationError:
    return OperationError(
        f"{name} is encrypted with the key {key_id.hex()}, which is not among the keys of this run",
        hint="Name the key in spec.state.encryption, as key or under oldKeys.",
    )


def _changed(name: str) -> StateDamaged:
    return StateDamaged(
        f"{name} was damaged or changed after it was encrypted",
        hint="Restore it from a backup. Make a plan again.",
    )
