"""Addresses: the unique names of managed objects, such as ``segment.gold``."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
"""A valid ``metadata.name``: 1 to 128 letters, digits, dots, dashes and underscores."""

_NAME = re.compile(NAME_PATTERN)
_PREFIX = "segment."


def is_name(text: str) -> bool:
    """Return whether ``text`` is a valid segment name."""
    return _NAME.fullmatch(text) is not None


def segment_address(name: str) -> str:
    """Return the address of the segment called ``name``."""
    return _PREFIX + name


def segment_name(address: str) -> str:
    """Return the segment name in an address; the inverse of ``segment_address``."""
    return address.removeprefix(_PREFIX)


def is_address(text: str) -> bool:
    """Return whether ``text`` is a complete address, not a pattern."""
    return text.startswith(_PREFIX) and is_name(text.removeprefix(_PREFIX))


def is_targeted(address: str, patterns: Iterable[str]) -> bool:
    """Return whether ``--target`` patterns select an address; no patterns select every address.

    A pattern is a glob that must match the whole address. Without the ``segment.`` prefix it
    is matched against the name.
    """
    globs = [p if p.startswith(_PREFIX) else _PREFIX + p for p in patterns]
    return not globs or any(fnmatchcase(address, glob) for glob in globs)
