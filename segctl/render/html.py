"""The plan as one self-contained HTML file: for build artifacts and for mail.

Its content security policy allows its own style sheet and nothing else; scripts are blocked.
"""

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from segctl.plan.model import Action, Change, Plan
from segctl.render import phrases
from segctl.render.grouping import group_findings
from segctl.render.phrases import MINUS, Identities
from segctl.render.style import escaped

_BAR_WIDTH = 120
"""The width of the largest segment's bar in pixels; the template draws the same width."""


def render(plan: Plan, *, identities: Identities = Identities.MASKED) -> str:
    """Return the whole file."""
    environment = Environment(
        loader=PackageLoader("segctl.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=phrases.format_number, printable=escaped, value=phrases.format_value
    )
    css = environment.get_template("plan.css").render()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    largest = max((max(c.members.before, c.members.after) for c in plan.changes), default=0)
    return environment.get_template("plan.html").render(
        plan=plan,
        findings=tuple(group_findings(plan.findings)),
        phrases=phrases,
        identities=identities,
        minus=MINUS,
        css=css,
        css_digest=digest,
        segments=[
            _segment_context(c, identities, largest) for c in phrases.most_dangerous_first(plan)
        ],
        legend=[
            (phrases.SYMBOLS[action], meaning)
            for action, meaning in phrases.LEGEND.items()
            if plan.count(action)
        ],
    )


def _segment_context(change: Change, identities: Identities, largest: int) -> dict[str, Any]:
    counts = change.members
    attributes = change.after or change.before
    return {
        "change": change,
        "symbol": phrases.SYMBOLS[change.action].strip(),
        "sentence": phrases.SENTENCES[change.action],
        "name": attributes.display_name if attributes else "",
        "id": attributes.customer_segment_id if attributes else None,
        "lists_attributes": change.action in {Action.UPDATE, Action.REPLACE, Action.ADOPT},
        "managed": attributes is None or attributes.managed,
        "extra_counts": phrases.extra_count_lines(counts),
        "samples": [
            (
                sign,
                css,
                phrases.format_members(sample, identities),
                phrases.more_line(sample, total),
            )
            for sign, css, sample, total in (
                ("+", "plus", change.sample.add, counts.add),
                (MINUS, "minus", change.sample.remove, counts.remove),
            )
        ],
        "bar": _bar(change, largest),
    }


def _bar(change: Change, largest: int) -> dict[str, float] | None:
    """Return the widths of the kept, removed and added members, scaled to the largest segment."""
    counts = change.members
    if not largest:
        return None
    scale = _BAR_WIDTH / max(largest + counts.remove, 1)
    kept = max(counts.before - counts.remove, 0) * scale
    gone, new = counts.remove * scale, counts.add * scale
    return {"kept": round(kept, 2), "gone": round(gone, 2), "new": round(new, 2)}
