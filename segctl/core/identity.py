"""User keys: their two kinds, what makes one invalid, and the digest of a set of them.

An unknown identity makes a junk profile in the service, so a value is checked
and never mended.  The same rules stand in SQL (``engine/sql.py`` builds its
check from the patterns here), so that a member file of ten million rows and an
inline list are judged alike.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MAX_CHARACTERS = 1023
"""Identifiers must be under 1,024 characters, by the error text of the service's CSV upload."""

PLACEHOLDERS = frozenset(
    "undefined null na n/a 0 nil -1 infinity -infinity inf -inf nan -nan xxxxxx none".split()
)
"""Values that the service's CSV upload refuses as identities; compared without case."""

CONTROL_PATTERN = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
SPACE_PATTERN = "[ \\x{a0}\\x{1680}\\x{2000}-\\x{200b}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]"
"""Both in the notation of RE2, for SQL; Python's is derived from them."""


def _python(pattern: str) -> str:
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: re.escape(chr(int(m[1], 16))), pattern)


_CONTROL = re.compile(_python(CONTROL_PATTERN))
_BLANK = re.compile(f"{_python(SPACE_PATTERN)}*")
_SPACE = _python(SPACE_PATTERN)
_SURROUNDED = re.compile(f"^{_SPACE}|{_SPACE}$")


class Kind(StrEnum):
    """What a user key is: the customer's identity, or CleverTap's own id of a device."""

    IDENTITY = "identity"
    GUID = "guid"


class IdentityProblem(StrEnum):
    """Why a value cannot be a user key, in the order in which they are looked for."""

    NULL = "null"
    EMPTY = "empty"
    CONTROL = "control"
    SPACE = "space"
    LONG = "long"
    PLACEHOLDER = "placeholder"


PROBLEM_DESCRIPTIONS = {
    IdentityProblem.NULL: "no value (NULL)",
    IdentityProblem.EMPTY: "an empty or blank value",
    IdentityProblem.CONTROL: "a control character",
    IdentityProblem.SPACE: "white space around the value",
    IdentityProblem.LONG: f"more than {MAX_CHARACTERS:,} characters",
    IdentityProblem.PLACEHOLDER: "a placeholder that the service refuses as an identity",
}


def find_problem(value: str) -> IdentityProblem | None:
    """Tell what is wrong with a user key, ``None`` where nothing is."""
    if not value or _BLANK.fullmatch(value):
        return IdentityProblem.EMPTY
    if _CONTROL.search(value):
        return IdentityProblem.CONTROL
    if _SURROUNDED.search(value):
        return IdentityProblem.SPACE
    if len(value) > MAX_CHARACTERS:
        return IdentityProblem.LONG
    if value.lower() in PLACEHOLDERS:
        return IdentityProblem.PLACEHOLDER
    return None


def mask_identity(value: str) -> str:
    """Give a hint of a user key that shows at most a third of it: ``a…@e….com``, ``CT…56``."""
    local, at, domain = value.partition("@")
    if at and local and "." in domain.strip("."):
        host, _, top = domain.rpartition(".")
        hint = f"{local[0]}…@{host[:1]}….{top}"
        if 2 + len(top) <= len(value) // 3:
            return hint
    shown = len(value) // 3
    head = (shown + 1) // 2
    return f"{value[:head]}…{value[len(value) - (shown - head) :] if shown > head else ''}"


_MODULUS = 1 << 128


@dataclass(frozen=True, kw_only=True)
class SetDigest:
    """What a set of user keys adds up to, whatever engine holds it and in whatever order.

    ``total`` is the sum modulo 2**128 of the first 128 bits of SHA-256 over the
    canonical encoding of each key, so that the digest of a changed set follows
    from the old one and the change alone.
    """

    count: int = 0
    total: int = 0

    def __add__(self, other: "SetDigest") -> "SetDigest":
        """Give the digest of the union with a disjoint set."""
        return SetDigest(
            count=self.count + other.count, total=(self.total + other.total) % _MODULUS
        )

    def __sub__(self, other: "SetDigest") -> "SetDigest":
        """Give the digest without a subset."""
        return SetDigest(
            count=self.count - other.count, total=(self.total - other.total) % _MODULUS
        )

    def __str__(self) -> str:
        """Give the form in which a digest is written down."""
        return f"{self.count}:{self.total:032x}"

    @classmethod
    def parse(cls, text: str) -> "SetDigest":
        """Read what ``str`` wrote; raises ``ValueError``."""
        count, colon, total = text.partition(":")
        if not colon or len(total) != 32:
            raise ValueError(text)
        return cls(count=int(count), total=int(total, 16))

    @classmethod
    def of(cls, members: Iterable[tuple[Kind, str]]) -> "SetDigest":
        """Digest a set in Python, for checks; engines do the same in SQL."""
        count = total = 0
        for kind, value in members:
            count += 1
            total += int.from_bytes(hashlib.sha256(encode_identity(kind, value)).digest()[:16])
        return cls(count=count, total=total % _MODULUS)


def encode_identity(kind: Kind, value: str) -> bytes:
    """Encode a user key for the digest: one letter for the kind, then UTF-8."""
    return f"{kind[0]}{value}".encode()
