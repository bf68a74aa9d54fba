"""Credentials, base URL and HTTP client. Only this module puts credentials into requests."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import httpx

from segctl import __version__
from segctl.core.connections import Proxy, describe_cause, host_and_port
from segctl.core.credentials import Credentials
from segctl.core.errors import OperationError
from segctl.core.loopback import ALLOW_PLAIN_HTTP, UNENCRYPTED, is_plain_http
from segctl.core.outcomes import NO_CONNECTION
from segctl.provider.transport import DirectTransport, Network

_HOST = re.compile(rb"[\w.:-]+")


def parse_base_url(base_url: str, *, allow_plain_http: bool = False) -> httpx.URL:
    """Return the base URL of the service. Raises ``OperationError`` if it is not valid.

    One without TLS must be this machine, or ``allow_plain_http``.
    """
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
    if is_plain_http(str(url)) and not allow_plain_http:
        raise OperationError(
            f"http://{url.netloc.decode()} is not this machine: {UNENCRYPTED}",
            hint=ALLOW_PLAIN_HTTP,
        )
    return url


def describe_connect_error(error: httpx.RequestError, base: httpx.URL, proxy: Proxy | None) -> str:
    """Return to what no connection was made, and why, in the operating system's words if any."""
    reason = describe_cause(error) or str(error) or type(error).__name__
    service = host_and_port(str(base))
    if proxy is None:
        return f"{NO_CONNECTION} {service}: {reason}"
    if isinstance(error, httpx.ProxyError):
        return f"{NO_CONNECTION} {service}: {proxy} refused: {reason}"
    if proxy.is_unreachable(error):
        return f"{NO_CONNECTION} {proxy}: {reason}"
    return f"{NO_CONNECTION} {service} through {proxy}: {reason}"


def open_http(
    credentials: Credentials,
    *,
    base: httpx.URL,
    proxy: Proxy | None,
    transport: httpx.AsyncBaseTransport | None,
    timeout: float,
    connections: int,
    before_write: Callable[[], None] = lambda: None,
) -> httpx.AsyncClient:
    """Return an HTTP client with at most ``connections`` connections. Nothing is sent yet.

    ``base`` is the URL of the service, ``timeout`` is in seconds. ``transport`` replaces the
    network. Raises ``OperationError`` if the environment sets certificates or a proxy that cannot
    be used.
    """
    with _environment_errors(proxy):
        return httpx.AsyncClient(
            transport=transport or _open_transport(base, proxy, connections, before_write),
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
            trust_env=False,  # the proxy is chosen already
            follow_redirects=False,  # a redirect could send the credentials to another host
        )


@contextmanager
def _environment_errors(proxy: Proxy | None) -> Iterator[None]:
    """Turn errors of TLS and proxy settings into ``OperationError``.

    The messages do not quote proxy URLs, which may contain passwords.
    """
    variable = proxy.variable if proxy else "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
    try:
        yield
    except OSError as error:  # includes ssl.SSLError
        raise OperationError(
            f"the TLS certificates cannot be loaded: {error.strerror or error}",
            hint="Check SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE in the environment.",
        ) from error
    except ImportError as error:
        raise OperationError(
            f"the SOCKS proxy in {variable} needs the package socksio, which is not installed",
            hint="Install it with pip install 'httpx[socks]', or unset the proxy.",
        ) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise OperationError(
            "a proxy setting in the environment is not valid", hint=f"Check {variable}."
        ) from error


def _open_transport(
    base: httpx.URL, proxy: Proxy | None, connections: int, before_write: Callable[[], None]
) -> httpx.AsyncBaseTransport:
    if proxy is None:
        # Loading certificates takes time. Without any, a TLS connection would be refused.
        is_tls = base.scheme == "https"
        context = httpx.create_ssl_context() if is_tls else SSLContext(PROTOCOL_TLS_CLIENT)
        network = Network(before_write)
        return DirectTransport(connections=connections, network=network, context=context)
    return httpx.AsyncHTTPTransport(
        verify=httpx.create_ssl_context(),
        proxy=proxy.url,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


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
