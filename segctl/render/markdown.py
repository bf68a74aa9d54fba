"""The plan as a comment on a pull request: a summary, a table, and details to unfold.

The comment stays below GitHub's size limit. Values are escaped, so that none of them becomes
markup, a link, or a mention that notifies a team.
"""

import re
from collections.abc import Iterable, Iterator

from segctl.plan.model import Change, Finding, Plan
from segctl.render import phrases, text
from segctl.render.grouping import group_findings
from segctl.render.phrases import MINUS, Identities, format_count, format_number
from segctl.render.style import escaped

LIMIT = 60_000
"""In characters. GitHub refuses comments above 65,536, and scripts that post them add text."""

_TABLE_SHARE = 0.5
_MAX_VALUE_LENGTH = 300
_SPECIAL = re.compile(r"[&<>\"'|`*_\[\]\\~^$]|[@#](?=\w)|:(?=//)")
_ZERO_WIDTH_SPACE = "&#8203;"
_CUT_NOTE = (
    "> [!WARNING]\n> Cut to fit into a comment: {omitted}. The summary above counts "
    "everything; `segctl show FILE` prints a saved plan in full."
)


def render(plan: Plan, *, identities: Identities = Identities.MASKED, limit: int = LIMIT) -> str:
    """Return the comment, at most ``limit`` characters long. A note counts what is left out."""
    changes = phrases.most_dangerous_first(plan)
    head = [*_summary(plan), *_findings(plan, identities, limit // 4)]
    origin = escape(phrases.origin_line(plan))
    foot = [f"<sub>{f'{origin} ' if origin else ''}Plan digest {_code(plan.digest)}</sub>"]
    foot.append("<!-- segctl plan -->")
    room = limit - _length([*head, *foot]) - len(_CUT_NOTE) - 200
    rows = _fitting((_row(change) for change in changes), int(room * _TABLE_SHARE))
    table = [_table(rows)] if rows else []
    folds = _fitting((_fold(change, identities) for change in changes), room - _length(table))
    note = _cut_note(len(changes) - len(rows), len(changes) - len(folds))
    return "\n\n".join([*head, *note, *table, *folds, *foot]) + "\n"


def escape(value: str) -> str:
    """Return ``value`` on one line, escaped for Markdown, and shortened if it is long."""
    shown = value if len(value) <= _MAX_VALUE_LENGTH else value[: _MAX_VALUE_LENGTH - 1] + "…"
    while len(text := _SPECIAL.sub(_entity, escaped(shown))) > 2 * _MAX_VALUE_LENGTH:
        shown = shown[: len(shown) // 2] + "…"
    return text


def _entity(match: re.Match[str]) -> str:
    # GitHub looks for mentions after decoding entities, so a space separates @ and # from the name.
    gap = _ZERO_WIDTH_SPACE if match[0] in "@#" else ""
    return f"&#{ord(match[0])};{gap}"


def _code(value: str) -> str:
    return f"<code>{escape(value)}</code>"


def _summary(plan: Plan) -> Iterator[str]:
    if plan.is_empty:
        yield f"### {phrases.NO_CHANGES}\n\n{phrases.no_changes_reason(plan)}"
    else:
        lines = [phrases.members_line(plan), phrases.creates_line(plan)]
        yield f"### {phrases.plan_line(plan)}\n\n" + "  \n".join(line for line in lines if line)
    if line := phrases.refusal_line(plan):
        yield f"> [!CAUTION]\n> {line}"
    if note := phrases.target_note(plan):
        yield f"> [!NOTE]\n> {escape(note)}"


def _findings(plan: Plan, identities: Identities, room: int) -> list[str]:
    findings = tuple(group_findings(plan.findings))
    # One of each kind comes first, so that many of one kind cannot push another off the page.
    codes = [finding.code for finding in findings]
    order = sorted(range(len(findings)), key=lambda index: codes[index] in codes[:index])
    texts = {index: _finding(findings[index], identities) for index in order}
    fitting = order[: len(_fitting((texts[index] for index in order), room))]
    lines = [texts[index] for index in sorted(fitting)]
    left = len(findings) - len(lines)
    if left:
        lines.append(f"- … and {format_count(left, 'more finding')}")
    return ["\n".join(lines)] if lines else []


def _finding(finding: Finding, identities: Identities) -> str:
    heading = phrases.severity_title(finding.severity)
    address = phrases.finding_address(finding)
    prefix = f"{_code(address)}: " if address else ""
    lines = [f"- **{heading}:** {prefix}{escape(finding.summary)}"]
    details = [phrases.sample_line(finding, identities), *finding.detail.splitlines()]
    lines += [f"  {escape(line)}" for line in details if line]
    return "  \n".join(lines)


def _table(rows: Iterable[str]) -> str:
    heading = f"| | Segment | Action | Members | + | {MINUS} | Why |"
    return "\n".join([heading, "|:-:|---|---|--:|--:|--:|---|", *rows])


def _row(change: Change) -> str:
    counts = change.members
    size = format_number(counts.after)
    if (attributes := change.after or change.before) and not attributes.managed:
        size = "not managed"
    elif counts.before != counts.after:
        size = f"{format_number(counts.before)} → {size}"
    cells = (
        f"<code>{phrases.SYMBOLS[change.action].strip()}</code>",
        _code(change.address),
        str(change.action),
        size,
        format_number(counts.add),
        format_number(counts.remove),
        escape(change.reason),
    )
    return f"| {' | '.join(cells)} |"


def _fold(change: Change, identities: Identities) -> str:
    lines = [_shorten(line) for line in text.segment_lines(change, identities=identities)]
    body = "\n".join(_sign_first(line) for line in lines[1:-1])
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    title = f"{_code(change.address)} {phrases.SENTENCES[change.action]}"
    return f"<details><summary>{title}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _sign_first(line: str) -> str:
    """Move the sign to the start of the line, so that a ``diff`` block shows it in color."""
    stripped = line.lstrip()
    if stripped[:2] in {"+ ", "- "}:
        return f"{stripped[0]}{' ' * (len(line) - len(stripped) - 1)}{stripped[1:]}"
    return line if stripped[:2] != "~ " else f"!{line[1:]}"


def _shorten(line: str) -> str:
    return line if len(line) <= 2 * _MAX_VALUE_LENGTH else line[: 2 * _MAX_VALUE_LENGTH] + "…"


def _fitting(parts: Iterable[str], room: int) -> list[str]:
    """Return the first parts that together fit into ``room`` characters."""
    fitting: list[str] = []
    for part in parts:
        room -= len(part) + 2
        if room < 0:
            break
        fitting.append(part)
    return fitting


def _length(parts: Iterable[str]) -> int:
    return sum(len(part) + 2 for part in parts)


def _cut_note(rows: int, folds: int) -> list[str]:
    omitted = []
    if rows:
        omitted.append(f"{format_count(rows, 'segment')} not in the table")
    if folds:
        omitted.append(f"{format_count(folds, 'segment')} without details")
    return [_CUT_NOTE.format(omitted=" and ".join(omitted))] if omitted else []
