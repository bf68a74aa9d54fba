"""Addresses: the unique names of managed objects, such as ``segment.gold``."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
"""What ``metadata.name`` may be: 1 to 128 letters, digits, dots, dashes, underscores."""

_NAME = re.compile(NAME_PATTERN)
_PREFIX = "segment."


def is_name(text: str) -> bool:
    """Tell whether ``text`` can be the name of a segment."""
    return _NAME.fullmatch(text) is not None


def segment_address(name: str) -> str:
    """Give the address of the segment called ``name``."""
    return _PREFIX + name


def segment_name(address: str) -> str:
    """Give the name in an address; the inverse of ``segment_address``."""
    return address.removeprefix(_PREFIX)


def is_address(text: str) -> bool:
    """Tell whether ``text`` is a whole address, not a pattern."""
    return text.startswith(_PREFIX) and is_name(text.removeprefix(_PREFIX))


def is_targeted(address: str, patterns: Iterable[str]) -> bool:
    """Tell whether an address is picked by ``--target`` patterns; no pattern picks all.

    A pattern is a glob over whole addresses; without the ``segment.`` prefix it is
    taken for a name.
    """
    globs = [p if p.startswith(_PREFIX) else _PREFIX + p for p in patterns]
    return not globs or any(fnmatchcase(address, glob) for glob in globs)
