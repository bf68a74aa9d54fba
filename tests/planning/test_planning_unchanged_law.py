"""A plan is the same whether unchanged sources are skipped or read again."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import InvalidInput
from segctl.plan.model import Plan
from tests.e2e.workshop import without_matches
from tests.planning.unchanged_kit import Workspace
from tests.profiles import examples

FILES = ("f0.csv", "f1.csv", "f2.tsv")
NAMES = ("a", "b", "c")

people = st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "", "null"])
rows = st.lists(people, max_size=7)
labels = st.sampled_from(["x", "y", "other"])
contents = st.fixed_dictionaries(
    dict.fromkeys(FILES, rows) | {"t.csv": st.lists(st.tuples(people, labels), max_size=7)}
)
files = st.sampled_from(FILES).map(lambda name: {"file": {"path": name, "onInvalid": "skip"}})
lists = st.lists(st.sampled_from(["p1", "p2", "q1"]), min_size=1, max_size=3).map(
    lambda values: {"identities": values}
)
queries = st.sampled_from(
    [
        "select identity from 'f0.csv' where length(identity) = 2",
        "select identity from 'f1.csv' where identity > 'p2' and now() is not null",
    ]
).map(lambda sql: {"query": {"sql": sql, "onInvalid": "skip"}})
sources = files | lists | queries


def specs(number: int) -> st.SearchStrategy[Mapping[str, Any]]:
    """Return specs of a segment that may read the members of earlier segments."""
    earlier = [{"segment": name} for name in NAMES[:number]]
    known = sources | st.sampled_from(earlier) if earlier else sources
    few = st.lists(known, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {"displayName": st.just(NAMES[number]), "members": few},
        optional={
            "exclude": few,
            "intersect": st.lists(known, min_size=1, max_size=1),
            "holdout": st.just({"percent": 30, "salt": "s"}),
        },
    )


rules = st.lists(
    st.sampled_from(
        [
            {"disjoint": ["a", "b"], "severity": "warning"},
            {"subset": {"of": "b", "segments": ["c"]}, "severity": "warning"},
            {"size": {"min": 2, "segments": ["a", "x"]}, "severity": "warning"},
        ]
    ),
    max_size=2,
)
projects = st.fixed_dictionaries(
    {"rules": rules, "guards": st.just({"maxRemovePercent": 100, "allowEmpty": True})},
    optional={"suppress": st.lists(files, min_size=1, max_size=1)},
)
workspaces = st.fixed_dictionaries(
    {"contents": contents, "project": projects}
    | {name: specs(number) for number, name in enumerate(NAMES)}
)
TABLE = {
    "source": {"file": {"path": "t.csv", "onInvalid": "skip"}},
    "segmentColumn": "segment",
    "segments": {"x": {"displayName": "x"}, "y": {"displayName": "y"}},
    "otherValues": "ignore",
}


def write(workspace: Workspace, content: Mapping[str, Any]) -> None:
    documents = [document("Segment", name, content[name]) for name in NAMES]
    documents.append(document("SegmentTable", "table", TABLE))
    workspace.write("segments.yaml", "\n---\n".join(documents))
    workspace.project(json.dumps(content["project"]))
    for name in FILES:
        header = ["identity"]
        lines = [*header, *(row or '""' for row in content["contents"][name])]
        workspace.write(name, "".join(f"{line}\n" for line in lines))
    table = [
        "identity,segment",
        *(f'"{who}",{label}' for who, label in content["contents"]["t.csv"]),
    ]
    workspace.write("t.csv", "".join(f"{line}\n" for line in table))


def document(kind: str, name: str, spec: Mapping[str, Any]) -> str:
    return json.dumps(
        {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


def assert_same_plan(workspace: Workspace, targets: tuple[str, ...]) -> None:
    assert plan_or_problems(workspace, targets, reread=False) == plan_or_problems(
        workspace, targets, reread=True
    )


def plan_or_problems(
    workspace: Workspace, targets: tuple[str, ...], *, reread: bool
) -> Plan | list[str]:
    """Return the plan, or the problems of its sources."""
    try:
        return without_matches(workspace.plan(targets=targets, reread=reread))
    except InvalidInput as error:
        return [str(diagnostic) for diagnostic in error.diagnostics]


scenarios = st.fixed_dictionaries(
    {
        "before": workspaces,
        "after": workspaces,
        "changed": st.sets(st.sampled_from([*FILES, "t.csv", *NAMES, "project"])),
        "lost": st.sets(st.integers(0, 2), max_size=1),
        "failed": st.sets(st.integers(0, 2), max_size=1),
        "targets": st.sampled_from([(), (), ("a",), ("x", "b")]),
    }
)


@settings(max_examples=examples(3, torture=200))
@given(scenarios)
def test_a_plan_is_the_same_whether_unchanged_sources_are_read_or_not(
    scenario: Mapping[str, Any],
) -> None:
    before, after, changed = scenario["before"], scenario["after"], scenario["changed"]
    targets, lost = scenario["targets"], scenario["lost"]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(root=Path(folder))
        write(workspace, before)
        workspace.apply(lost=lost, failed=scenario["failed"])
        assert_same_plan(workspace, targets)
        workspace.apply()
        assert_same_plan(workspace, ())
        content = {name: after[name] if name in changed else before[name] for name in before}
        content["contents"] = {
            name: (after if name in changed else before)["contents"][name]
            for name in before["contents"]
        }
        write(workspace, content)
        assert_same_plan(workspace, targets)
        workspace.apply(lost=lost, targets=targets)
        assert_same_plan(workspace, ())
