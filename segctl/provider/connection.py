"""Where requests go and who sends them: the only place that puts credentials on the wire."""

import os
import re
import socket
import ssl
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.request import getproxies

import httpx

from segctl import __version__
from segctl.core.errors import CredentialsRefused, OperationError
from segctl.provider.transport import CountedTransport

_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)
_HOST = re.compile(rb"[\w.:-]+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An account and its passcode; raises ``CredentialsRefused`` where they cannot be sent."""

    account_id: str
    passcode: str = field(repr=False)

    def __post_init__(self) -> None:
        _check("CLEVERTAP_ACCOUNT_ID", self.account_id)
        _check("CLEVERTAP_PASSCODE", self.passcode)


def _check(variable: str, value: str) -> None:
    """Refuse a value that cannot travel in a header, without showing it."""
    if not value:
        raise CredentialsRefused(
            f"{variable} is not set or empty", hint=f"Set {variable} in the environment."
        )
    if not _VISIBLE.issuperset(value):
        what = "a line break" if {"\n", "\r"} & set(value) else "a space or a special character"
        raise CredentialsRefused(
            f"{variable} contains {what}, which no CleverTap credential does",
            hint=f"Set {variable} again; a value read from a file often ends in a line break.",
        )


def checked_base(base_url: str) -> httpx.URL:
    """Read the service's address; raises ``OperationError`` where it is none."""
    try:
        url = httpx.URL(base_url.rstrip("/"))
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    known = url.scheme in {"http", "https"} and _HOST.fullmatch(url.raw_host)
    if not known or url.userinfo or url.query or url.fragment:
        raise OperationError(
            "the service's base URL is not an address such as https://in1.api.clevertap.com",
            hint="Correct the region or baseUrl in segctl.yaml, or CLEVERTAP_BASE_URL.",
        )
    return url


def why_unreached(error: httpx.RequestError) -> str:
    """Say in the system's words why a request could not leave."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, socket.gaierror):
            return "its name is not known to the network"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def open_http(
    base: httpx.URL,
    credentials: Credentials,
    *,
    transport: httpx.AsyncBaseTransport | None,
    timeout: float,
    connections: int,
) -> httpx.AsyncClient:
    """Make a client with ``connections`` at most; nothing is sent yet.

    ``timeout`` is in seconds; ``transport`` takes the place of the network.  Raises
    ``OperationError`` where the environment names certificates or a proxy that cannot be used.
    """
    with _environment_explained():
        return _client(base, credentials, transport, timeout, connections)


@contextmanager
def _environment_explained() -> Iterator[None]:
    """Tell the user's environment from our mistake; addresses of proxies may hold passwords."""
    try:
        yield
    except OSError as error:  # the certificates; an error of TLS is an OSError too
        raise OperationError(
            f"the certificates to trust cannot be read: {error.strerror or error}",
            hint="Check SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE in the environment.",
        ) from error
    except ImportError as error:
        raise OperationError(
            "a SOCKS proxy needs the package socksio, which is not installed",
            hint="Install it with: pip install 'httpx[socks]'; or unset the proxy.",
        ) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise OperationError(
            "a proxy named in the environment is not an address",
            hint="Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
        ) from error


def _client(
    base: httpx.URL,
    credentials: Credentials,
    transport: httpx.AsyncBaseTransport | None,
    timeout: float,
    connections: int,
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport or direct_transport(base, connections),
        headers={
            "X-CleverTap-Account-Id": credentials.account_id,
            "X-CleverTap-Passcode": credentials.passcode,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"segctl/{__version__}",
        },
        # shorter than the whole, so that it is known when a request never left
        timeout=httpx.Timeout(timeout, connect=min(10.0, timeout / 2)),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,  # credentials go to the named host only
    )


def direct_transport(base: httpx.URL, connections: int) -> httpx.AsyncBaseTransport | None:
    """Give the transport of a direct connection, ``None`` to go by the environment's proxy.

    A proxy is for the network, not for an emulator on this machine.
    """
    proxied = not {base.scheme, "all"}.isdisjoint(getproxies())
    if proxied and base.host not in _LOOPBACK:
        return None
    return CountedTransport(connections=connections)
