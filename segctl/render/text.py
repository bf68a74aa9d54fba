"""The plan as text, in the style of Terraform: for terminals and logs."""

from collections.abc import Iterator, Sequence

from segctl.core.diagnostics import Severity
from segctl.plan.findings import NOTHING_RECORDED
from segctl.plan.holding import HELD_BACK, HOLD_HINT, can_hold
from segctl.plan.model import Action, Attributes, Change, Finding, Plan
from segctl.render import phrases
from segctl.render.grouping import group_findings
from segctl.render.member_format import (
    IN_FULL,
    NOT_SHOWN,
    Identities,
    MemberFormat,
    more_members,
)
from segctl.render.style import PLAIN, Style, escaped, quoted

_INDENT = "    "
_MAX_PATH_WIDTH = 40
"""Values are aligned up to this column; a longer path pushes its value to the right."""


def render(plan: Plan, *, identities: MemberFormat = IN_FULL, style: Style = PLAIN) -> str:
    """Return the whole page, ending in a line break."""
    held = [f for f in plan.findings if f.code == HELD_BACK]
    opening = [f for f in plan.findings if f.code == NOTHING_RECORDED]
    lines = []
    if held:
        count = phrases.held_line(plan).removesuffix(".")
        lines += [style.yellow(style.bold(f"{count}: nothing is sent for what is named here."))]
        lines += [f"  {phrases.held_names(plan)}"] if len(plan.held_segments) > 1 else []
        lines += [""]
    for finding in [*group_findings(held), *opening]:
        lines += [*finding_lines(finding, identities=identities, style=style), ""]
    lines += _body(plan, identities, style)
    others = [f for f in plan.findings if f.code not in (HELD_BACK, NOTHING_RECORDED)]
    lines += _findings(others, identities, style, has_body=not plan.is_empty)
    lines += _summary(plan, identities, style)
    return "\n".join(lines) + "\n"


def _body(plan: Plan, identities: MemberFormat, style: Style) -> Iterator[str]:
    if plan.is_empty:
        reason = style.bold(phrases.no_changes_reason(plan))
        yield f"{style.green(style.bold(phrases.NO_CHANGES))} {reason}"
        return
    yield "Actions are indicated with the following symbols:"
    yield from _legend(plan, style)
    yield ""
    yield "segctl will perform the following actions:"
    yield ""
    for change in phrases.shown_changes(plan):
        yield from segment_lines(change, identities=identities, style=style)
        yield ""
    if hidden := phrases.unchanged_line(plan):
        yield style.dim(f"  # {hidden}")
        yield ""


def _legend(plan: Plan, style: Style) -> Iterator[str]:
    for action, meaning in phrases.LEGEND.items():
        if plan.count(action):
            yield f"{_sign(action, style)} {meaning}"


def _sign(action: Action, style: Style) -> str:
    symbol = f"{phrases.SYMBOLS[action]:>3}"
    match action:
        case Action.CREATE:
            return style.green(symbol)
        case Action.ADOPT:
            return style.cyan(symbol)
        case Action.UPDATE:
            return style.yellow(symbol)
        case Action.REPLACE:
            return f"{style.red('-')}/{style.green('+')}"
        case _:
            return style.red(symbol)


def segment_lines(
    change: Change, *, identities: MemberFormat = IN_FULL, style: Style = PLAIN
) -> Iterator[str]:
    """Yield the lines of one segment: its action, the reason, its attributes and members."""
    sentence = phrases.SENTENCES[change.action]
    if change.action in {Action.DESTROY, Action.REPLACE}:
        sentence = style.red(sentence)
    yield style.bold(f"  # {escaped(change.address)} ") + style.bold(sentence)
    if change.reason:
        yield f"  # ({escaped(change.reason)})"
    name = quoted(change.address.removeprefix("segment."))
    yield f"{_sign(change.action, style)} segment {name} {{"
    yield from _attributes(change, style)
    yield from _members(change, identities, style)
    yield f"{_INDENT}}}"


def _attributes(change: Change, style: Style) -> Iterator[str]:
    if change.action in {Action.UPDATE, Action.REPLACE, Action.ADOPT} and change.attributes:
        yield from _changed(change, style)
    elif change.action in {Action.CREATE, Action.ADOPT} and change.after:
        yield from _listed(change.after, style.green("+"))
    elif change.action in {Action.DESTROY, Action.FORGET} and change.before:
        yield from _listed(change.before, " ")


def _changed(change: Change, style: Style) -> Iterator[str]:
    width = min(_MAX_PATH_WIDTH, max(len(escaped(a.path)) for a in change.attributes))
    arrow = style.yellow("->")
    for attribute in change.attributes:
        old, new = phrases.format_value(attribute.before), phrases.format_value(attribute.after)
        forces = change.action is Action.REPLACE and attribute.path == "customerSegmentId"
        note = style.red("  # forces replacement") if forces else ""
        path = f"{escaped(attribute.path):<{width}}"
        yield f"{_INDENT}  {style.yellow('~')} {path} = {old} {arrow} {new}{note}"


def _listed(attributes: Attributes, sign: str) -> Iterator[str]:
    rows = {
        "customerSegmentId": attributes.customer_segment_id,
        "displayName": attributes.display_name,
        "labels": attributes.labels,
    }
    shown = {path: value for path, value in rows.items() if value}
    width = max((len(path) for path in shown), default=0)
    for path, value in shown.items():
        yield f"{_INDENT}  {sign} {path:<{width}} = {phrases.format_value(value)}"


def _members(change: Change, identities: MemberFormat, style: Style) -> Iterator[str]:
    counts = change.members
    attributes = change.after or change.before
    if attributes and not attributes.managed:
        yield f"{_INDENT}    members are not managed"
    else:
        sign = style.yellow("~") if counts.sent else " "
        yield f"{_INDENT}  {sign} {phrases.member_counts_line(counts)}"
    for sample, total, sign in (
        (change.sample.add, counts.add, style.green("+")),
        (change.sample.remove, counts.remove, style.red("-")),
    ):
        shown = identities.members(sample)
        more = more_members(shown, total)
        if shown and identities.shown is Identities.MASKED:
            yield f"{_INDENT}      {sign} {' '.join(filter(None, (*shown, more)))}"
            continue
        yield from (f"{_INDENT}      {sign} {member}" for member in shown)
        if more:
            yield style.dim(f"{_INDENT}        # {more}")
    for line in phrases.extra_count_lines(counts):
        yield style.dim(f"{_INDENT}    # {line}")


def _findings(
    findings: Sequence[Finding], identities: MemberFormat, style: Style, *, has_body: bool
) -> Iterator[str]:
    """Yield findings. Single-line findings of one severity have no blank line in between."""
    previous: Finding | None = None
    for finding in group_findings(findings):
        is_compact = (
            previous
            and previous.severity == finding.severity
            and not (previous.detail or finding.detail)
        )
        if (previous or not has_body) and not is_compact:
            yield ""
        yield from finding_lines(finding, identities=identities, style=style)
        previous = finding
    if previous and has_body:
        yield ""


def finding_lines(
    finding: Finding, *, identities: MemberFormat = NOT_SHOWN, style: Style = PLAIN
) -> Iterator[str]:
    """Yield the lines of one finding: severity, address, summary, users, and what to do."""
    severity = finding.severity
    paint = {Severity.ERROR: style.red, Severity.WARNING: style.yellow}.get(severity, style.cyan)
    heading = paint(style.bold(phrases.severity_title(severity)))
    address = phrases.finding_address(finding)
    summary = escaped(f"{address}: {finding.summary}" if address else finding.summary)
    yield f"{heading}: {style.bold(summary)} {style.dim(f'[{finding.code}]')}"
    if line := identities.examples(finding):
        yield f"  {line}"
    for line in finding.detail.splitlines():
        yield f"  {escaped(line)}"


def _summary(plan: Plan, identities: MemberFormat, style: Style) -> Iterator[str]:
    if note := phrases.target_note(plan):
        yield from (style.yellow(note), "")
    if not plan.is_empty:
        yield style.bold(phrases.plan_line(plan))
        yield phrases.members_line(plan)
        if line := phrases.creates_line(plan):
            yield line
        if line := phrases.tolerance_line(plan):
            yield line
        if line := phrases.origin_line(plan):
            yield style.dim(line)
    if line := identities.note(plan):
        yield style.dim(line)
    if line := phrases.held_line(plan):
        yield ""
        yield style.yellow(style.bold(f"{line.removesuffix('.')}, named at the top."))
    if line := phrases.refusal_line(plan, position=" above"):
        yield ""
        yield style.red(style.bold(line))
        if can_hold(plan):
            yield HOLD_HINT
