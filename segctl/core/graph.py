"""The graph of a workspace as a value: segments, sources, rules, and what connects them."""

from dataclasses import field
from typing import Literal

from segctl.core.dataclass import dataclass

NodeType = Literal["segment", "segments", "source", "everyone", "rule"]
Role = Literal["include", "intersect", "exclude", "suppress", "rule"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A segment, a source, a rule, or many of the segments.

    ``segments`` stands for ``count`` segments that have the same sources, and ``everyone`` for
    every managed segment. ``name`` is the address, the name of the source or what the rule says;
    ``detail`` adds to it. ``places`` are the places in the manifests, as ``file:line:column``.
    """

    id: str
    type: NodeType
    name: str
    detail: str = ""
    places: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What one node does for another: a source ``include``s its rows in a segment, and so on.

    ``label`` is the segment value of a table, or what a rule says.
    """

    start: str
    end: str
    role: Role
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes and edges, in a stable order. ``segments`` is the number of segments in it."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    segments: int = field(default=0)
