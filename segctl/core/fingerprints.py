"""What members are computed from, told by digests, so that what did not change is not read again.

A fingerprint stands for everything that decides which rows a source gives, or which
members a segment is to have.  With the state facts are kept: a source of this
fingerprint holds so many rows; sources of that one come to this set of members; a rule
holds for segments of those.  A fact cannot go stale, whatever becomes of the state: a
segment is as desired where its present fingerprint comes to the very set recorded.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from segctl import __version__
from segctl.core.codec import to_plain
from segctl.core.identity import SetDigest

RULES_VERSION = 1
"""Raised whenever the same sources may come to other members: when the rules of what an
identity is, how files are read, or how sets are put together, change.  A release of
segctl does so too, whatever changed."""


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What a source holds, for the findings of a plan: see ``engine.base.LoadStats``."""

    rows: int
    duplicates: int = 0
    invalid: Mapping[str, int] = field(default_factory=dict)
    others: int = 0


@dataclass(frozen=True, kw_only=True)
class Basis:
    """A fact: sources of the fingerprint ``sources`` come to the set ``members``.

    So many users would be in it, were they not ``held_out`` or ``suppressed``.
    """

    sources: str
    members: SetDigest
    held_out: int = 0
    suppressed: int = 0


def fingerprint(*told: object) -> str:
    """Give the SHA-256 of plain values and dataclasses of them, in hexadecimal digits.

    Mappings are taken without their order, sequences with it.
    """
    plain = to_plain([__version__, RULES_VERSION, told])
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def segment_fingerprint(settings: object, feeds: Iterable[tuple[str, str]]) -> str:
    """Give the fingerprint of what a segment's members are computed from.

    ``feeds`` are its sources in any order: what each does for the segment (its role, or
    the value of its segment column) and its fingerprint.  ``settings`` are those of the
    segment that have a say in who is in it.
    """
    return fingerprint("segment", settings, sorted(feeds))
