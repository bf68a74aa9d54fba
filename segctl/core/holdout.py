"""Hold-outs: a stable share of users that a segment leaves out, to measure what it does.

Who is held out follows from the salt and the user key alone: no run remembers it,
and every engine, language and day gives the same answer.  The same rule stands in
SQL (``engine/algebra.py``).
"""

import hashlib
from dataclasses import dataclass

from segctl.core.identity import Kind, encode_identity

SEPARATOR = "\x1f"
"""Stands between salt and user key; no salt has control characters in it."""

_SPAN = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which users are held out: ``percent`` of them, picked by ``salt``.

    The same salt picks the same users wherever it is used; a greater share holds out
    all users of a smaller one.
    """

    percent: float
    salt: str

    @property
    def threshold(self) -> int:
        """The hash, from 0 up to 2**64, from which on users are not held out."""
        part, whole = self.percent.as_integer_ratio()
        return -(-part * _SPAN // (100 * whole))  # rounded up, without a loss in between

    def holds_out(self, kind: Kind, value: str) -> bool:
        """Tell whether a user is held out."""
        text = f"{self.salt}{SEPARATOR}".encode() + encode_identity(kind, value)
        return int.from_bytes(hashlib.sha256(text).digest()[:8]) < self.threshold
