"""``segctl graph``: which sources fill which segments."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, Segctl

TEAM = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: vip}
spec:
  displayName: VIP
  members:
    - segment: gold
    - file: {path: vip.txt}
  intersect:
    - file: {path: consent.txt}
  exclude:
    - file: {path: out.txt}
  rules:
    - subset: {of: gold}
---
apiVersion: segctl/v1
kind: SegmentTable
metadata: {name: tiers}
spec:
  source: {query: {sql: "select 'secret@example.com' as identity, 'a' as segment"}}
  segmentColumn: segment
  segments:
    a: {displayName: A}
    b: {displayName: B}
"""


@pytest.fixture
def team(workspace: Path) -> Path:
    """A workspace with every role of a source, and no file that a source names."""
    (workspace / "segctl.yaml").write_text(
        PROJECT + "spec:\n  suppress:\n    - file: {path: forgotten.txt}\n", encoding="utf-8"
    )
    (workspace / "team.yaml").write_text(TEAM, encoding="utf-8")
    return workspace


def edges_of(document: str) -> set[tuple[str, str, str, str]]:
    """Return the edges of a graph in JSON, with the names of their nodes."""
    graph = json.loads(document)
    names = {node["id"]: node["name"] for node in graph["nodes"]}
    return {(names[e["start"]], e["role"], names[e["end"]], e["label"]) for e in graph["edges"]}


@pytest.mark.usefixtures("team")
def test_the_graph_has_what_each_source_does(segctl: Segctl) -> None:
    assert edges_of(segctl("graph", "--format", "json").out) == {
        ("list", "include", "segment.gold", ""),
        ("list", "include", "segment.council", ""),
        ("segment.gold", "include", "segment.vip", ""),
        ("vip.txt", "include", "segment.vip", ""),
        ("consent.txt", "intersect", "segment.vip", ""),
        ("out.txt", "exclude", "segment.vip", ""),
        ("query", "include", "segment.a", "a"),
        ("query", "include", "segment.b", "b"),
        ("forgotten.txt", "suppress", "every managed segment", ""),
        ("segment.vip", "rule", "segment.gold", "subset of"),
    }


@pytest.mark.usefixtures("team")
def test_a_diagram_is_the_same_every_time_and_reads_no_source(segctl: Segctl) -> None:
    first, second = segctl("graph"), segctl("graph")
    assert (first.code, first.err) == (0, "")
    assert first == second
    assert first.out.startswith("flowchart LR\n")


@pytest.mark.parametrize("view", ["mermaid", "dot", "json"])
@pytest.mark.usefixtures("team")
def test_no_user_key_and_no_sql_is_in_a_graph(segctl: Segctl, view: str) -> None:
    shown = segctl("graph", "--format", view).out
    assert not re.search("example|secret|select|abcde", shown)


@pytest.mark.usefixtures("team")
def test_a_target_is_drawn_with_what_it_reads(segctl: Segctl) -> None:
    done = segctl("graph", "--target", "vip", "--format", "json")
    segments = [n["id"] for n in json.loads(done.out)["nodes"] if n["type"] == "segment"]
    assert segments == ["segment.gold", "segment.vip"]
    done = segctl("graph", "--target", "vop")
    assert (done.code, done.out) == (64, "")
    assert 'Did you mean "vip"?' in done.err


def test_nothing_breaks_out_of_a_diagram(segctl: Segctl, workspace: Path) -> None:
    hostile = (
        '1. x"]; click n1 "javascript:x" %%{init}%% <img src=x> `md` #quot; \\u202e ::warning::'
    )
    (workspace / "gold.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\n"
        f"spec:\n  displayName: {json.dumps(hostile)}\n",
        encoding="utf-8",
    )
    [_, node] = segctl("graph").out.splitlines()
    inside = re.fullmatch(r'  n1\(\["(.*)"\]\)', node)
    assert inside
    assert re.fullmatch(r"([A-Za-z0-9 ]|#\d+;|<br>)*", inside[1])
    [_, _, node, _] = segctl("graph", "--format", "dot").out.splitlines()
    assert re.fullmatch(r'  n1 \[label="([^"\\]|\\.)*", shape=ellipse\];', node)


def test_a_large_graph_has_one_node_for_segments_with_the_same_sources(
    segctl: Segctl, workspace: Path
) -> None:
    segments = "".join(f"    s{number:04}: {{displayName: S{number}}}\n" for number in range(2490))
    (workspace / "many.yaml").write_text(
        "apiVersion: segctl/v1\nkind: SegmentTable\nmetadata: {name: many}\nspec:\n"
        "  source: {file: {path: many.csv}}\n  segmentColumn: s\n  segments:\n" + segments,
        encoding="utf-8",
    )
    done = segctl("graph")
    assert "2#44;490 segments<br>" in done.out
    assert (len(done.out.splitlines()), done.err) == (10, "")
    whole = json.loads(segctl("graph", "--format", "json").out)
    assert sum(node["type"] == "segment" for node in whole["nodes"]) == 2492


def test_a_diagram_that_is_too_large_to_draw_says_so(segctl: Segctl, workspace: Path) -> None:
    (workspace / "many.yaml").write_text(
        "".join(
            f"---\napiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: s{number}}}\n"
            f"spec: {{displayName: S{number}, members: [{{file: {{path: f{number}.txt}}}}]}}\n"
            for number in range(600)
        ),
        encoding="utf-8",
    )
    assert "Mermaid draws at most 500 edges" in segctl("graph").err
    assert segctl("graph", "--target", "s1*").err == ""
