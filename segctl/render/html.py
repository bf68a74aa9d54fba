"""The plan as one self-contained HTML report: for build artifacts and for mail.

Its content security policy allows its own style sheet and its own script, by their hashes, and
nothing else. Without the script everything is readable; only sorting and searching are missing.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.plan.holding import HELD_BACK
from segctl.plan.model import Action, Change, Finding, Plan
from segctl.render import charts, phrases
from segctl.render.grouping import group_findings
from segctl.render.html_segments import (
    SegmentView,
    listed_changes,
    segment_views,
)
from segctl.render.member_format import NOT_SHOWN, MemberFormat
from segctl.render.phrases import MINUS
from segctl.render.style import escaped, shortened

_MAX_LINKS = 3
_MAX_ALERTS = 4
"""The most groups of errors and warnings above the table that are not folded away."""

_MAX_CELL = 120
_MAX_FACT = 200
_MAX_SUMMARY = 800
_MAX_TEXT = 4_000
_MAX_LABEL = 26


@dataclass(frozen=True, kw_only=True)
class FindingItem:
    """A finding, and the listed segments that it is about, at most ``_MAX_LINKS``."""

    finding: Finding
    segments: tuple[SegmentView, ...]


@dataclass(frozen=True, kw_only=True)
class FindingGroup:
    """The findings of one severity and code that are shown. ``count`` counts all of them."""

    severity: Severity
    code: str
    count: int
    items: tuple[FindingItem, ...]


def render(plan: Plan, *, identities: MemberFormat = NOT_SHOWN) -> str:
    """Return the whole file."""
    environment = _environment()
    css = environment.get_template("plan.css").render().strip()
    script = environment.get_template("plan.js").render().strip()
    listed = listed_changes(plan)
    segments = segment_views(plan, listed, identities)
    by_address = {segment.change.address: segment for segment in segments}
    groups = tuple(_finding_groups(plan, by_address))
    names = _names(plan)
    environment.filters.update(display_name=lambda address: names.get(address, ""))
    return environment.get_template("plan.html").render(
        plan=plan,
        phrases=phrases,
        identities=identities,
        minus=MINUS,
        # The name of the environment is isolated in the page: letters that run from right to
        # left would move the numbers after it.
        counts_line=phrases.plan_line(replace(plan, env_name="")).removeprefix("Plan"),
        css=css,
        css_digest=_digest(css),
        script=script,
        script_digest=_digest(script),
        facts=tuple(_facts(plan)),
        alerts=[group for group in groups if group.severity is not Severity.INFO],
        notes=[group for group in groups if group.severity is Severity.INFO],
        most_alerts=_MAX_ALERTS,
        most_summary=_MAX_SUMMARY,
        held_back=HELD_BACK,
        losses=_losses(segments),
        most_links=_MAX_LINKS,
        segments=segments,
        by_address=by_address,
        unchanged=_unchanged(plan, by_address),
        bars=charts.size_bars(listed),
        totals=_totals(plan.changes),
        uncounted_moves=phrases.uncounted_moves_line(plan),
        diagram=charts.draw_flows(plan.flows or ()),
        flows=(plan.flows or ())[: charts.MAX_BARS],
        more_flows=(plan.flows or ())[charts.MAX_BARS :],
        legend=[
            (phrases.SYMBOLS[action], meaning)
            for action, meaning in phrases.LEGEND.items()
            if plan.count(action)
        ],
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("segctl.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=phrases.format_number,
        count=phrases.format_count,
        printable=_printable,
        fact=_fact,
        cell=_cell,
        label=_label,
        growth=phrases.format_growth,
        symbol=lambda action: phrases.SYMBOLS[action].strip(),
    )
    return environment


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _printable(text: str, most: int = _MAX_TEXT) -> str:
    """Return ``text`` on one line without unprintable characters; a very long one is cut."""
    shown = escaped(text[:most])
    more = len(text) - most
    return f"{shown}… ({phrases.format_count(more, 'more character')})" if more > 0 else shown


def _fact(text: str) -> str:
    """Return ``text`` for the lines above the table, which a long value must not push away."""
    return _printable(text, _MAX_FACT)


def _cell(text: str) -> str:
    """Return ``text`` for a cell of a table, cut if it is long: the details have all of it."""
    return shortened(text, _MAX_CELL)


def _label(address: str | None) -> str:
    """Return the label of a node in the diagram of moves."""
    if address is None:
        return "other segments"
    return shortened(address.removeprefix("segment."), _MAX_LABEL)


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield from what the plan was made, as labels and values; what is not known is left out."""
    facts = {
        "Environment": plan.env_name,
        "Account": plan.account or "",
        "Host": plan.host,
        "Made": f"{datetime.fromtimestamp(plan.made_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if plan.made_at
        else "",
        "Commit": plan.commit,
        "State": f"serial {plan.serial}, lineage {plan.lineage}" if plan.lineage else "none yet",
        "Tolerance": phrases.tolerance_line(plan),
        "segctl": plan.segctl_version,
    }
    yield from ((label, value) for label, value in facts.items() if value)


def _finding_groups(plan: Plan, by_address: Mapping[str, SegmentView]) -> Iterator[FindingGroup]:
    counts = Counter((f.severity, f.code) for f in plan.findings)
    shown = group_findings(plan.findings)
    for (severity, code), found in groupby(shown, key=lambda f: (f.severity, f.code)):
        yield FindingGroup(
            severity=severity,
            code=code,
            count=counts[severity, code],
            items=tuple(_finding_item(finding, by_address) for finding in found),
        )


def _finding_item(finding: Finding, by_address: Mapping[str, SegmentView]) -> FindingItem:
    about = [finding.address] if finding.address else []
    about += finding.figures.segments if finding.figures else ()
    listed = [by_address[address] for address in dict.fromkeys(about) if address in by_address]
    return FindingItem(finding=finding, segments=tuple(listed[:_MAX_LINKS]))


def _losses(segments: Sequence[SegmentView]) -> tuple[SegmentView, ...]:
    """Return the segments that a destroy or a replacement empties, the largest first."""
    emptied = (s for s in segments if s.change.action in {Action.DESTROY, Action.REPLACE})
    return tuple(sorted(emptied, key=lambda segment: -segment.change.members.before))


def _unchanged(plan: Plan, listed: Mapping[str, object]) -> tuple[Change, ...]:
    return tuple(c for c in plan.changes if c.address not in listed)


def _totals(changes: Sequence[Change]) -> tuple[int, int]:
    """Return the members of all segments before and after, summed."""
    return sum(c.members.before for c in changes), sum(c.members.after for c in changes)


def _names(plan: Plan) -> Mapping[str, str]:
    """Return the display name of each segment, by address."""
    return {
        change.address: attributes.display_name
        for change in plan.changes
        if (attributes := change.after or change.before)
    }
