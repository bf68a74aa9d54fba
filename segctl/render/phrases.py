"""The wording that all views share: numbers, symbols, summary lines, identities."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from segctl.core.diagnostics import Severity
from segctl.core.listing import list_first
from segctl.plan.model import Action, Change, Finding, MemberCounts, Plan
from segctl.render.style import escaped, quoted

SYMBOLS: Mapping[Action, str] = {
    Action.CREATE: "+",
    Action.ADOPT: "=",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DESTROY: "-",
    Action.FORGET: ".",
    Action.NO_OP: " ",
}
"""Terraform's symbols, plus ``=`` (import in Pulumi) and ``.`` (forget in OpenTofu)."""

LEGEND: Mapping[Action, str] = {
    Action.CREATE: "create",
    Action.ADOPT: "adopt (take over a segment that is already in CleverTap)",
    Action.UPDATE: "update",
    Action.REPLACE: "replace (empty the old segment, create a new one)",
    Action.DESTROY: "destroy (remove all members; the empty segment stays in CleverTap)",
    Action.FORGET: "forget (stop managing; members stay as they are)",
}

SENTENCES: Mapping[Action, str] = {
    Action.CREATE: "will be created",
    Action.ADOPT: "will be adopted",
    Action.UPDATE: "will be updated",
    Action.REPLACE: "must be replaced",
    Action.DESTROY: "will be destroyed",
    Action.FORGET: "will be forgotten",
    Action.NO_OP: "is not changed",
}

_MOST_DANGEROUS_FIRST = (
    Action.DESTROY,
    Action.REPLACE,
    Action.FORGET,
    Action.UPDATE,
    Action.ADOPT,
    Action.CREATE,
)

MAX_COMMENT_BYTES = 65_536
"""The size of a comment unless another is asked for.

It is the limit of GitHub, which counts characters; a text never has more of them than bytes."""

MIN_COMMENT_BYTES = 4_096
"""The smallest limit of a comment. The result and the kinds of errors of any plan fit into it."""

_MAX_HELD = 5
"""How many of the segments that a saved plan holds back are named."""

MAX_HELD = 20
"""The most segments that are held back and that a list names; the JSON documents name all."""

NO_CHANGES = "No changes."
MINUS = "\N{MINUS SIGN}"


def format_number(value: int) -> str:
    """Return a number with thousands separators."""
    return f"{value:,}"


def format_count(value: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{format_number(value)} {noun if value == 1 else plural or noun + 's'}"


def format_percent(part: int, whole: int) -> str:
    """Return ``part`` in percent of ``whole``, such as ``4.9%``; empty if either is 0.

    ``100%`` is exactly all, and what is above 0 is never ``0%``.
    """
    if not part or not whole:
        return ""
    if part == whole:
        return "100%"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%" if percent < 1000 else f"{percent:,.0f}%"


def format_growth(before: int, after: int) -> str:
    """Return the growth of a size such as ``+1.2%`` or ``−4.9%``.

    Empty if it stays the same, or if it was 0.
    """
    percent = format_percent(abs(after - before), before)
    return percent and f"{'+' if after > before else MINUS}{percent}"


def format_duration(seconds: float) -> str:
    """Return a time in seconds up to two minutes, in minutes up to two hours, then in hours."""
    if seconds <= 0:
        return "0 s"
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def format_utc(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def format_value(value: object) -> str:
    """Return an attribute's value on one line, strings in quotes."""
    match value:
        case None:
            return "(none)"
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case Mapping():
            return escaped(json.dumps(dict(value), ensure_ascii=False, sort_keys=True, default=str))
        case _:
            return escaped(str(value))


def member_counts_line(counts: MemberCounts) -> str:
    """Return ``12,004 → 11,420 members, +16 −600``, with a real minus sign."""
    before = format_number(counts.before)
    size = format_count(counts.after, "member")
    size = f"{before} → {size}" if counts.before != counts.after else size
    signs = [f"+{format_number(counts.add)}"] if counts.add else []
    signs += [f"{MINUS}{format_number(counts.remove)}"] if counts.remove else []
    return f"{size}, {' '.join(signs)}" if signs else size


def extra_count_lines(counts: MemberCounts) -> tuple[str, ...]:
    """Return the counts that additions and removals leave out, one per line."""
    lines = []
    if counts.reasserted:
        lines.append(
            f"{format_number(counts.reasserted)} sent again: the last request got no answer"
        )
    if counts.quarantined:
        lines.append(f"{format_number(counts.quarantined)} refused earlier, not retried")
    if counts.held_out:
        lines.append(f"{format_number(counts.held_out)} held out")
    if counts.suppressed:
        lines.append(f"{format_number(counts.suppressed)} suppressed")
    return tuple(lines)


def plan_line(plan: Plan) -> str:
    """Return the first summary line. A replacement adds one segment and destroys one."""
    replaced = plan.count(Action.REPLACE)
    parts = [
        f"{format_number(plan.count(Action.CREATE) + replaced)} to add",
        f"{format_number(plan.count(Action.UPDATE))} to change",
        f"{format_number(plan.count(Action.DESTROY) + replaced)} to destroy",
    ]
    parts += [
        f"{format_number(plan.count(action))} to {action}"
        for action in (Action.ADOPT, Action.FORGET)
        if plan.count(action)
    ]
    name = f"Plan for {escaped(plan.env_name)}" if plan.env_name else "Plan"
    return f"{name}: {', '.join(parts)}."


def members_line(plan: Plan) -> str:
    """Return the second summary line: memberships, requests, time and billable events."""
    requests = plan.requests
    parts = [
        f"{format_number(plan.members_add)} to add",
        f"{format_number(plan.members_remove)} to remove",
    ]
    if plan.reasserted:
        parts.append(f"{format_number(plan.reasserted)} to send again")
    return (
        f"Members: {', '.join(parts)} in {format_count(requests.update, 'request')} "
        f"(naive {format_number(requests.naive)}, floor {format_number(requests.floor)}), "
        f"about {format_duration(plan.estimate.seconds)}, "
        f"{format_count(plan.estimate.billable_events, 'billable event')}."
    )


def uncounted_moves_line(plan: Plan) -> str:
    """Return that the moves between segments are not counted; empty if they are."""
    if plan.flows is not None or plan.is_empty:
        return ""
    return "Moves between segments are not counted: too many users leave and join several segments."


def saved_plan_lines(plan: Plan, name: str) -> Iterator[str]:
    """Yield what is applied of the saved plan in the file ``name``: all, or what is left of it."""
    if held := held_line(plan):
        segments = list_first([*map(escaped, plan.held_segments)], _MAX_HELD)
        yield f"{held.removesuffix('.')} in the saved plan: {segments}."
    if plan.remaining is None:
        yield f"Applying the saved plan {name}."
        yield plan_line(plan)
        yield members_line(plan)
    else:
        changes = format_count(plan.members_changed, "membership change")
        yield (
            f"Applying the rest of the saved plan {name}: {format_number(plan.remaining)} of its "
            f"{changes}, in {format_count(plan.requests.update, 'request')}, about "
            f"{format_duration(plan.estimate.seconds)}."
        )
        yield plan_line(plan).replace("Plan", "The whole plan", 1)
    if origin := origin_line(plan):
        yield origin


def creates_line(plan: Plan) -> str:
    """Return how many requests create segments before members are sent; empty if none do."""
    if not plan.requests.create:
        return ""
    segments = format_count(sum(target.create for target in plan.targets), "segment")
    return f"Before that: {segments} to create in {format_count(plan.requests.create, 'request')}."


def no_changes_reason(plan: Plan) -> str:
    """Return one line that says why the plan has no changes."""
    if plan.destroy:
        return "There is nothing to destroy."
    if any(change.members.quarantined for change in plan.changes) or any(
        finding.code == "missing" for finding in plan.findings
    ):
        return "Nothing needs to be sent; what CleverTap refused is not retried."
    if plan.held:
        return "Nothing else needs to be sent."
    if plan.targeted or plan.excluded:
        return _selection_reason(plan)
    if not plan.changes:
        return "No segment is declared or recorded."
    return "The state records every segment and member as declared; nothing needs to be sent."


def _selection_reason(plan: Plan) -> str:
    """Return why a plan of the selected segments has no changes."""
    if plan.excluded and not plan.changes:
        of = f" matching --target {_patterns(plan.targeted)}" if plan.targeted else ""
        excluded = _patterns(plan.excluded)
        return f"Nothing is planned: every segment{of} matches --exclude {excluded}."
    return f"Segments {_selection(plan)} are as declared; others are not planned."


def target_note(plan: Plan) -> str:
    """Return a note that the plan covers only some segments; empty if it covers all."""
    if plan.is_empty or not (plan.targeted or plan.excluded):
        return ""
    excluded = f"matching --exclude: {_patterns(plan.excluded)}" if plan.excluded else ""
    if not plan.targeted:
        return f"Not planned are segments {excluded}"
    targeted = f"Only segments matching --target are planned: {_patterns(plan.targeted)}"
    return f"{targeted}; not those {excluded}" if excluded else targeted


def _patterns(patterns: Sequence[str]) -> str:
    return ", ".join(escaped(pattern) for pattern in patterns)


def _selection(plan: Plan) -> str:
    """Return which segments the options select: ``matching --target gold*``."""
    options = (("matching --target", plan.targeted), ("not matching --exclude", plan.excluded))
    return " and ".join(f"{what} {_patterns(patterns)}" for what, patterns in options if patterns)


def held_line(plan: Plan) -> str:
    """Return how many segments are held back; empty if there are none."""
    count = len(plan.held_segments)
    return f"{format_count(count, 'segment')} held back." if count else ""


def held_names(plan: Plan) -> str:
    """Return the segments that are held back, of many the first; empty if there are none."""
    names, more = plan.held_segments[:MAX_HELD], len(plan.held_segments) - MAX_HELD
    listed = ", ".join(map(escaped, names))
    return f"{listed} and {format_number(more)} more" if more > 0 else listed


def tolerance_line(plan: Plan) -> str:
    """Return how far an apply on this plan's approval may go beyond it; empty if not at all."""
    percent, members = plan.tolerance.percent, plan.tolerance.members
    limits = [] if percent is None else [f"{percent:g}% of its members"]
    limits += [] if members is None else [format_count(members, "member")]
    if not limits or plan.is_empty or plan.error_findings:
        return ""
    shown = " and at most ".join(limits)
    return f"If this is approved, each segment may gain and lose {shown} beyond it."


def origin_line(plan: Plan) -> str:
    """Return from what the plan was made: environment, variables, or the commit that CI names."""
    if not (plan.commit or plan.variables or plan.env_name):
        return ""
    parts = [f"for environment {escaped(plan.env_name)}"] if plan.env_name else []
    parts += [f"for account {escaped(plan.account)}"] if plan.account else []
    if plan.commit:
        parts.append(f"from commit {escaped(plan.commit[:12])}")
    if plan.made_at:
        made = datetime.fromtimestamp(plan.made_at, UTC)
        parts.append(f"at {made:%Y-%m-%d %H:%M} UTC")
    if plan.variables:
        values = (f"{name} = {quoted(value)}" for name, value in plan.variables.items())
        parts.append(f"with {', '.join(values)}")
    return f"Made {' '.join(parts)}."


def severity_title(severity: Severity) -> str:
    """Return the heading of a finding: ``Error``, ``Warning`` or ``Note``."""
    return "Note" if severity is Severity.INFO else severity.title()


def finding_address(finding: Finding) -> str:
    """Return the address to show before a finding; empty if its summary contains it."""
    address = finding.address or ""
    return "" if address in finding.summary else address


def result_line(plan: Plan) -> str:
    """Return the result in one line: what is refused, what is destroyed, and what else changes."""
    parts = []
    if count := len(plan.error_findings):
        parts.append(f"Refused: {format_count(count, 'error')}.")
    if held := held_line(plan):
        parts.append(held)
    if destroyed := destroyed_line(plan):
        parts.append(destroyed)
    if plan.is_empty:
        place = f" for {escaped(plan.env_name)}" if plan.env_name else ""
        parts.append(f"{NO_CHANGES[:-1]}{place}.")
    else:
        parts.append(plan_line(plan))
    return " ".join(parts)


def destroyed_line(plan: Plan) -> str:
    """Return how many segments a plan empties for good; empty if there are none."""
    destroyed, replaced = plan.count(Action.DESTROY), plan.count(Action.REPLACE)
    parts = [f"destroys {format_count(destroyed, 'segment')}"] if destroyed else []
    if replaced:
        parts.append(f"replaces {format_count(replaced, 'segment')}")
    line = " and ".join(parts)
    return f"{line[:1].upper()}{line[1:]}." if line else ""


def refusal_line(plan: Plan, *, position: str = "") -> str:
    """Return a line that says the plan cannot be applied; empty if it can.

    ``position`` says where the page shows the errors, such as " above".
    """
    count = len(plan.error_findings)
    errors = format_count(count, "error") + position
    return f"This plan cannot be applied: {errors}." if count else ""


def shown_changes(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that a view lists: all except no-ops."""
    return tuple(c for c in plan.changes if c.action is not Action.NO_OP)


def danger(action: Action) -> int:
    """Return the sort key by which actions that can do the most harm come first."""
    return _MOST_DANGEROUS_FIRST.index(action)


def most_dangerous_first(plan: Plan) -> tuple[Change, ...]:
    """Return the changes that a view lists, those that can do the most harm first."""
    return tuple(sorted(shown_changes(plan), key=lambda change: danger(change.action)))


def unchanged_line(plan: Plan) -> str:
    """Return the number of unchanged segments; empty if there are none."""
    hidden = plan.count(Action.NO_OP)
    return f"({format_count(hidden, 'unchanged segment')} not shown)" if hidden else ""
