"""URLs of objects in buckets: ``s3://bucket/key``, ``gs://`` and ``az://``."""

import re
from typing import Literal, get_args

from segctl.core.dataclass import dataclass

Scheme = Literal["s3", "gs", "az"]

_SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

URL_FORMS = "s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY"
"""The accepted forms of an object URL, for messages."""

_URL = re.compile("([a-z0-9+.-]+)://([^/]*)/?(.*)", re.DOTALL)
_BUCKET = re.compile("[A-Za-z0-9$][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, kw_only=True)
class ObjectUrl:
    """The URL of an object, a folder of objects or a pattern. ``key`` is exactly as written."""

    scheme: Scheme
    bucket: str
    key: str

    def __str__(self) -> str:
        """Return the URL as written in a manifest."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_url(path: str) -> bool:
    """Return whether a path is a URL of any scheme, and not the path of a file."""
    return "://" in path


def parse_object_url(path: str) -> ObjectUrl | None:
    """Parse an object URL.

    Return ``None`` for another scheme, or if anything but a bucket precedes the key: credentials
    before an ``@`` are not accepted.
    """
    match = _URL.fullmatch(path)
    scheme = next((known for known in _SCHEMES if match and match[1] == known), None)
    if not match or scheme is None or not _BUCKET.fullmatch(match[2]):
        return None
    return ObjectUrl(scheme=scheme, bucket=match[2], key=match[3])
