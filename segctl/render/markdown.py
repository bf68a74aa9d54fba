"""The plan for a pull request: summary first, a table, folds; never longer than a comment.

Values are data: nothing in them becomes markup, a link, or a mention that
would notify a team.
"""

import re
from collections.abc import Iterable, Iterator

from segctl.core.diagnostics import Severity
from segctl.plan.model import Change, Finding, Plan
from segctl.render import phrases, text
from segctl.render.grouping import gathered
from segctl.render.phrases import MINUS, Identities, counted, number
from segctl.render.style import escaped

LIMIT = 60_000
"""Characters; GitHub refuses a comment of more than 65,536, and wrappers add their own."""

_TABLE_SHARE = 0.5
_LONGEST_VALUE = 300
_SPECIAL = re.compile(r"[&<>\"'|`*_\[\]\\~^$]|[@#](?=\w)|:(?=//)")
_ZERO_WIDTH_SPACE = "&#8203;"
_CUT_SHORT = (
    "> [!WARNING]\n> Cut to fit into a comment: {what}. The summary above counts "
    "everything; `segctl show FILE` prints all of a saved plan."
)


def render(plan: Plan, *, identities: Identities = Identities.MASKED, limit: int = LIMIT) -> str:
    """Give the comment, at most ``limit`` characters; what is left out is counted in it."""
    changes = phrases.by_danger(plan)
    head = [*_summary(plan), *_findings(plan, identities, limit // 4)]
    foot = [f"<sub>Plan digest {_code(plan.digest)}</sub>", "<!-- segctl plan -->"]
    room = limit - _length([*head, *foot]) - len(_CUT_SHORT) - 200
    rows = _fitting((_row(change) for change in changes), int(room * _TABLE_SHARE))
    table = [_table(rows)] if rows else []
    folds = _fitting((_fold(change, identities) for change in changes), room - _length(table))
    note = _cut_note(len(changes) - len(rows), len(changes) - len(folds))
    return "\n\n".join([*head, *note, *table, *folds, *foot]) + "\n"


def escape(value: str) -> str:
    """Give ``value`` as text that Markdown shows as it is, on one line, shortened if long."""
    shown = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
    return _SPECIAL.sub(_entity, escaped(shown))


def _entity(found: re.Match[str]) -> str:
    # The forge reads mentions after it decoded entities, so these two are parted from their name.
    gap = _ZERO_WIDTH_SPACE if found[0] in "@#" else ""
    return f"&#{ord(found[0])};{gap}"


def _code(value: str) -> str:
    return f"<code>{escape(value)}</code>"


def _summary(plan: Plan) -> Iterator[str]:
    if plan.is_empty:
        yield f"### {phrases.NO_CHANGES}\n\n{phrases.no_changes_meaning(plan)}"
    else:
        lines = [phrases.members_line(plan), phrases.creates_line(plan)]
        yield f"### {phrases.plan_line(plan)}\n\n" + "  \n".join(line for line in lines if line)
    if line := phrases.refusal_line(plan).replace(" above", ""):
        yield f"> [!CAUTION]\n> {line}"
    if note := phrases.target_note(plan):
        yield f"> [!NOTE]\n> {escape(note)}"


def _findings(plan: Plan, identities: Identities, room: int) -> list[str]:
    findings = tuple(gathered(plan.findings))
    lines = _fitting((_finding(found, identities) for found in findings), room)
    left = len(findings) - len(lines)
    if left:
        lines.append(f"- … and {counted(left, 'more finding')}")
    return ["\n".join(lines)] if lines else []


def _finding(found: Finding, identities: Identities) -> str:
    heading = "Note" if found.severity is Severity.INFO else found.severity.title()
    address = phrases.finding_address(found)
    where = f"{_code(address)}: " if address else ""
    lines = [f"- **{heading}:** {where}{escape(found.summary)}"]
    told = [phrases.among_line(found, identities), *found.detail.splitlines()]
    lines += [f"  {escape(line)}" for line in told if line]
    return "  \n".join(lines)


def _table(rows: Iterable[str]) -> str:
    heading = f"| | Segment | Action | Members | + | {MINUS} | Why |"
    return "\n".join([heading, "|:-:|---|---|--:|--:|--:|---|", *rows])


def _row(change: Change) -> str:
    counts = change.members
    size = number(counts.after)
    if (attributes := change.after or change.before) and not attributes.managed:
        size = "not managed"
    elif counts.before != counts.after:
        size = f"{number(counts.before)} → {size}"
    cells = (
        f"<code>{phrases.SYMBOLS[change.action].strip()}</code>",
        _code(change.address),
        str(change.action),
        size,
        number(counts.add),
        number(counts.remove),
        escape(change.reason),
    )
    return f"| {' | '.join(cells)} |"


def _fold(change: Change, identities: Identities) -> str:
    lines = [_shorten(line) for line in text.block(change, identities=identities)]
    body = "\n".join(_sign_first(line) for line in lines[1:-1])
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    title = f"{_code(change.address)} {phrases.SENTENCES[change.action]}"
    return f"<details><summary>{title}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _sign_first(line: str) -> str:
    """Move the sign to the front of its line, where a diff gets its colours."""
    stripped = line.lstrip()
    if stripped[:2] in {"+ ", "- "}:
        return f"{stripped[0]}{' ' * (len(line) - len(stripped) - 1)}{stripped[1:]}"
    return line if stripped[:2] != "~ " else f"!{line[1:]}"


def _shorten(line: str) -> str:
    return line if len(line) <= 2 * _LONGEST_VALUE else line[: 2 * _LONGEST_VALUE] + "…"


def _fitting(parts: Iterable[str], room: int) -> list[str]:
    """Take parts from the front as long as they fit into ``room`` characters."""
    taken: list[str] = []
    for part in parts:
        room -= len(part) + 2
        if room < 0:
            break
        taken.append(part)
    return taken


def _length(parts: Iterable[str]) -> int:
    return sum(len(part) + 2 for part in parts)


def _cut_note(rows: int, folds: int) -> list[str]:
    missing = []
    if rows:
        missing.append(f"{counted(rows, 'segment')} not in the table")
    if folds:
        missing.append(f"{counted(folds, 'segment')} without details")
    return [_CUT_SHORT.format(what=" and ".join(missing))] if missing else []
