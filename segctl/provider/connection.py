"""Credentials, base URL and HTTP client. Only this module puts credentials into requests."""

import os
import re
import socket
import ssl
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.request import getproxies

import httpx

from segctl import __version__
from segctl.core.errors import CredentialsRefused, OperationError
from segctl.provider.transport import DirectTransport, Network

_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)
_HOST = re.compile(rb"[\w.:-]+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """An account id and its passcode. Raises ``CredentialsRefused`` if one cannot be sent."""

    account_id: str
    passcode: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_credential("CLEVERTAP_ACCOUNT_ID", self.account_id)
        _check_credential("CLEVERTAP_PASSCODE", self.passcode)


def _check_credential(variable: str, value: str) -> None:
    """Raise ``CredentialsRefused`` for a value that cannot be sent. The value is not shown."""
    if not value:
        raise CredentialsRefused(
            f"{variable} is not set or empty", hint=f"Set {variable} in the environment."
        )
    if not _VISIBLE.issuperset(value):
        has_line_break = not {"\n", "\r"}.isdisjoint(value)
        problem = "a line break" if has_line_break else "a space or a special character"
        raise CredentialsRefused(
            f"{variable} contains {problem}",
            hint="CleverTap credentials are printable ASCII without spaces. "
            f"Set {variable} again; a value read from a file often ends with a line break.",
        )


def parse_base_url(base_url: str) -> httpx.URL:
    """Return the base URL of the service. Raises ``OperationError`` if it is not valid."""
    try:
        url = httpx.URL(base_url.rstrip("/"))
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    has_host = url.scheme in {"http", "https"} and _HOST.fullmatch(url.raw_host)
    if not has_host or url.userinfo or url.query or url.fragment:
        raise OperationError(
            "the base URL of the service is not a URL such as https://in1.api.clevertap.com",
            hint="Correct region or baseUrl in segctl.yaml, or CLEVERTAP_BASE_URL. The URL must "
            "not contain a user name, a query or a fragment.",
        )
    return url


def describe_connect_error(error: httpx.RequestError) -> str:
    """Return why no connection was made, in the operating system's words if it has any."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its TLS certificate could not be verified: {cause.verify_message}"
        if isinstance(cause, socket.gaierror):
            return "its host name could not be resolved"
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
    before_write: Callable[[], None] = lambda: None,
) -> httpx.AsyncClient:
    """Return an HTTP client with at most ``connections`` connections. Nothing is sent yet.

    ``timeout`` is in seconds. ``transport`` replaces the network. Raises ``OperationError`` if the
    environment sets certificates or a proxy that cannot be used.
    """
    with _environment_errors():
        transport = transport or direct_transport(base, connections, before_write)
        return _client(credentials, transport, timeout, connections)


@contextmanager
def _environment_errors() -> Iterator[None]:
    """Turn errors of TLS and proxy settings into ``OperationError``.

    The messages do not quote proxy URLs, which may contain passwords.
    """
    try:
        yield
    except OSError as error:  # includes ssl.SSLError
        raise OperationError(
            f"the TLS certificates cannot be loaded: {error.strerror or error}",
            hint="Check SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE in the environment.",
        ) from error
    except ImportError as error:
        raise OperationError(
            "a SOCKS proxy needs the package socksio, which is not installed",
            hint="Install it with pip install 'httpx[socks]', or unset the proxy.",
        ) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise OperationError(
            "a proxy setting in the environment is not valid",
            hint="Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
        ) from error


def _client(
    credentials: Credentials,
    transport: httpx.AsyncBaseTransport | None,
    timeout: float,
    connections: int,
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        headers={
            "X-CleverTap-Account-Id": credentials.account_id,
            "X-CleverTap-Passcode": credentials.passcode,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"segctl/{__version__}",
        },
        # Connecting has a shorter limit than the attempt as a whole: a request that timed out
        # while connecting was certainly not sent.
        timeout=httpx.Timeout(timeout, connect=min(10.0, timeout / 2)),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,  # a redirect could send the credentials to another host
    )


def direct_transport(
    base: httpx.URL, connections: int, before_write: Callable[[], None] = lambda: None
) -> httpx.AsyncBaseTransport | None:
    """Return the transport for direct connections, or ``None`` if a proxy is to be used.

    Connections to this machine, such as to the emulator, ignore the proxy settings.
    """
    has_proxy = not {base.scheme, "all"}.isdisjoint(getproxies())
    if has_proxy and base.host not in _LOOPBACK:
        return None
    return DirectTransport(connections=connections, network=Network(before_write))


@dataclass(frozen=True, kw_only=True)
class ResponseBody:
    """The body of a response, as far as it was read.

    ``is_complete`` is false if the body exceeds the size limit or reading failed. ``error`` is
    the error of a failed read.
    """

    content: bytes = field(repr=False)
    is_complete: bool
    error: httpx.RequestError | None = None


async def send_request(
    http: httpx.AsyncClient, request: httpx.Request, *, max_bytes: int
) -> tuple[httpx.Response, ResponseBody]:
    """Send one request and read its response. Reading stops above ``max_bytes``.

    Raises ``httpx.RequestError`` if there is no response, and ``httpx.TimeoutException`` also
    while reading the body. Other errors while reading are in the ``error`` of the body.
    """
    response = await http.send(request, stream=True)
    content = bytearray()
    read_error: httpx.RequestError | None = None
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > max_bytes:
                break
    except httpx.TimeoutException:
        raise
    except httpx.RequestError as error:
        read_error = error
    finally:
        await response.aclose()
    is_complete = read_error is None and len(content) <= max_bytes
    return response, ResponseBody(content=bytes(content), is_complete=is_complete, error=read_error)
