"""The plan as a comment on a pull request, within the size that a forge allows.

First comes the result with everything that is refused or destroyed, then a table of the segments,
the moves between them, and details to unfold. What does not fit is left out as a whole, the least
important first, and a note says what.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from segctl.core.diagnostics import Severity
from segctl.plan.holding import HELD_BACK
from segctl.plan.model import Action, Change, Finding, Plan
from segctl.render import flow_diagram, phrases, text
from segctl.render.grouping import group_changes, group_findings
from segctl.render.markdown_text import code, code_block, escape, escape_line, fold, quote, size
from segctl.render.member_format import NOT_SHOWN, MemberFormat
from segctl.render.phrases import (
    MAX_COMMENT_BYTES,
    MIN_COMMENT_BYTES,
    MINUS,
    format_count,
    format_number,
)
from segctl.render.style import shortened

MARKER = "<!-- segctl plan -->"

_CUT_NOTE_BYTES = 500
_HEADING_BYTES = 1_000
_LINE_BYTES = 300
"""The most bytes of a name in the table, or of a line that lists names."""

_KIND_BYTES = 60
_MAX_KINDS = 8
_MAX_ENV_LENGTH = 40
_MAX_LINE_LENGTH = 600
_MAX_LISTED = 50
_MAX_NAMED = 3

_TABLE_HEAD = (
    f"| | Segment | Action | Members | + | {MINUS} | Why |",
    "|:-:|---|---|--:|--:|--:|---|",
)
_DESTROYS = frozenset((Action.DESTROY, Action.REPLACE))
_MOST_LEFT = "- … and 9,999,999 more segments"


class _ByteBudget:
    """The bytes that are left for parts of the comment, which are separated by blank lines."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, part: str, *, lines: int = 0) -> bool:
        """Take the bytes of a part and return true, if it fits.

        ``lines`` is the number of its lines if it may be quoted.
        """
        needed = size(part) + len("\n\n") + lines * len("> ")
        if needed > self.left:
            return False
        self.left -= needed
        return True

    def fitting(self, parts: Iterable[str], *, share: float) -> list[str]:
        """Return the first parts that together fit into a share of the budget, and take them."""
        budget = _ByteBudget(int(self.left * share))
        before, fitting = budget.left, []
        for part in parts:
            if not budget.take(part, lines=1):
                break
            fitting.append(part)
        self.left -= before - budget.left
        return fitting


def render(
    plan: Plan,
    *,
    identities: MemberFormat = NOT_SHOWN,
    max_bytes: int = MAX_COMMENT_BYTES,
    marker: str = MARKER,
) -> str:
    """Return the comment, at most ``max_bytes`` long in UTF-8. ``marker`` is its last line.

    Raises ``ValueError`` if ``max_bytes`` is below ``MIN_COMMENT_BYTES``, or if the marker is
    too long.
    """
    if max_bytes < MIN_COMMENT_BYTES:
        raise ValueError(f"a comment has at least {MIN_COMMENT_BYTES:,} bytes")
    comment = _Comment(plan, identities, max_bytes=max_bytes, marker=marker)
    return "\n\n".join(part for part in comment.parts() if part) + "\n"


class _Comment:
    """One comment. Its parts take bytes in the order of their importance.

    Raises ``ValueError`` if what every comment has does not fit.
    """

    def __init__(
        self, plan: Plan, identities: MemberFormat, *, max_bytes: int, marker: str
    ) -> None:
        self._plan = replace(plan, env_name=plan.env_name[:_MAX_ENV_LENGTH])
        self._identities = identities
        self._max_bytes = max_bytes
        self._heading = f"### {escape(phrases.result_line(self._plan), max_bytes=_HEADING_BYTES)}"
        self._counts = _counts(self._plan)
        self._foot = [_origin(self._plan, identities), marker]
        self._refusal = _refusal(plan)
        self._destroyed = _destroyed(plan)
        self._left_out: list[str] = []
        self._budget = _ByteBudget(max_bytes - _CUT_NOTE_BYTES)
        self._held = _held(plan)
        headings = (self._refusal, self._held, self._destroyed)
        boxes = [_box(heading, [_MOST_LEFT]) for heading in headings]
        for part in (self._heading, self._counts, *boxes, *self._foot):
            if not self._budget.take(part):
                raise ValueError("the marker is too long for a comment of this size")

    def parts(self) -> Iterator[str]:
        """Yield the parts of the comment from top to bottom."""
        errors = self._findings(Severity.ERROR, share=0.6)
        names = f"- {escape(phrases.held_names(self._plan), max_bytes=_HEADING_BYTES)}"
        is_list = len(self._plan.held_segments) > 1
        held = self._budget.fitting([names], share=0.1) if is_list else []
        held += self._findings(Severity.WARNING, share=0.3, held=True)
        destroyed = self._destroyed_items()
        warnings = self._findings(Severity.WARNING, share=0.25)
        refused = _error_codes(self._plan)
        changes = sorted(
            phrases.shown_changes(self._plan), key=lambda change: _rank(change, refused)
        )
        groups = group_changes(changes, separate=refused)
        below = [
            "\n".join(warnings),
            *self._table(groups, refused),
            *self._flows(),
            *self._folds(groups),
            *self._notes(),
        ]
        yield self._heading
        yield _box(self._refusal, errors)
        yield _box(self._held, held, kind="WARNING")
        yield from (_box(self._destroyed, destroyed), self._counts)
        yield self._cut_note() if self._left_out else ""
        yield from (*below, *self._foot)

    def _destroyed_items(self) -> list[str]:
        """Return the segments that are emptied for good, those that fit, and how many more."""
        changes = [c for c in self._plan.changes if c.action in _DESTROYS]
        changes.sort(key=lambda change: -change.members.remove)
        items = self._budget.fitting(map(_destroyed_item, changes[:_MAX_LISTED]), share=0.25)
        if more := len(changes) - len(items):
            items.append(f"- … and {format_count(more, 'more segment')}")
        return items

    def _findings(self, severity: Severity, *, share: float, held: bool = False) -> list[str]:
        """Return the findings of a severity that fit, and how many more there are.

        They are those about segments that are ``held`` back, or else all others. A finding that
        does not fit is shown without its detail.
        """
        wanted = [f for f in self._plan.findings if (f.code == HELD_BACK) is held]
        findings = [f for f in group_findings(wanted) if f.severity is severity]
        # One of each kind comes first, so that many of one kind cannot push another off the page.
        codes = [finding.code for finding in findings]
        order = sorted(range(len(findings)), key=lambda index: codes[index] in codes[:index])
        budget = _ByteBudget(int(self._budget.left * share))
        fitting: dict[int, str] = {}
        for index in order:
            lines = _finding_lines(findings[index], self._identities)
            for item in ("\n".join(lines), lines[0].rstrip()):
                if budget.take(item, lines=len(lines)):
                    fitting[index] = item
                    break
        items = [fitting[index] for index in sorted(fitting)]
        if more := len(findings) - len(items):
            noun = phrases.severity_title(severity).lower()
            items.append(f"- … and {format_count(more, f'more {noun}')}")
        self._budget.take("\n".join(items), lines=sum(item.count("\n") + 1 for item in items))
        return items

    def _table(
        self, groups: Sequence[Sequence[Change]], errors: Mapping[str, Sequence[str]]
    ) -> list[str]:
        """Return the table of the segments. What does not fit is summed by action."""
        if not groups:
            return []
        if not self._budget.take("\n".join([*_TABLE_HEAD, *_rest_rows(groups)])):
            self._left_out.append("the table of the segments")
            return []
        rows = self._budget.fitting((_row(group, errors) for group in groups), share=0.5)
        rest = groups[len(rows) :]
        if rest:
            count = format_count(sum(map(len, rest)), "segment")
            self._left_out.append(f"the rows of {count}")
        return ["\n".join([*_TABLE_HEAD, *rows, *_rest_rows(rest)])]

    def _flows(self) -> list[str]:
        """Return the moves between segments as a diagram, or why there is none."""
        if line := phrases.uncounted_moves_line(self._plan):
            return [line] if self._budget.take(line) else []
        source = flow_diagram.render(self._plan)
        if not source:
            return []
        block = code_block(source.splitlines(), "mermaid")
        part = f"**Moves between segments**, in users:\n\n{block}"
        if self._budget.take(part):
            return [part]
        self._left_out.append("the diagram of the moves between segments")
        return []

    def _folds(self, groups: Sequence[Sequence[Change]]) -> list[str]:
        """Return the details of the segments that fit, to unfold."""
        folds, missing = [], 0
        for group in groups:
            # With few bytes left, do not render hundreds of segments that cannot fit.
            part = _fold(group, self._identities) if self._budget.left > _LINE_BYTES else ""
            if part and self._budget.take(part):
                folds.append(part)
            else:
                missing += len(group)
        if missing:
            self._left_out.append(f"the details of {format_count(missing, 'segment')}")
        return folds

    def _notes(self) -> list[str]:
        """Return the notes, to unfold. A plan without changes shows only how many there are."""
        notes = [f for f in group_findings(self._plan.findings) if f.severity is Severity.INFO]
        if not notes:
            return []
        title = format_count(len(notes), "note")
        body = "\n".join("\n".join(_finding_lines(note, self._identities)) for note in notes)
        part = fold(title, body)
        if not self._plan.is_empty and self._budget.take(part):
            return [part]
        self._left_out.append(title)
        return []

    def _cut_note(self) -> str:
        limit = "" if self._plan.is_empty else f" of {format_number(self._max_bytes)} bytes"
        return (
            f"Not in this comment{limit}: {', '.join(self._left_out)}. "
            "`segctl show FILE` prints a saved plan in full."
        )


def _rank(change: Change, refused: Collection[str]) -> tuple[bool, int, int, int]:
    """Return the sort key by which refused changes come first, then dangerous and large ones."""
    members = change.members
    danger = phrases.danger(change.action)
    return change.address not in refused, danger, -members.remove, -members.add


def _error_codes(plan: Plan) -> Mapping[str, Sequence[str]]:
    """Return the codes of the errors about each segment, by address."""
    codes: dict[str, list[str]] = {}
    for finding in plan.error_findings:
        segments = finding.figures.segments if finding.figures else ()
        for address in dict.fromkeys((*segments, finding.address or "")):
            if finding.code not in codes.setdefault(address, []):
                codes[address].append(finding.code)
    return codes


def _box(heading: str, items: Sequence[str], *, kind: str = "CAUTION") -> str:
    """Return an alert; empty without a heading."""
    lines = [line for item in items for line in item.split("\n")]
    return quote([heading, *(("", *lines) if lines else ())], kind) if heading else ""


def _refusal(plan: Plan) -> str:
    """Return that the plan is refused, with the number of the errors of each kind."""
    line = phrases.refusal_line(plan)
    if not line:
        return ""
    kinds = Counter(finding.code for finding in plan.error_findings)
    named = [
        f"{format_number(count)} {code(kind, max_bytes=_KIND_BYTES)}"
        for kind, count in kinds.most_common(_MAX_KINDS)
    ]
    if more := len(kinds) - len(named):
        named.append(format_count(more, "other kind"))
    return f"**{line}** ({', '.join(named)})"


def _held(plan: Plan) -> str:
    """Return how many segments are held back; empty if there are none."""
    line = phrases.held_line(plan)
    return f"**{line[:-1]}: nothing is sent for what is named here.**" if line else ""


def _destroyed(plan: Plan) -> str:
    """Return how many segments are emptied for good, and how many members they lose."""
    line = phrases.destroyed_line(plan).removesuffix(".")
    removed = sum(c.members.remove for c in plan.changes if c.action in _DESTROYS)
    return f"**{line}, which removes {format_count(removed, 'member')}.**" if line else ""


def _destroyed_item(change: Change) -> str:
    """Return one segment that is emptied, and what it loses."""
    removed, before = change.members.remove, change.members.before
    lost = format_count(removed, "member")
    if removed == before:
        lost = f"all {lost}" if removed else "no members"
    sentence = "is replaced: the old segment" if change.action is Action.REPLACE else ""
    return f"- {_name(change)} {sentence or 'is destroyed: it'} loses {lost}"


def _counts(plan: Plan) -> str:
    """Return members, requests, time and billable events, or why nothing changes."""
    lines = [phrases.no_changes_reason(plan)]
    if not plan.is_empty:
        lines = [
            phrases.members_line(plan),
            phrases.creates_line(plan),
            phrases.target_note(plan),
            phrases.tolerance_line(plan),
        ]
    return "  \n".join(escape_line(line, max_bytes=_LINE_BYTES) for line in lines if line)


def _origin(plan: Plan, identities: MemberFormat) -> str:
    origin = escape(phrases.origin_line(plan), max_bytes=_LINE_BYTES)
    digest = code(plan.digest, max_bytes=_LINE_BYTES)
    parts = identities.note(plan).split("`")
    note = "".join(code(part) if n % 2 else escape(part) for n, part in enumerate(parts))
    foot = f"{f'{origin} ' if origin else ''}Plan digest {digest}{f'. {note}' if note else ''}"
    return f"<sub>{foot}</sub>"


def _finding_lines(finding: Finding, identities: MemberFormat) -> list[str]:
    """Return a list item: the summary, then the lines of users and details."""
    heading = phrases.severity_title(finding.severity)
    address = phrases.finding_address(finding)
    prefix = f"{code(address)}: " if address else ""
    details = [identities.examples(finding), *finding.detail.splitlines()]
    lines = [f"- **{heading}:** {prefix}{escape(finding.summary)}"]
    lines += [f"  {escape_line(line)}" for line in details if line.strip()]
    return [*(f"{line}  " for line in lines[:-1]), lines[-1]]


def _name(change: Change) -> str:
    """Return the display name and the address of a segment, or only the address if it says all."""
    attributes = change.after or change.before
    shown = attributes.display_name if attributes else ""
    address = code(change.address, max_bytes=_LINE_BYTES)
    if shown.strip().lower() in {"", change.address.removeprefix("segment.").lower()}:
        return address
    return f"{escape(shown, max_bytes=_LINE_BYTES)} {address}"


def _row(group: Sequence[Change], errors: Mapping[str, Sequence[str]]) -> str:
    """Return the row of one segment, or of some that are alike."""
    first, count = group[0], len(group)
    members = first.members
    each = " each" if count > 1 else ""
    lost = phrases.format_percent(members.remove, members.before)
    share = f" ({lost})" if lost and count == 1 else ""
    why = escape(first.reason, max_bytes=_LINE_BYTES)
    if codes := errors.get(first.address):
        kinds = ", ".join(escape(kind, max_bytes=_KIND_BYTES) for kind in codes[:_MAX_KINDS])
        why = f"**error: {kinds}**{f'; {why}' if why else ''}"
    return _cells(
        first.action,
        _name(first) if count == 1 else _names(group),
        _size(group),
        f"{format_number(members.add)}{each}",
        f"{format_number(members.remove)}{share}{each}",
        why,
    )


def _cells(action: Action, *cells: str) -> str:
    segment, *others = cells
    symbol = f"<code>{phrases.SYMBOLS[action].strip()}</code>"
    return f"| {' | '.join((symbol, segment, str(action), *others))} |"


def _names(group: Sequence[Change]) -> str:
    named = [code(change.address, max_bytes=_KIND_BYTES) for change in group[:_MAX_NAMED]]
    more = ", …" if len(group) > _MAX_NAMED else ""
    return f"{format_count(len(group), 'segment')}: {', '.join(named)}{more}"


def _size(group: Sequence[Change]) -> str:
    """Return the number of members before and after, and the growth."""
    attributes = group[0].after or group[0].before
    if attributes and not attributes.managed:
        return "not managed"
    before = sum(change.members.before for change in group)
    after = sum(change.members.after for change in group)
    if before == after:
        return format_number(after)
    growth = phrases.format_growth(before, after)
    shown = f"{format_number(before)} → {format_number(after)}"
    return f"{shown} ({growth})" if growth else shown


def _rest_rows(groups: Sequence[Sequence[Change]]) -> list[str]:
    """Return a row for each action with the sums of all these segments."""
    by_action: dict[Action, list[Change]] = {}
    for change in (change for group in groups for change in group):
        by_action.setdefault(change.action, []).append(change)
    return [
        _cells(
            action,
            format_count(len(changes), "more segment"),
            _size([replace(change, after=None, before=None) for change in changes]),
            format_number(sum(change.members.add for change in changes)),
            format_number(sum(change.members.remove for change in changes)),
            "together",
        )
        for action, changes in by_action.items()
    ]


def _fold(group: Sequence[Change], identities: MemberFormat) -> str:
    """Return the details of one segment, or the names of some that are alike."""
    first, count = group[0], len(group)
    sentence = phrases.SENTENCES[first.action]
    if count == 1:
        lines = list(text.segment_lines(first, identities=identities))[1:-1]
        title = f"{code(first.address)} {sentence}"
        return fold(
            title,
            code_block((shortened(_sign_first(line), _MAX_LINE_LENGTH) for line in lines), "diff"),
        )
    named = [shortened(f"  {change.address}", _MAX_LINE_LENGTH) for change in group[:_MAX_LISTED]]
    if more := count - len(named):
        named.append(f"  … and {format_count(more, 'more segment')}")
    title = f"{format_count(count, 'segment')} {sentence}".replace(" is ", " are ")
    return fold(title, code_block(named, ""))


def _sign_first(line: str) -> str:
    """Move the sign to the start of the line, so that a ``diff`` block shows it in color."""
    stripped = line.lstrip()
    if stripped[:2] in {"+ ", "- "}:
        return f"{stripped[0]}{' ' * (len(line) - len(stripped) - 1)}{stripped[1:]}"
    return line if stripped[:2] != "~ " else f"!{line[1:]}"
