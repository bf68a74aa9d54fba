"""Whether a host is this machine. Names are not looked up."""

from ipaddress import ip_address
from urllib.parse import urlsplit

UNENCRYPTED = "the passcode and all user keys would be sent unencrypted"
ALLOW_PLAIN_HTTP = (
    "Use https://. If the network in between is trusted, set spec.provider.allowPlainHttp: true in "
    "segctl.yaml."
)


def is_loopback(host: str) -> bool:
    """Return whether a host, an address or a name without a port, is this machine.

    True for ``localhost``, 127.0.0.0/8 and ::1, also in brackets, and for 0.0.0.0 and ::, to which
    a connection stays on this machine.
    """
    name = host.removeprefix("[").removesuffix("]").lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def is_plain_http(url: str) -> bool:
    """Return whether what is sent to a valid URL leaves this machine unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
