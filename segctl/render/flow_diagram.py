"""The flows between segments as a Mermaid diagram, which GitHub and GitLab draw.

A flowchart: both forges have drawn it from the beginning, and unlike Mermaid's Sankey diagram it
shows flows in both directions, and two segments of the same name.
"""

from collections import Counter
from collections.abc import Mapping

from segctl.plan.model import Flow, Plan
from segctl.render.mermaid import label_text
from segctl.render.phrases import format_count, format_number
from segctl.render.style import shortened

MAX_CHARACTERS = 2_000
"""GitLab draws a longer diagram only after a click."""

MAX_FLOWS = 12
"""The most flows that are drawn. More are hard to follow."""

_MAX_NAME_LENGTH = 32
_WIDTHS = ((0.5, 6), (0.1, 3))
"""From which share of the largest flow on a line is how wide, in pixels."""


def render(plan: Plan) -> str:
    """Return the source of the diagram, at most ``MAX_CHARACTERS`` long; empty without flows."""
    if not plan.flows:
        return ""
    names = _names(plan)
    drawn = min(MAX_FLOWS, len(plan.flows))
    while len(source := _source(plan.flows, drawn, names)) > MAX_CHARACTERS:
        drawn -= 1
    return source


def _source(flows: tuple[Flow, ...], drawn: int, names: Mapping[str, str]) -> str:
    ids: dict[str, str] = {}

    def node(address: str) -> str:
        if address in ids:
            return ids[address]
        ids[address] = f"s{len(ids)}"
        return f'{ids[address]}["{label_text(names.get(address, address))}"]'

    shown, rest = flows[:drawn], flows[drawn:]
    lines = ["flowchart LR"]
    for flow in shown:
        left = node(flow.leaves)
        lines.append(f'  {left} -->|"{format_number(flow.users)}"| {node(flow.joins)}')
    if rest:
        number = format_count(len(rest), "smaller move")
        text = f"{number}: {format_number(sum(flow.users for flow in rest))}"
        lines.append(f'  other(["{label_text(text)}"])')
    lines += _line_widths(shown)
    return "\n".join(lines)


def _line_widths(flows: tuple[Flow, ...]) -> list[str]:
    widths: dict[int, list[str]] = {}
    for index, flow in enumerate(flows):
        share = flow.users / flows[0].users
        for minimum, width in _WIDTHS:
            if share >= minimum:
                widths.setdefault(width, []).append(str(index))
                break
    return [
        f"  linkStyle {','.join(indexes)} stroke-width:{width}px"
        for width, indexes in widths.items()
    ]


def _names(plan: Plan) -> dict[str, str]:
    """Return what to call each segment: its display name if no other has it, else its address."""
    names: dict[str, str] = {}
    for change in plan.changes:
        attributes = change.after or change.before
        if attributes and attributes.display_name.strip():
            names[change.address] = shortened(attributes.display_name, _MAX_NAME_LENGTH)
    used = Counter(names.values())
    return {
        address: name if used[name] == 1 else shortened(address, _MAX_NAME_LENGTH)
        for address, name in names.items()
    }
