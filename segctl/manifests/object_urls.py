"""The addresses of objects in buckets: ``s3://bucket/key``, ``gs://`` and ``az://``."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Scheme = Literal["s3", "gs", "az"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

URL_FORMS = "s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY"
"""How an address is written, for messages."""

_ADDRESS = re.compile("([a-z0-9+.-]+)://([^/]*)/?(.*)", re.DOTALL)
_BUCKET = re.compile("[A-Za-z0-9$][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, kw_only=True)
class ObjectUrl:
    """An object, a folder of objects or a pattern: ``key`` is taken as it is written."""

    scheme: Scheme
    bucket: str
    key: str

    def __str__(self) -> str:
        """Give it as it is written in a manifest."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_url(path: str) -> bool:
    """Tell whether a path is an address, of whatever kind, and not that of a file."""
    return "://" in path


def parse_object_url(path: str) -> ObjectUrl | None:
    """Read an address, ``None`` for one of another kind or with more than a bucket in it.

    What stands before an ``@`` would be credentials, which have no place there.
    """
    found = _ADDRESS.fullmatch(path)
    scheme = next((known for known in SCHEMES if found and found[1] == known), None)
    if not found or scheme is None or not _BUCKET.fullmatch(found[2]):
        return None
    return ObjectUrl(scheme=scheme, bucket=found[2], key=found[3])
