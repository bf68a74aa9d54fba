"""Hold-outs: a stable share of users that a segment leaves out, to measure its effect.

Only the salt and the user key decide who is held out. Nothing is stored, and every run and
every engine arrives at the same users. ``engine/set_operations.py`` has the same rule in SQL.
"""

import hashlib

from segctl.core.dataclass import dataclass
from segctl.core.identity import Kind, encode_identity

SEPARATOR = "\x1f"
"""Separates salt and user key in the hash input; a salt contains no control characters."""

_SPAN = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which users are held out: ``percent`` of them, chosen by ``salt``.

    The same salt chooses the same users in every segment. A larger share includes all users
    of a smaller one.
    """

    percent: float
    salt: str

    @property
    def threshold(self) -> int:
        """The exclusive upper limit, from 0 to 2**64, for the hash of a user who is held out."""
        part, whole = self.percent.as_integer_ratio()
        return -(-part * _SPAN // (100 * whole))  # rounded up; integers, so exact

    def holds_out(self, kind: Kind, value: str) -> bool:
        """Return whether a user is held out."""
        text = f"{self.salt}{SEPARATOR}".encode() + encode_identity(kind, value)
        return int.from_bytes(hashlib.sha256(text).digest()[:8]) < self.threshold
