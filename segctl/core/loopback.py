"""Whether a host is this machine. Names are not looked up."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether a host, an address or a name without a port, is this machine.

    True for ``localhost``, 127.0.0.0/8 and ::1, also in brackets.
    """
    name = host.removeprefix("[").removesuffix("]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
