"""What all views say alike: numbers, symbols, sentences, summary lines, shown identities."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import groupby

from segctl.core.identity import Kind, mask_identity
from segctl.plan.model import Action, Change, Finding, MemberCounts, Plan
from segctl.render.style import escaped, quoted


class Identities(StrEnum):
    """How much of a user key a view shows: all, a hint, or nothing."""

    FULL = "full"
    MASKED = "masked"
    NONE = "none"


SYMBOLS: Mapping[Action, str] = {
    Action.CREATE: "+",
    Action.ADOPT: "=",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DESTROY: "-",
    Action.FORGET: ".",
    Action.NO_OP: " ",
}
"""Terraform's where it has one; ``=`` and ``.`` are Pulumi's import and OpenTofu's forget."""

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

_DANGER = (
    Action.DESTROY,
    Action.REPLACE,
    Action.FORGET,
    Action.UPDATE,
    Action.ADOPT,
    Action.CREATE,
)

NO_CHANGES = "No changes."
MINUS = "\N{MINUS SIGN}"
SHOWN_MEMBERS = 10
"""How many members a view lists for each sign."""


def number(value: int) -> str:
    """Write a count with thousands separated."""
    return f"{value:,}"


def counted(value: int, noun: str, plural: str = "") -> str:
    """Write a count and its noun, in the plural unless it is one."""
    return f"{number(value)} {noun if value == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Write a time as people say it: seconds up to two minutes, then minutes, then hours."""
    if seconds <= 0:
        return "0 s"
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def value_text(value: object) -> str:
    """Write an attribute's value on one line, strings in quotes."""
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


def identity_text(kind: Kind, value: str, mode: Identities) -> str:
    """Write one user key in quotes, in full or as a hint; a guid says that it is one."""
    shown = quoted(value if mode is Identities.FULL else mask_identity(value))
    return shown if kind is Kind.IDENTITY else f"guid {shown}"


def member_texts(sample: Sequence[tuple[Kind, str]], mode: Identities) -> tuple[str, ...]:
    """Write at most ``SHOWN_MEMBERS`` user keys; hints that look alike share a line."""
    if mode is Identities.NONE:
        return ()
    shown = [identity_text(kind, value, mode) for kind, value in sample[:SHOWN_MEMBERS]]
    alike = ((text, len(list(group)) - 1) for text, group in groupby(shown))
    return tuple(f"{text} and {more} like it" if more else text for text, more in alike)


def among_line(found: Finding, mode: Identities) -> str:
    """Show some of the users that a finding is about; empty where it has or may show none."""
    shown = member_texts(found.sample, mode)
    return f"Among them: {', '.join(shown)}." if shown else ""


def more_line(sample: Sequence[object], total: int) -> str:
    """Count the members that are not listed; empty where all or none are."""
    shown = min(len(sample), SHOWN_MEMBERS)
    return f"({number(total - shown)} more)" if 0 < shown < total else ""


def member_line(counts: MemberCounts) -> str:
    """Give ``12,004 → 11,420 members, +16`` and the losses after a true minus sign."""
    before = number(counts.before)
    size = counted(counts.after, "member")
    size = f"{before} → {size}" if counts.before != counts.after else size
    signs = [f"+{number(counts.add)}"] if counts.add else []
    signs += [f"{MINUS}{number(counts.remove)}"] if counts.remove else []
    return f"{size}, {' '.join(signs)}" if signs else size


def aside_lines(counts: MemberCounts) -> tuple[str, ...]:
    """Say what is counted apart: changes sent again or not at all, and users set aside."""
    lines = []
    if counts.reasserted:
        lines.append(f"{number(counts.reasserted)} sent again: the last request got no answer")
    if counts.quarantined:
        lines.append(f"{number(counts.quarantined)} refused earlier, not retried")
    if counts.held_out:
        lines.append(f"{number(counts.held_out)} held out")
    if counts.suppressed:
        lines.append(f"{number(counts.suppressed)} suppressed")
    return tuple(lines)


def plan_line(plan: Plan) -> str:
    """Give the first summary line; a replacement adds one segment and destroys one."""
    replaced = plan.count(Action.REPLACE)
    parts = [
        f"{number(plan.count(Action.CREATE) + replaced)} to add",
        f"{number(plan.count(Action.UPDATE))} to change",
        f"{number(plan.count(Action.DESTROY) + replaced)} to destroy",
    ]
    parts += [
        f"{number(plan.count(action))} to {action}"
        for action in (Action.ADOPT, Action.FORGET)
        if plan.count(action)
    ]
    return f"Plan: {', '.join(parts)}."


def members_line(plan: Plan) -> str:
    """Give the second summary line: memberships, requests, time and the bill."""
    requests = plan.requests
    parts = [f"{number(plan.members_add)} to add", f"{number(plan.members_remove)} to remove"]
    if plan.reasserted:
        parts.append(f"{number(plan.reasserted)} to send again")
    return (
        f"Members: {', '.join(parts)} in {counted(requests.update, 'request')} "
        f"(naive {number(requests.naive)}, floor {number(requests.floor)}), "
        f"about {duration(plan.estimate.seconds)}, "
        f"{counted(plan.estimate.billable_events, 'billable event')}."
    )


def creates_line(plan: Plan) -> str:
    """Say how many requests create segments, ahead of the members; empty without any."""
    if not plan.requests.create:
        return ""
    segments = counted(sum(target.create for target in plan.targets), "segment")
    return f"Before that: {segments} to create in {counted(plan.requests.create, 'request')}."


def no_changes_meaning(plan: Plan) -> str:
    """Say in one line what ``No changes.`` means for this plan."""
    patterns = ", ".join(escaped(pattern) for pattern in plan.targeted)
    if plan.targeted and not plan.changes:
        return f"No segment, declared or recorded, is picked by --target {patterns}."
    if plan.destroy:
        return "There is nothing to destroy."
    if any(change.members.quarantined for change in plan.changes) or any(
        found.code == "missing" for found in plan.findings
    ):
        return "Nothing is to be sent; what CleverTap refused stays as it is."
    if plan.targeted:
        return f"Segments picked by --target {patterns} are as declared; others are not planned."
    if not plan.changes:
        return "No segment is declared, and none is recorded."
    return "The state records every segment and member as declared; nothing needs to be sent."


def target_note(plan: Plan) -> str:
    """Say that a plan with changes is one of a part only; empty where it is one of everything."""
    if plan.is_empty or not plan.targeted:
        return ""
    patterns = ", ".join(escaped(pattern) for pattern in plan.targeted)
    return f"Only segments picked by --target are planned: {patterns}"


def finding_address(found: Finding) -> str:
    """Give the address to put before a finding; empty where its summary names it anyway."""
    return found.address if found.address and found.address not in found.summary else ""


def refusal_line(plan: Plan) -> str:
    """Say that the plan cannot be applied; empty where it can."""
    count = len(plan.error_findings)
    return f"This plan cannot be applied: {counted(count, 'error')} above." if count else ""


def shown_changes(plan: Plan) -> tuple[Change, ...]:
    """Give the changes that a reader must see: all but those without any effect."""
    return tuple(c for c in plan.changes if c.action is not Action.NO_OP)


def by_danger(plan: Plan) -> tuple[Change, ...]:
    """Give the same with what can do harm first: nobody should have to look for it."""
    return tuple(sorted(shown_changes(plan), key=lambda change: _DANGER.index(change.action)))


def hidden_line(plan: Plan) -> str:
    """Count the segments that stay as they are; empty without any."""
    hidden = plan.count(Action.NO_OP)
    return f"({counted(hidden, 'unchanged segment')} not shown)" if hidden else ""
