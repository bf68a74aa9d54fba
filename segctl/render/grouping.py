"""Merge findings that say the same about many segments, and changes that are alike.

Without this, a workspace of 200 segments with suppressed users would show 200 notes, and the
important finding would be hard to spot. The JSON document lists every finding separately.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.plan.findings import NOTHING_RECORDED
from segctl.plan.holding import HELD_BACK
from segctl.plan.model import Change, Finding

MAX_SEPARATE = 3
"""The most findings of a mergeable kind that are shown one by one."""

MAX_SHOWN = 12
"""The most findings of another kind that are shown; a ``disjoint`` rule can have 11."""

MAX_ROWS = 20
"""The most changes of which none are merged."""

_MAX_NAMED = 5

_GRAVE = frozenset(
    (
        HELD_BACK,
        NOTHING_RECORDED,
        "other-host",
        "restriction-removed",
        "restriction-shrunk",
        "restriction-matches-nobody",
        "similar-values",
        "passed-over",
    )
)
"""The codes of findings about people whom the plan may reach by mistake."""


@dataclass(frozen=True, kw_only=True)
class _MergedKind:
    """The summary of merged findings, from their total ``count`` and number of ``places``.

    Places are segments or sources. Up to ``max_separate`` findings are not merged.
    """

    summary: str
    max_separate: int = MAX_SEPARATE


def group_findings(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings that a reviewer reads, errors first, the gravest first, grouped by code.

    A large group becomes one finding with the sum, or its largest findings and a count of the
    rest.
    """
    groups: dict[tuple[int, str], list[Finding]] = {}
    for finding in findings:
        rank = list(Severity).index(finding.severity)
        groups.setdefault((rank, finding.code), []).append(finding)
    for rank, code in sorted(groups, key=_gravity):
        group = groups[rank, code]
        kind = _MERGED_KINDS.get(code)
        if kind and len(group) > kind.max_separate:
            yield _merge(group, kind)
        elif len(group) > MAX_SHOWN:
            yield from _largest(group)
        else:
            yield from group


def group_changes(
    changes: Sequence[Change], *, separate: Collection[str]
) -> list[tuple[Change, ...]]:
    """Return the changes in groups of like ones, in the order of the first of each group.

    Changes are alike if they do the same with the same number of members, for the same reason. Up
    to ``MAX_ROWS`` changes, up to ``MAX_SEPARATE`` like ones, and those of the addresses
    ``separate`` are groups of their own.
    """
    if len(changes) <= MAX_ROWS:
        return [(change,) for change in changes]
    alike: dict[object, list[Change]] = {}
    for change in changes:
        key = change.address if change.address in separate else _likeness(change)
        alike.setdefault(key, []).append(change)
    groups: list[tuple[Change, ...]] = []
    for group in alike.values():
        groups += [tuple(group)] if len(group) > MAX_SEPARATE else [(c,) for c in group]
    return groups


def _likeness(change: Change) -> tuple[object, ...]:
    members, attributes = change.members, change.after or change.before
    is_managed = attributes is None or attributes.managed
    return (
        change.action,
        change.reason,
        is_managed,
        members.add,
        members.remove,
        members.reasserted,
    )


def _gravity(key: tuple[int, str]) -> tuple[int, bool]:
    """Return the sort key of a group of findings with this rank of severity and this code."""
    rank, code = key
    return rank, code not in _GRAVE


def _merge(group: Sequence[Finding], kind: _MergedKind) -> Finding:
    first = group[0]
    return Finding(
        severity=first.severity,
        code=first.code,
        summary=kind.summary.format(count=sum(map(_count, group)), places=len(group)),
        detail=f"{_list_places(group)}\n{first.detail}".rstrip(),
    )


def _largest(group: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the findings with the largest counts, and one that counts the rest."""
    yield from _by_count(group)[:MAX_SHOWN]
    yield Finding(
        severity=group[0].severity,
        code=group[0].code,
        summary=f"{len(group) - MAX_SHOWN:,} more like these; --format json has all of them",
    )


def _by_count(group: Sequence[Finding]) -> list[Finding]:
    return sorted(group, key=lambda finding: -_count(finding))


def _count(finding: Finding) -> int:
    return finding.figures.count if finding.figures else 0


def _list_places(group: Sequence[Finding]) -> str:
    """Return the segments or sources with the largest counts, and how many more there are."""
    shown = []
    for finding in islice(_by_count(group), _MAX_NAMED):
        name = finding.address or (finding.figures and finding.figures.place) or ""
        shown.append(f"{name} ({_count(finding):,})" if finding.figures else name)
    more = len(group) - len(shown)
    return f"{', '.join(shown)}{f' and {more:,} more' if more else ''}."


_MERGED_KINDS: Mapping[str, _MergedKind] = {
    "suppressed": _MergedKind(
        summary="{count:,} suppressed by spec.suppress, counted in each of {places:,} segments"
    ),
    "held-out": _MergedKind(summary="{count:,} held out, counted in each of {places:,} segments"),
    "quarantined": _MergedKind(
        summary="{count:,} refused earlier, not retried, in {places:,} segments"
    ),
    "reasserted": _MergedKind(
        summary="{count:,} sent again in {places:,} segments because their last request got no "
        "answer"
    ),
    "no-rename": _MergedKind(
        summary="{places:,} segments have a new displayName, but CleverTap keeps the old names"
    ),
    "removable-block": _MergedKind(
        summary="{places:,} blocks have nothing left to do, and can be removed"
    ),
    "delete-shell": _MergedKind(summary="{places:,} emptied segments stay in CleverTap"),
    "rows-read": _MergedKind(
        summary="{count:,} rows of {places:,} sources, no duplicates", max_separate=10
    ),
}
