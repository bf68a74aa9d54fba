"""Findings that say the same of many segments, told as one.

A workspace of 200 segments with suppressed users would otherwise have 200 notes, and the
one that matters among them.  Programs get every finding by itself (``json_document``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from segctl.core.diagnostics import Severity
from segctl.plan.model import Finding

ALIKE = 3
"""So many notes that differ in segment and count alone are told one by one."""

OF_A_KIND = 12
"""So many of other findings are, before the rest is counted; a ``disjoint`` rule gives 11."""

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class _Together:
    """How one says it of ``count`` users or rows, and ``places`` segments or sources."""

    summary: str
    most: int = ALIKE


def gathered(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Give what a reviewer reads, the gravest first; what is alike stands together, or is one."""
    groups: dict[tuple[int, str], list[Finding]] = {}
    for found in findings:
        rank = list(Severity).index(found.severity)
        groups.setdefault((rank, found.code), []).append(found)
    for (_, code), group in sorted(groups.items(), key=lambda entry: entry[0][0]):
        together = _TOGETHER.get(code)
        if together and len(group) > together.most:
            yield _as_one(group, together)
        elif len(group) > OF_A_KIND:
            yield from _the_most(group)
        else:
            yield from group


def _as_one(group: Sequence[Finding], together: _Together) -> Finding:
    first = group[0]
    by_count = sorted(group, key=lambda found: -_count(found))
    return Finding(
        severity=first.severity,
        code=first.code,
        summary=together.summary.format(count=sum(map(_count, group)), places=len(group)),
        detail=f"{_where(by_count)}\n{first.detail}".rstrip(),
    )


def _the_most(group: Sequence[Finding]) -> Iterator[Finding]:
    """Give those that count the most, and how many more there are."""
    yield from sorted(group, key=lambda found: -_count(found))[:OF_A_KIND]
    yield Finding(
        severity=group[0].severity,
        code=group[0].code,
        summary=f"{len(group) - OF_A_KIND:,} more like these; --format json has all of them",
    )


def _count(found: Finding) -> int:
    return found.figures.count if found.figures else 0


def _where(by_count: Sequence[Finding]) -> str:
    """Name the first few places, with the count of each."""
    shown = []
    for found in islice(by_count, _NAMED):
        name = found.address or (found.figures and found.figures.place) or ""
        shown.append(f"{name} ({_count(found):,})" if found.figures else name)
    more = len(by_count) - len(shown)
    return f"{', '.join(shown)}{f' and {more:,} more' if more else ''}."


_TOGETHER: Mapping[str, _Together] = {
    "suppressed": _Together(
        summary="{count:,} suppressed by spec.suppress, counted in each of {places:,} segments"
    ),
    "held-out": _Together(summary="{count:,} held out, counted in each of {places:,} segments"),
    "quarantined": _Together(
        summary="{count:,} refused earlier, not retried, in {places:,} segments"
    ),
    "reasserted": _Together(
        summary="{count:,} sent again in {places:,} segments because their last request got no "
        "answer"
    ),
    "no-rename": _Together(
        summary="{places:,} segments have a new displayName, but CleverTap keeps the old names"
    ),
    "delete-shell": _Together(summary="{places:,} emptied segments stay in CleverTap"),
    "rows-read": _Together(summary="{count:,} rows of {places:,} sources, no duplicates", most=10),
}
