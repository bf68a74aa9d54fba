"""Fingerprints of the inputs that members are computed from, so that unchanged inputs are not read.

A fingerprint covers everything that decides which rows a source returns, or which members a
segment gets. The state keeps facts about fingerprints: how many rows a source with this
fingerprint has, which set of members sources with that fingerprint produce, which rules hold
for them. Such a fact stays true however the state changes. A segment is up to date if its
current fingerprint is known to produce exactly the recorded set of members.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import field

from segctl import __version__
from segctl.core.codec import OPTIONAL, to_plain
from segctl.core.dataclass import dataclass
from segctl.core.identity import SetDigest

RULES_VERSION = 3
"""Part of every fingerprint. Increase it when the same sources may produce other members: when
the rules for identities, for reading files or for combining sets change. The version of segctl
is part of every fingerprint too, so a release has the same effect."""


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """Row counts of a source, for the findings of a plan.

    See ``engine.model.LoadStats`` and ``engine.model.Anomalies``.
    """

    rows: int
    duplicates: int = 0
    invalid: Mapping[str, int] = field(default_factory=dict)
    others: int = 0
    case_variants: int = field(default=0, metadata=OPTIONAL)
    case_share: int = field(default=1, metadata=OPTIONAL)
    header_lines: int = field(default=0, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The fact that sources with the fingerprint ``sources`` produce the set ``members``.

    ``held_out`` and ``suppressed`` are the numbers of users that were left out for that reason.
    """

    sources: str
    members: SetDigest
    held_out: int = 0
    suppressed: int = 0


def fingerprint(*inputs: object) -> str:
    """Return the SHA-256, in hexadecimal digits, of JSON values and dataclasses of them.

    The order of a mapping does not matter; the order of a sequence does.
    """
    plain = to_plain([__version__, RULES_VERSION, inputs])
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def segment_fingerprint(settings: object, sources: Iterable[tuple[str, str]]) -> str:
    """Return the fingerprint of everything that decides a segment's members.

    ``settings`` are the segment's settings that affect its members. ``sources`` holds, in any
    order, what each source does for the segment (its role, or the segment value) and the
    source's fingerprint.
    """
    return fingerprint("segment", settings, sorted(sources))
