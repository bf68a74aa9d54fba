"""The plan as a page of text, in the manner of Terraform: for terminals and logs."""

from collections.abc import Iterator

from segctl.core.diagnostics import Severity
from segctl.plan.model import Action, Attributes, Change, Finding, Plan
from segctl.render import phrases
from segctl.render.grouping import gathered
from segctl.render.phrases import Identities
from segctl.render.style import PLAIN, Style, escaped, quoted

_STEP = "    "
_WIDEST = 40
"""Columns that a path may take before its value goes out of line."""


def render(plan: Plan, *, identities: Identities = Identities.FULL, style: Style = PLAIN) -> str:
    """Give the whole page, ending in a line break."""
    lines = [*_body(plan, identities, style), *_findings(plan, identities, style)]
    lines += _summary(plan, style)
    return "\n".join(lines) + "\n"


def _body(plan: Plan, identities: Identities, style: Style) -> Iterator[str]:
    if plan.is_empty:
        meaning = style.bold(phrases.no_changes_meaning(plan))
        yield f"{style.green(style.bold(phrases.NO_CHANGES))} {meaning}"
        return
    yield "Actions are indicated with the following symbols:"
    yield from _legend(plan, style)
    yield ""
    yield "segctl will perform the following actions:"
    yield ""
    for change in phrases.shown_changes(plan):
        yield from block(change, identities=identities, style=style)
        yield ""
    if hidden := phrases.hidden_line(plan):
        yield style.dim(f"  # {hidden}")
        yield ""


def _legend(plan: Plan, style: Style) -> Iterator[str]:
    occurring = {change.action for change in plan.changes}
    for action, meaning in phrases.LEGEND.items():
        if action in occurring:
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


def block(
    change: Change, *, identities: Identities = Identities.FULL, style: Style = PLAIN
) -> Iterator[str]:
    """Give the lines of one segment: what becomes of it, why, and what is in it."""
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
    yield f"{_STEP}}}"


def _attributes(change: Change, style: Style) -> Iterator[str]:
    if change.action in {Action.UPDATE, Action.REPLACE, Action.ADOPT} and change.attributes:
        yield from _changed(change, style)
    elif change.action in {Action.CREATE, Action.ADOPT} and change.after:
        yield from _listed(change.after, style.green("+"))
    elif change.action in {Action.DESTROY, Action.FORGET} and change.before:
        yield from _listed(change.before, " ")


def _changed(change: Change, style: Style) -> Iterator[str]:
    width = min(_WIDEST, max(len(escaped(a.path)) for a in change.attributes))
    arrow = style.yellow("->")
    for attribute in change.attributes:
        old, new = phrases.value_text(attribute.before), phrases.value_text(attribute.after)
        forces = change.action is Action.REPLACE and attribute.path == "customerSegmentId"
        note = style.red("  # forces replacement") if forces else ""
        path = f"{escaped(attribute.path):<{width}}"
        yield f"{_STEP}  {style.yellow('~')} {path} = {old} {arrow} {new}{note}"


def _listed(attributes: Attributes, sign: str) -> Iterator[str]:
    rows = {
        "customerSegmentId": attributes.customer_segment_id,
        "displayName": attributes.display_name,
        "labels": attributes.labels,
    }
    shown = {path: value for path, value in rows.items() if value}
    width = max((len(path) for path in shown), default=0)
    for path, value in shown.items():
        yield f"{_STEP}  {sign} {path:<{width}} = {phrases.value_text(value)}"


def _members(change: Change, identities: Identities, style: Style) -> Iterator[str]:
    counts = change.members
    attributes = change.after or change.before
    if attributes and not attributes.managed:
        yield f"{_STEP}    members are not managed"
    else:
        sign = style.yellow("~") if counts.sent else " "
        yield f"{_STEP}  {sign} {phrases.member_line(counts)}"
    for sample, total, sign in (
        (change.sample.add, counts.add, style.green("+")),
        (change.sample.remove, counts.remove, style.red("-")),
    ):
        shown = phrases.member_texts(sample, identities)
        yield from (f"{_STEP}      {sign} {member}" for member in shown)
        if shown and (more := phrases.more_line(sample, total)):
            yield style.dim(f"{_STEP}        # {more}")
    for line in phrases.aside_lines(counts):
        yield style.dim(f"{_STEP}    # {line}")


def _findings(plan: Plan, identities: Identities, style: Style) -> Iterator[str]:
    """Give all findings, parted by blank lines; those of one line stand together."""
    before: Finding | None = None
    for found in gathered(plan.findings):
        alike = before and before.severity == found.severity and not (before.detail or found.detail)
        if before or plan.is_empty:
            yield from () if alike else ("",)
        yield from finding(found, identities=identities, style=style)
        before = found
    if before and not plan.is_empty:
        yield ""


def finding(
    found: Finding, *, identities: Identities = Identities.NONE, style: Style = PLAIN
) -> Iterator[str]:
    """Give the lines of one finding: how grave, where, what, of whom, and what to do."""
    paint = {Severity.ERROR: style.red, Severity.WARNING: style.yellow}.get(
        found.severity, style.cyan
    )
    heading = paint(style.bold({Severity.INFO: "Note"}.get(found.severity, found.severity.title())))
    address = phrases.finding_address(found)
    where = f"{escaped(address)}: " if address else ""
    yield f"{heading}: {style.bold(where + escaped(found.summary))} {style.dim(f'[{found.code}]')}"
    if among := phrases.among_line(found, identities):
        yield f"  {among}"
    for line in found.detail.splitlines():
        yield f"  {escaped(line)}"


def _summary(plan: Plan, style: Style) -> Iterator[str]:
    if note := phrases.target_note(plan):
        yield from (style.yellow(note), "")
    if not plan.is_empty:
        yield style.bold(phrases.plan_line(plan))
        yield phrases.members_line(plan)
        if line := phrases.creates_line(plan):
            yield line
    if line := phrases.refusal_line(plan):
        yield ""
        yield style.red(style.bold(line))
