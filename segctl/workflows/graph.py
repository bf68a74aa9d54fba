"""Graph: which sources fill which segments. Reads the manifests, and no source and no state."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from segctl.core.address import is_targeted
from segctl.core.errors import WrongUsage
from segctl.core.graph import Edge, Graph, Node, Role
from segctl.core.suggestions import did_you_mean
from segctl.manifests.dependencies import required_segments, rule_addresses
from segctl.manifests.desired import (
    CommandSource,
    DesiredSegment,
    DesiredState,
    Disjoint,
    FileSource,
    InlineSource,
    Load,
    PostgresSource,
    QuerySource,
    Rule,
    SegmentSource,
    Size,
    SqliteSource,
    Subset,
    TableLoad,
)
from segctl.session.context import Context
from segctl.workflows.validate import load_desired

EVERYONE = "everyone"


def build_graph(
    context: Context, *, variables: Mapping[str, str], targets: Sequence[str] = ()
) -> Graph:
    """Return the graph of the segments that ``targets`` select, and of all that they read.

    Raises ``InvalidInput`` for the manifests, ``WrongUsage`` for a target that selects nothing.
    """
    desired = load_desired(context, variables)
    addresses = [s.address for s in desired.segments]
    for target in targets:
        if not any(is_targeted(address, [target]) for address in addresses):
            raise WrongUsage(
                f"the workspace declares no segment {target}",
                hint=did_you_mean(target, [a.partition(".")[2] for a in addresses])
                or "`segctl graph` without --target draws all of them.",
            )
    selected = [a for a in addresses if is_targeted(a, targets)]
    return graph_of(desired, {*selected, *required_segments(desired, selected, ())})


def graph_of(desired: DesiredState, addresses: set[str]) -> Graph:
    """Return the graph of these segments, with the sources and the rules that concern them."""
    segments = [s for s in desired.segments if s.address in addresses]
    nodes: dict[str, Node] = {s.address: _segment_node(s) for s in segments}
    edges: dict[Edge, None] = {}
    source_ids: dict[object, str] = {}
    for load in desired.loads:
        ends = _ends(load, addresses)
        if not ends:
            continue
        start = _add_source(load, nodes, source_ids)
        role: Role = "include" if isinstance(load, TableLoad) else load.role
        for end, label in ends:
            edges[Edge(start=start, end=end, role=role, label=label)] = None
    if any(edge.end == EVERYONE for edge in edges):
        nodes[EVERYONE] = Node(id=EVERYONE, type="everyone", name="every managed segment")
    for number, rule in enumerate(desired.rules, start=1):
        if addresses.issuperset(rule_addresses(rule)):
            _add_rule(rule, f"rule{number}", nodes, edges)
    return Graph(nodes=tuple(nodes.values()), edges=tuple(edges), segments=len(segments))


def _segment_node(segment: DesiredSegment) -> Node:
    details = [segment.display_name]
    if not segment.managed:
        details.append("members: unmanaged")
    if segment.holdout:
        details.append("with a hold-out")
    return Node(
        id=segment.address,
        type="segment",
        name=segment.address,
        detail=", ".join(details),
        places=(str(segment.location),),
    )


def _ends(load: Load, addresses: set[str]) -> list[tuple[str, str]]:
    """Return the nodes that a source has rows for, with the segment value of a table."""
    if isinstance(load, TableLoad):
        return [(a, value) for value, a in sorted(load.segments.items()) if a in addresses]
    if load.role == "suppress":
        return [(EVERYONE, "")] if addresses.intersection(load.addresses) else []
    return [(address, "") for address in sorted(load.addresses) if address in addresses]


def _add_source(load: Load, nodes: dict[str, Node], source_ids: dict[object, str]) -> str:
    """Return the id of the node of a load's source; the same rows are one node."""
    source = load.source
    if isinstance(source, SegmentSource):
        return source.address
    name, detail, rows = _describe_source(load)
    # What is not among the described fields makes another source: filters, parameters, values.
    identity = (type(source), name, detail, rows)
    place = str(source.location)
    if identity not in source_ids:
        source_ids[identity] = f"source{len(source_ids) + 1}"
        nodes[source_ids[identity]] = Node(
            id=source_ids[identity], type="source", name=name, detail=detail
        )
    found = source_ids[identity]
    if place not in nodes[found].places:
        nodes[found] = replace(nodes[found], places=(*nodes[found].places, place))
    return found


def _describe_source(load: Load) -> tuple[str, str, object]:
    """Return a name, a detail, and what else distinguishes the source. No SQL and no user key."""
    source = load.source
    match source:
        case FileSource(path=path, column=column, where=where):
            of = ", ".join(f"{key}={value}" for key, value in sorted(where.items()))
            return path, of, (column, source.kind, load_column(load))
        case QuerySource(sql=sql, parameters=parameters):
            return "query", str(source.location), (sql, tuple(sorted(parameters.items())))
        case SqliteSource(path=database) | PostgresSource(connection=database):
            what = source.table or f"query at {source.location}"
            rows = (source.sql, source.column, tuple(sorted(source.parameters.items())))
            return database, what, rows
        case CommandSource(run=run):
            return f"command {run[0]}", "", run
        case InlineSource(values=values):
            count = len(set(values))
            return "list", f"{count:,} user key{'' if count == 1 else 's'}", source.location
        case SegmentSource():
            raise AssertionError("a segment is a node already")


def load_column(load: Load) -> str:
    """Return the column that names the segments of a table's rows; empty if it has none."""
    return load.segment_column if isinstance(load, TableLoad) else ""


def _add_rule(rule: Rule, id_: str, nodes: dict[str, Node], edges: dict[Edge, None]) -> None:
    """Add a rule: an edge between two segments, or a node with an edge to each of several."""
    match rule:
        case Disjoint(owner=str() as owner):
            pairs = [(address, owner) for address in rule.addresses]
            label = "disjoint"
        case Disjoint(addresses=(one, other)):
            pairs, label = [(one, other)], "disjoint"
        case Subset():
            pairs, label = [(address, rule.of) for address in rule.addresses], "subset of"
        case _:
            name = _size(rule) if isinstance(rule, Size) else "disjoint"
            nodes[id_] = Node(id=id_, type="rule", name=name, places=(str(rule.location),))
            pairs, label = [(id_, address) for address in rule.addresses], ""
    for start, end in pairs:
        edges[Edge(start=start, end=end, role="rule", label=label)] = None


def _size(rule: Size) -> str:
    least = "" if rule.minimum is None else f"at least {rule.minimum:,}"
    most = "" if rule.maximum is None else f"at most {rule.maximum:,}"
    return " and ".join(filter(None, (least, most))) + " members"


MAX_SINGLE_SEGMENTS = 100
"""A graph with more segments than this is grouped, to stay readable."""


def group_segments(graph: Graph) -> Graph:
    """Return the graph with segments that have the same sources as one node, if it is large.

    Segments that others read or that rules name stay as they are.
    """
    if graph.segments <= MAX_SINGLE_SEGMENTS:
        return graph
    types = {node.id: node.type for node in graph.nodes}
    fixed = {e.start for e in graph.edges} | {e.end for e in graph.edges if e.role == "rule"}
    sources: dict[str, list[tuple[str, Role]]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.end, []).append((edge.start, edge.role))
    groups: dict[object, list[str]] = {}
    for node in graph.nodes:
        if types[node.id] == "segment" and node.id not in fixed:
            groups.setdefault(frozenset(sources.get(node.id, ())), []).append(node.id)
    leaders = {
        member: members[0] for members in groups.values() if len(members) > 1 for member in members
    }
    sizes = {members[0]: members for members in groups.values() if len(members) > 1}
    nodes = [
        Node(
            id=node.id,
            type="segments",
            name=f"{len(sizes[node.id]):,} segments",
            detail=f"{sizes[node.id][0]} to {sizes[node.id][-1]}",
            count=len(sizes[node.id]),
        )
        if node.id in sizes
        else node
        for node in graph.nodes
        if leaders.get(node.id, node.id) == node.id
    ]
    edges = {
        replace(edge, end=leaders[edge.end], label="") if edge.end in leaders else edge: None
        for edge in graph.edges
    }
    return Graph(nodes=tuple(nodes), edges=tuple(edges), segments=graph.segments)
