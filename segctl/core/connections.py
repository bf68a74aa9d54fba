"""How the environment says to connect, and why a connection failed."""

import os
import re
import socket
import ssl
from dataclasses import field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError
from segctl.core.loopback import is_loopback

PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""The variables that name proxies. Their names in lower case count first."""

_ERROR_NUMBER = re.compile(r"\[Errno (\d+)\]")
_AT_AFTER_HOST = re.compile(r"[^/]*//[^/?#]*[/?#].*@", re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy, and the environment variable that names it. ``url`` can have a password."""

    url: str = field(repr=False)
    variable: str

    def __str__(self) -> str:
        """Return host, port and variable, without the user."""
        return f"the proxy {host_and_port(self.url)} ({self.variable})"

    def is_unreachable(self, error: BaseException) -> bool:
        """Whether no connection was made to the proxy. Errors of TLS are the host's."""
        cause = find_cause(error)
        return cause is not None and not isinstance(cause, ssl.SSLError)


def find_proxy(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a valid URL, ``None`` to connect directly.

    Connections to this machine, such as to the emulator, use no proxy. Raises ``OperationError``
    for a proxy whose password would be taken for its host.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    for kind in (parts.scheme, "all"):
        if found := proxies.get(kind):
            return parse_proxy(_proxy_variable(kind), found)
    return None


def parse_proxy(variable: str, value: str) -> Proxy:
    """Return the proxy that a variable names.

    Raises ``OperationError`` if a part of its password would be taken for its host.
    """
    address = value if "://" in value else f"http://{value}"
    if _AT_AFTER_HOST.match(address):
        raise OperationError(
            f"the proxy in {variable} has a /, ? or # before the @",
            hint="In a user name or a password, write them as %2F, %3F and %23.",
        )
    return Proxy(url=address, variable=variable)


def _proxy_variable(kind: str) -> str:
    """Return the variable that sets a proxy: the one in lower case comes first."""
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's settings")


def host_and_port(url: str) -> str:
    """Return the host and the port of a URL, without the user; the host alone if it has no port."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "?"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{host}:{port}" if port else host


def find_cause(error: BaseException) -> OSError | None:
    """Return the error of the operating system, or of TLS, behind an error of a library."""
    cause: BaseException | None = error
    unnamed: OSError | None = None
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one for each address of the host
            cause = cause.exceptions[0]
        if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.errno):
            return cause
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
            unnamed = cause
        cause = cause.__cause__ or cause.__context__
    return unnamed


def describe_cause(error: BaseException) -> str:
    """Return why no connection was made, in the operating system's words; empty if unknown."""
    cause = find_cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its TLS certificate could not be verified: {cause.verify_message}"
    if isinstance(cause, socket.gaierror):
        return "its host name could not be resolved"
    if cause is None or isinstance(cause, ssl.SSLError):
        return ""
    # Without a number, it can be a list of errors, one for each address.
    numbers = {str(cause.errno)} if cause.errno else set(_ERROR_NUMBER.findall(str(cause)))
    return os.strerror(int(numbers.pop())).lower() if len(numbers) == 1 else ""
