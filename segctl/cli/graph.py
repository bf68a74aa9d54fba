"""``segctl graph``: draw which sources fill which segments."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.render import graph_view
from segctl.workflows.graph import build_graph, group_segments


@click.command("graph", epilog="Example: segctl graph --target 'rfm-*' > segments.mmd")
@click.option(
    "--format",
    "view",
    type=click.Choice(["mermaid", "dot", "json"]),
    default="mermaid",
    help="How to print the graph.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@options.targets
@common
def command(screen: Screen, *, view: str, as_json: bool, targets: tuple[str, ...]) -> None:
    """Draw which sources fill which segments.

    Prints segments, sources and rules, and what each source does. Needs no state and
    reads no source. In a diagram with more than 100 segments, those with the same sources
    are one node; JSON always has each.
    """
    graph = build_graph(screen.context(), variables=screen.variables, targets=targets)
    if as_json or view == "json":
        screen.out(graph_view.render_json(graph))
        return
    grouped = group_segments(graph)
    if view == "dot":
        screen.out(graph_view.render_dot(grouped))
        return
    diagram = graph_view.render_mermaid(grouped)
    screen.out(diagram)
    if note := graph_view.size_note(grouped, diagram):
        screen.err(note + "\n")
