"""Hashes of user keys, to name a member in a log or a comment without showing the key.

A hash is under a secret key that the state holds: who has a list of e-mail addresses or phone
numbers cannot find out which of them a hash is. ``engine/sql.py`` has the same hash in SQL.
"""

import hashlib
import re

from segctl.core.identity import Kind, encode_identity

HASH_DIGITS = 10
"""Hexadecimal digits of a hash.

Of ten million members, the chance that another one has the hash of a given member is 1 in 110,000.
"""

KEY_DIGITS = 64
"""Hexadecimal digits of a key: 256 bits, and one whole block of SHA-256 as text."""

_HASH = re.compile(rf"[^0-9a-z]*([0-9a-f]{{{HASH_DIGITS}}})[^0-9a-z]*")
"""A hash as people copy it: with ``#``, a quote or a comma, or with nothing."""

_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")


def is_key(text: str) -> bool:
    """Whether a text is a key."""
    return bool(_KEY.fullmatch(text))


def hash_member(key: str, kind: Kind, value: str) -> str:
    """Return the hash of a user key, without ``#``: the start of SHA-256 of the key and it."""
    text = key.encode() + encode_identity(kind, value)
    return hashlib.sha256(text).hexdigest()[:HASH_DIGITS]


def parse_hash(text: str) -> str | None:
    """Return the hash that a view shows as ``text``, with or without ``#``; ``None`` if it is none.

    Upper and lower case are the same.
    """
    found = _HASH.fullmatch(text.lower())
    return found[1] if found else None
