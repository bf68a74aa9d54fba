"""The geometry of the report's charts: sizes and positions, without any markup.

Bars are in percent of the width that they get, so that they fit a phone and a desk alike. The
diagram of moves is in units of its own ``viewBox``.
"""

from collections import Counter
from collections.abc import Sequence

from segctl.core.dataclass import dataclass
from segctl.plan.model import Action, Change, Flow

MAX_BARS = 12
"""The most segments in the chart of sizes, and the most moves in the list of moves."""

_MAX_DRAWN_FLOWS = 10
_WIDTH = 560.0
_NODE_WIDTH = 10.0
_BANDS_HEIGHT = 230.0
_NODE_GAP = 8.0
_LABEL_HEIGHT = 20.0
_THINNEST = 1.0


_Bands = Counter[tuple[str | None, str | None]]
"""Users by the segments that they leave and join; ``None`` stands for all others."""


@dataclass(frozen=True, kw_only=True)
class SizeBar:
    """The size of one segment before and after, in percent of the largest in the chart."""

    index: int
    change: Change
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Composition:
    """Kept, removed and added members of one segment, in percent of their sum."""

    kept: float
    gone: float
    new: float


@dataclass(frozen=True, kw_only=True)
class FlowNode:
    """One segment at the left (users leave it) or at the right (users join it).

    ``address`` is ``None`` for all segments that have no node of their own.
    """

    address: str | None
    users: int
    x: float
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class FlowBand:
    """The users who move between two nodes: a band with the ``path`` of its middle line."""

    leaves: str | None
    joins: str | None
    users: int
    path: str
    thickness: float


@dataclass(frozen=True, kw_only=True)
class FlowDiagram:
    """The moves between segments, as a Sankey diagram: nodes at both sides, bands between."""

    width: float
    height: float
    node_width: float
    left: tuple[FlowNode, ...]
    right: tuple[FlowNode, ...]
    bands: tuple[FlowBand, ...]


def composition(change: Change) -> Composition | None:
    """Return the shares of kept, removed and added members; ``None`` if none changes."""
    counts = change.members
    if not (counts.add or counts.remove):
        return None
    kept = max(counts.before - counts.remove, 0)
    whole = kept + counts.remove + counts.add
    return Composition(
        kept=_percent(kept, whole),
        gone=_percent(counts.remove, whole),
        new=_percent(counts.add, whole),
    )


def size_bars(changes: Sequence[Change]) -> tuple[SizeBar, ...]:
    """Return the segments with the most membership changes; an index is that in ``changes``."""
    changed = [
        (i, c) for i, c in enumerate(changes) if c.members.sent and c.action is not Action.NO_OP
    ]
    shown = sorted(changed, key=lambda item: -item[1].members.sent)[:MAX_BARS]
    largest = max((max(c.members.before, c.members.after) for _, c in shown), default=0)
    return tuple(
        SizeBar(
            index=index,
            change=change,
            before=_percent(change.members.before, largest),
            after=_percent(change.members.after, largest),
        )
        for index, change in shown
    )


def draw_flows(flows: Sequence[Flow]) -> FlowDiagram | None:
    """Return the diagram of the moves, largest first as in a plan; ``None`` if there are none.

    The segments of the largest moves have a node of their own; all others share one at each
    side, so that the height of a node is the sum of all its moves.
    """
    if not flows:
        return None
    drawn = flows[:_MAX_DRAWN_FLOWS]
    leaves, joins = {f.leaves for f in drawn}, {f.joins for f in drawn}
    bands: _Bands = Counter()
    for flow in flows:
        left = flow.leaves if flow.leaves in leaves else None
        right = flow.joins if flow.joins in joins else None
        bands[left, right] += flow.users
    scale = _BANDS_HEIGHT / max(bands.total(), 1)
    left_order = _largest_first(bands)
    left_nodes = _nodes(left_order, bands, side=0, scale=scale)
    right_nodes = _nodes(_few_crossings(bands, left_order), bands, side=1, scale=scale)
    height = max(_bottom(left_nodes), _bottom(right_nodes))
    return FlowDiagram(
        width=_WIDTH,
        height=round(height, 1),
        node_width=_NODE_WIDTH,
        left=left_nodes,
        right=right_nodes,
        bands=_bands(left_nodes, right_nodes, bands, scale),
    )


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _largest_first(bands: _Bands) -> list[str | None]:
    """Return the left segments by their users; the others are last."""
    totals: Counter[str | None] = Counter()
    for (left, _), users in bands.items():
        totals[left] += users
    return sorted(totals, key=lambda address: (address is None, -totals[address], address or ""))


def _few_crossings(bands: _Bands, left_order: Sequence[str | None]) -> list[str | None]:
    """Return the right segments in the order of the left ones that their users come from."""
    totals: Counter[str | None] = Counter()
    positions: Counter[str | None] = Counter()
    for (left, right), users in bands.items():
        totals[right] += users
        positions[right] += users * left_order.index(left)
    return sorted(
        totals,
        key=lambda right: (right is None, positions[right] / max(totals[right], 1), right or ""),
    )


def _nodes(
    order: Sequence[str | None],
    bands: _Bands,
    *,
    side: int,
    scale: float,
) -> tuple[FlowNode, ...]:
    nodes, y = [], 0.0
    for address in order:
        users = sum(n for pair, n in bands.items() if pair[side] == address)
        height = max(users * scale, _THINNEST)
        room = max(height, _LABEL_HEIGHT)
        nodes.append(
            FlowNode(
                address=address,
                users=users,
                x=side * (_WIDTH - _NODE_WIDTH),
                y=round(y + (room - height) / 2, 1),
                height=round(height, 1),
            )
        )
        y += room + _NODE_GAP
    return tuple(nodes)


def _bottom(nodes: Sequence[FlowNode]) -> float:
    last = nodes[-1]
    return last.y + last.height / 2 + max(last.height, _LABEL_HEIGHT) / 2


def _bands(
    left: Sequence[FlowNode],
    right: Sequence[FlowNode],
    bands: _Bands,
    scale: float,
) -> tuple[FlowBand, ...]:
    used_left, used_right = [0.0] * len(left), [0.0] * len(right)
    shown, middle = [], _WIDTH / 2
    for i, source in enumerate(left):
        for j, end in enumerate(right):
            users = bands[source.address, end.address]
            if not users:
                continue
            y1 = source.y + used_left[i] + users * scale / 2
            y2 = end.y + used_right[j] + users * scale / 2
            used_left[i] += users * scale
            used_right[j] += users * scale
            x1, x2 = _NODE_WIDTH, _WIDTH - _NODE_WIDTH
            shown.append(
                FlowBand(
                    leaves=source.address,
                    joins=end.address,
                    users=users,
                    path=f"M{x1:g} {y1:.1f}C{middle:g} {y1:.1f} {middle:g} {y2:.1f} "
                    f"{x2:g} {y2:.1f}",
                    thickness=round(max(users * scale, _THINNEST), 1),
                )
            )
    return tuple(shown)
