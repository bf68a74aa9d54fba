"""What the HTML report shows of each segment: its row, its marks and its details."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.plan.model import Action, Attributes, Change, Finding, Flow, MemberCounts, Plan
from segctl.render import phrases
from segctl.render.charts import Composition, composition
from segctl.render.member_format import SHOWN_MEMBERS, MemberFormat, more_members
from segctl.render.phrases import MINUS

_MAX_FINDINGS = 8
"""The most findings and moves that the details of one segment list."""

_MAX_MEMBERS_OF_MANY = 3
_MANY_SEGMENTS = 500
"""With more segments than this, the details list fewer members, so that the file stays small."""


@dataclass(frozen=True, kw_only=True)
class AttributeRow:
    """One attribute: both values as text, ``None`` where the segment has or had none."""

    path: str
    before: str | None
    after: str | None
    forces_replacement: bool = False


@dataclass(frozen=True, kw_only=True)
class MemberList:
    """A few of the added (``+``) or removed users, and how many more there are."""

    sign: str
    title: str
    members: tuple[str, ...]
    more: str


@dataclass(frozen=True, kw_only=True)
class SegmentView:
    """One listed segment.

    ``mark`` is ``error`` or ``warning`` if a guard or a rule says so, otherwise empty.
    ``growth`` is the change of its size in percent, as text and as the number to sort by.
    """

    index: int
    change: Change
    name: str
    id: str
    is_managed: bool
    mark: str
    codes: tuple[str, ...]
    findings: tuple[Finding, ...]
    more_findings: int
    growth: str
    growth_value: float
    loss: str
    bar: Composition | None
    attributes: tuple[AttributeRow, ...]
    members: tuple[MemberList, ...]
    moves: tuple[Flow, ...]
    more_moves: int


def listed_changes(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that the report lists: what a guard or rule marks, then by danger.

    An unchanged segment is listed if a guard or a rule marks it.
    """
    marks = _marks(_findings_by_address(plan.findings))
    order = ["error", "warning", ""]
    unchanged = [c for c in plan.changes if c.action is Action.NO_OP and marks.get(c.address)]
    listed = (*phrases.most_dangerous_first(plan), *unchanged)
    return tuple(sorted(listed, key=lambda change: order.index(marks.get(change.address, ""))))


def segment_views(
    plan: Plan, changes: Sequence[Change], identities: MemberFormat
) -> tuple[SegmentView, ...]:
    """Return the views of the listed ``changes``, in their order."""
    findings = _findings_by_address(plan.findings)
    marks = _marks(findings)
    flows: Mapping[str, list[Flow]] = _flows_by_address(plan.flows or ())
    most = SHOWN_MEMBERS if len(changes) <= _MANY_SEGMENTS else _MAX_MEMBERS_OF_MANY
    views = []
    for index, change in enumerate(changes):
        attributes = change.after or change.before
        own = findings.get(change.address, [])
        moves = flows.get(change.address, [])
        counts = change.members
        views.append(
            SegmentView(
                index=index,
                change=change,
                name=attributes.display_name if attributes else "",
                id=(attributes and attributes.customer_segment_id) or "",
                is_managed=attributes is None or attributes.managed,
                mark=marks.get(change.address, ""),
                codes=tuple(dict.fromkeys(f.code for f in own if _is_limit(f))),
                findings=tuple(own[:_MAX_FINDINGS]),
                more_findings=max(len(own) - _MAX_FINDINGS, 0),
                growth=format_growth(counts.before, counts.after),
                growth_value=_growth_value(counts),
                loss=phrases.format_percent(counts.remove, counts.before),
                bar=composition(change),
                attributes=tuple(_attributes(change)),
                members=tuple(_member_lists(change, identities, most)),
                moves=tuple(moves[:_MAX_FINDINGS]),
                more_moves=max(len(moves) - _MAX_FINDINGS, 0),
            )
        )
    return tuple(views)


def format_growth(before: int, after: int) -> str:
    """Return the growth of a size, ``new`` if it was 0; empty if it stays the same."""
    return phrases.format_growth(before, after) or ("new" if after > before else "")


def _growth_value(counts: MemberCounts) -> float:
    """Return the number that sorts the growth; a segment that was empty grows most."""
    if counts.before:
        return round(100 * (counts.after - counts.before) / counts.before, 3)
    return 1e12 if counts.after else 0.0


def _findings_by_address(findings: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    """Return the findings about each segment, errors first."""
    order = list(Severity)
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: order.index(finding.severity)):
        figures = finding.figures
        about = [finding.address] if finding.address else []
        for address in dict.fromkeys((*about, *(figures.segments if figures else ()))):
            found[address].append(finding)
    return found


def _is_limit(finding: Finding) -> bool:
    """Return whether a guard or a rule says it: it refuses, or it has a limit."""
    has_limit = finding.figures is not None and finding.figures.limit is not None
    return finding.severity is Severity.ERROR or (
        finding.severity is Severity.WARNING and has_limit
    )


def _marks(findings: Mapping[str, Sequence[Finding]]) -> Mapping[str, str]:
    """Return the worst severity of a guard or rule for each segment that has one."""
    return {
        address: next(str(f.severity) for f in own if _is_limit(f))
        for address, own in findings.items()
        if any(map(_is_limit, own))
    }


def _flows_by_address(flows: Sequence[Flow]) -> Mapping[str, list[Flow]]:
    found: defaultdict[str, list[Flow]] = defaultdict(list)
    for flow in flows:
        found[flow.leaves].append(flow)
        found[flow.joins].append(flow)
    return found


def _attributes(change: Change) -> Iterator[AttributeRow]:
    lists_changes = change.action in {Action.UPDATE, Action.REPLACE, Action.ADOPT}
    if lists_changes and change.attributes:
        for a in change.attributes:
            yield AttributeRow(
                path=a.path,
                before=None if a.before is None else phrases.format_value(a.before),
                after=None if a.after is None else phrases.format_value(a.after),
                forces_replacement=change.action is Action.REPLACE
                and a.path == "customerSegmentId",
            )
    elif change.action in {Action.CREATE, Action.ADOPT} and change.after:
        for path, value in _main_attributes(change.after):
            yield AttributeRow(path=path, before=None, after=value)
    elif change.action in {Action.DESTROY, Action.FORGET} and change.before:
        for path, value in _main_attributes(change.before):
            yield AttributeRow(path=path, before=value, after=None)


def _main_attributes(attributes: Attributes) -> Iterator[tuple[str, str]]:
    values = {
        "customerSegmentId": attributes.customer_segment_id,
        "displayName": attributes.display_name,
        "labels": attributes.labels,
    }
    yield from ((path, phrases.format_value(value)) for path, value in values.items() if value)


def _member_lists(change: Change, identities: MemberFormat, most: int) -> Iterator[MemberList]:
    counts = change.members
    for sign, title, sample, total in (
        ("+", "Added", change.sample.add, counts.add),
        (MINUS, "Removed", change.sample.remove, counts.remove),
    ):
        if members := identities.members(sample, most=most):
            more = more_members(members, total)
            yield MemberList(sign=sign, title=title, members=members, more=more)
