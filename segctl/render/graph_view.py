"""The graph of a workspace as Mermaid, as DOT of Graphviz, and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict

from segctl.core.graph import Edge, Graph, Node, NodeType, Role
from segctl.render.json_document import facts
from segctl.render.mermaid import label_text
from segctl.render.style import shortened

MAX_MERMAID_EDGES = 500
MAX_MERMAID_CHARACTERS = 50_000
"""What Mermaid draws without other settings (``maxEdges`` and ``maxTextSize`` of its docs)."""

_MAX_TEXT = 80

_SHAPES: Mapping[NodeType, tuple[str, str]] = {
    "segment": ("([", "])"),
    "segments": ("([", "])"),
    "everyone": ("([", "])"),
    "source": ("[", "]"),
    "rule": ("{{", "}}"),
}

_DOT_SHAPES: Mapping[NodeType, str] = {
    "segment": "ellipse",
    "segments": "ellipse",
    "everyone": "ellipse",
    "source": "box",
    "rule": "hexagon",
}

_VERBS: Mapping[Role, str] = {
    "include": "",
    "intersect": "intersects",
    "exclude": "excluded from",
    "suppress": "suppressed from",
    "rule": "",
}


def render_mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart."""
    ids = {node.id: f"n{number}" for number, node in enumerate(graph.nodes, start=1)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = _SHAPES[node.type]
        text = "<br>".join(map(label_text, _texts(node)))
        lines.append(f'  {ids[node.id]}{opening}"{text}"{closing}')
    for edge in graph.edges:
        arrow = _mermaid_arrow(edge)
        label = f'|"{label_text(text)}"|' if (text := _edge_text(edge)) else ""
        lines.append(f"  {ids[edge.start]} {arrow}{label} {ids[edge.end]}")
    return "".join(f"{line}\n" for line in lines)


def _mermaid_arrow(edge: Edge) -> str:
    if edge.role == "rule":
        return "-.->" if edge.label == "subset of" else "-.-"
    return "--x" if edge.role in ("exclude", "suppress") else "-->"


def render_dot(graph: Graph) -> str:
    """Return a directed graph in the language of Graphviz."""
    ids = {node.id: f"n{number}" for number, node in enumerate(graph.nodes, start=1)}
    lines = ["digraph segments {", "  rankdir=LR;"]
    for node in graph.nodes:
        label = "\\n".join(map(_dot_text, _texts(node)))
        lines.append(f'  {ids[node.id]} [label="{label}", shape={_DOT_SHAPES[node.type]}];')
    for edge in graph.edges:
        attributes = []
        if text := _edge_text(edge):
            attributes.append(f'label="{_dot_text(text)}"')
        if edge.role == "rule":
            direction = "forward" if edge.label == "subset of" else "none"
            attributes += ["style=dotted", f"dir={direction}"]
        elif edge.role in ("exclude", "suppress"):
            attributes.append("arrowhead=tee")
        listed = f" [{', '.join(attributes)}]" if attributes else ""
        lines.append(f"  {ids[edge.start]} -> {ids[edge.end]}{listed};")
    return "".join(f"{line}\n" for line in [*lines, "}"])


def _dot_text(text: str) -> str:
    # Graphviz reads a backslash and an ampersand as the beginning of something else.
    shown = text.replace("\\", "\\\\").replace("&", "&amp;")
    return shown.replace('"', '\\"')


def render_json(graph: Graph) -> str:
    """Return the graph as a document."""
    return facts(
        nodes=[asdict(node) for node in graph.nodes],
        edges=[asdict(edge) for edge in graph.edges],
    )


def size_note(graph: Graph, mermaid: str) -> str:
    """Return a line about a diagram that Mermaid refuses to draw, else an empty text."""
    if len(graph.edges) <= MAX_MERMAID_EDGES and len(mermaid) <= MAX_MERMAID_CHARACTERS:
        return ""
    return (
        f"Mermaid draws at most {MAX_MERMAID_EDGES} edges and {MAX_MERMAID_CHARACTERS:,} "
        f"characters, and this diagram has {len(graph.edges):,} and {len(mermaid):,}. Draw some of "
        "the segments with --target, or use --format dot."
    )


def _texts(node: Node) -> list[str]:
    return [shortened(text, _MAX_TEXT) for text in (node.name, node.detail) if text]


def _edge_text(edge: Edge) -> str:
    return shortened(edge.label or _VERBS[edge.role], _MAX_TEXT)
