"""Names of hosts: those of this machine, and the vendor's regions."""

import ipaddress

REGIONS = ("eu1", "in1", "sg1", "us1", "aps3", "mec1")
DEFAULT_REGION = "eu1"


def is_loopback(host: str) -> bool:
    """Whether a name or address can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def region_of(host: str) -> str | None:
    """Return the region of a Host header, or None if it is not a host of the vendor.

    ``in1.api.clevertap.com`` is India, ``api.clevertap.com`` is Europe.  The same names
    below ``localhost`` work without a name server.
    """
    name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host
    if name == "api.clevertap.com":
        return DEFAULT_REGION
    label, _, rest = name.partition(".")
    return label if label in REGIONS and rest in {"api.clevertap.com", "localhost"} else None
