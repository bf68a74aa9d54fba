"""User keys: their two kinds, what makes one invalid, and the digest of a set of them.

An unknown identity creates a junk profile in the service, so values are checked and never
corrected. ``engine/sql.py`` builds the same check in SQL from the patterns here, so that a
file of ten million rows and an inline list follow the same rules.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from segctl.core.dataclass import dataclass

MAX_CHARACTERS = 1023
"""An error text of the service's CSV upload says that identifiers have under 1,024 characters."""

PLACEHOLDERS = frozenset(
    "undefined null na n/a 0 nil -1 infinity -infinity inf -inf nan -nan xxxxxx none".split()
)
"""Values that the service's CSV upload refuses as identities, in any case."""

NULL_MARKS = frozenset(
    [
        *(r"\n", "(null)", "[null]", "<null>", "(none)", "<none>", "(blank)", "(empty)"),
        *("<na>", "nat", "[object object]"),
        *("#n/a", "#null!", "#ref!", "#name?", "#value!", "#div/0!", "#num!"),
    ]
)
r"""What programs write for no value, in any case: ``\N`` of databases, ``<NA>`` and ``NaT`` of data
frames, ``[object Object]`` of JavaScript, the errors of spreadsheets."""

MANGLED_PATTERN = '[-+]?[0-9]+([.,][0-9]+)?[eE][-+][0-9]{1,3}|=".*"'
"""What spreadsheets make of long numbers and of leading zeros: ``9.19877E+11``, ``="0012"``."""

CONTROL_PATTERN = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
SPACE_PATTERN = "[ \\x{a0}\\x{1680}\\x{2000}-\\x{200b}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]"
"""Both patterns are in RE2 syntax, for DuckDB; the Python patterns are derived from them."""


def _python(pattern: str) -> str:
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: re.escape(chr(int(m[1], 16))), pattern)


_CONTROL = re.compile(_python(CONTROL_PATTERN))
_MANGLED = re.compile(MANGLED_PATTERN)
_BLANK = re.compile(f"{_python(SPACE_PATTERN)}*")
_SPACE = _python(SPACE_PATTERN)
_SURROUNDED = re.compile(f"^{_SPACE}|{_SPACE}$")


class Kind(StrEnum):
    """The kind of a user key: the customer's own identity, or CleverTap's id of a device."""

    IDENTITY = "identity"
    GUID = "guid"


class IdentityProblem(StrEnum):
    """Why a value cannot be a user key, in the order in which the checks run."""

    NULL = "null"
    EMPTY = "empty"
    CONTROL = "control"
    SPACE = "space"
    LONG = "long"
    PLACEHOLDER = "placeholder"
    NULL_MARK = "null-mark"
    MANGLED = "mangled"
    PATTERN = "pattern"


PROBLEM_DESCRIPTIONS = {
    IdentityProblem.NULL: "no value (NULL)",
    IdentityProblem.EMPTY: "an empty or blank value",
    IdentityProblem.CONTROL: "a control character",
    IdentityProblem.SPACE: "white space around the value",
    IdentityProblem.LONG: f"more than {MAX_CHARACTERS:,} characters",
    IdentityProblem.PLACEHOLDER: "a placeholder that the service refuses as an identity",
    IdentityProblem.NULL_MARK: "a mark that programs write for no value",
    IdentityProblem.MANGLED: "a number or formula that a spreadsheet changed",
    IdentityProblem.PATTERN: "a value that does not match pattern",
}


_CHECKS: tuple[tuple[IdentityProblem, Callable[[str], object]], ...] = (
    (IdentityProblem.EMPTY, _BLANK.fullmatch),
    (IdentityProblem.CONTROL, _CONTROL.search),
    (IdentityProblem.SPACE, _SURROUNDED.search),
    (IdentityProblem.LONG, lambda value: len(value) > MAX_CHARACTERS),
    (IdentityProblem.PLACEHOLDER, lambda value: value.lower() in PLACEHOLDERS),
    (IdentityProblem.NULL_MARK, lambda value: value.lower() in NULL_MARKS),
    (IdentityProblem.MANGLED, _MANGLED.fullmatch),
)


_COMMON = re.compile("[A-Za-z0-9][!-~]*@[!-~]*|[0-9]{2,}|[A-Za-z][!-~]{15,}")
"""Valid keys, unless too long: email addresses, numbers, and words longer than any mark."""


def find_problem(value: str) -> IdentityProblem | None:
    """Return what is wrong with a user key, or ``None`` if it is valid."""
    if _COMMON.fullmatch(value) and len(value) <= MAX_CHARACTERS:
        return None
    return next((problem for problem, applies in _CHECKS if applies(value)), None)


_MODULUS = 1 << 128


@dataclass(frozen=True, kw_only=True)
class SetDigest:
    """The digest of a set of user keys; the order of the keys does not matter.

    ``total`` is the sum, modulo 2**128, of the first 128 bits of the SHA-256 of each encoded
    key. The digest of a changed set can therefore be computed from the old digest and the
    change, without reading the set.
    """

    count: int = 0
    total: int = 0

    def __add__(self, other: "SetDigest") -> "SetDigest":
        """Return the digest of the union with a disjoint set."""
        return SetDigest(
            count=self.count + other.count, total=(self.total + other.total) % _MODULUS
        )

    def __sub__(self, other: "SetDigest") -> "SetDigest":
        """Return the digest of the set without a subset of it."""
        return SetDigest(
            count=self.count - other.count, total=(self.total - other.total) % _MODULUS
        )

    def __str__(self) -> str:
        """Return the count, a colon, and ``total`` as 32 hexadecimal digits."""
        return f"{self.count}:{self.total:032x}"

    @classmethod
    def parse(cls, text: str) -> "SetDigest":
        """Parse the result of ``str``; raises ``ValueError``."""
        count, colon, total = text.partition(":")
        if not colon or len(total) != 32:
            raise ValueError(text)
        return cls(count=int(count), total=int(total, 16))

    @classmethod
    def of(cls, members: Iterable[tuple[Kind, str]]) -> "SetDigest":
        """Compute the digest of ``members``, which must be distinct. Engines do it in SQL."""
        count = total = 0
        for kind, value in members:
            count += 1
            total += int.from_bytes(hashlib.sha256(encode_identity(kind, value)).digest()[:16])
        return cls(count=count, total=total % _MODULUS)


def encode_identity(kind: Kind, value: str) -> bytes:
    """Encode a user key for hashing: one letter for the kind, then the value in UTF-8."""
    return f"{kind[0]}{value}".encode()
