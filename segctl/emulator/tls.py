"""The TLS certificate and key of the server, checked before anything starts."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segctl.emulator.errors import TlsFilesError


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Two PEM files: a certificate, with those of its issuers after it, and its private key."""

    certificate: Path
    key: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the TLS context of a server.

    Raises TlsFilesError for files that do not work, and OSError with the file's name for
    one that cannot be read.
    """
    if b"-----BEGIN CERTIFICATE-----" not in files.certificate.read_bytes():
        raise TlsFilesError(f"{files.certificate} contains no certificate in PEM")
    if b"PRIVATE KEY-----" not in files.key.read_bytes():
        raise TlsFilesError(f"{files.key} contains no private key in PEM")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _named(files):
        context.load_cert_chain(files.certificate, files.key, password=_PasswordAsked.refuse)
    return context


class _PasswordAsked(Exception):
    """The key is encrypted."""

    @staticmethod
    def refuse() -> str:
        raise _PasswordAsked


@contextlib.contextmanager
def _named(files: TlsFiles) -> Iterator[None]:
    try:
        yield
    except _PasswordAsked:
        raise TlsFilesError(
            f"{files.key} is protected by a password; write a copy without it with "
            f"openssl pkey -in {files.key} -out KEY.pem"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"{files.key} is not the private key of {files.certificate}"
        else:
            problem = f"{files.certificate} and {files.key} cannot be used: {error.reason}"
        raise TlsFilesError(problem) from error
