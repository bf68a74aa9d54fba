"""A plan says the same whether unchanged sources are recognised or read again."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import InvalidInput
from segctl.plan.model import Plan
from tests.planning.unchanged_kit import Place

FILES = ("f0.csv", "f1.csv", "f2.txt")
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
    """Segments may have those before them for sources."""
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


def write(place: Place, workspace: Mapping[str, Any]) -> None:
    documents = [document("Segment", name, workspace[name]) for name in NAMES]
    documents.append(document("SegmentTable", "table", TABLE))
    place.write("segments.yaml", "\n---\n".join(documents))
    place.project(json.dumps(workspace["project"]))
    for name in FILES:
        header = [] if name.endswith("txt") else ["identity"]
        lines = [*header, *(row or '""' for row in workspace["contents"][name])]
        place.write(name, "".join(f"{line}\n" for line in lines))
    table = [
        "identity,segment",
        *(f'"{who}",{label}' for who, label in workspace["contents"]["t.csv"]),
    ]
    place.write("t.csv", "".join(f"{line}\n" for line in table))


def document(kind: str, name: str, spec: Mapping[str, Any]) -> str:
    return json.dumps(
        {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


def planned(place: Place, targets: tuple[str, ...], *, reread: bool) -> Plan | list[str]:
    """Plan; give what is wrong with the sources where something is."""
    try:
        return place.plan(targets=targets, reread=reread)
    except InvalidInput as error:
        return [str(diagnostic) for diagnostic in error.diagnostics]


courses = st.fixed_dictionaries(
    {
        "before": workspaces,
        "after": workspaces,
        "changed": st.sets(st.sampled_from([*FILES, "t.csv", *NAMES, "project"])),
        "lost": st.sets(st.integers(0, 2), max_size=1),
        "failed": st.sets(st.integers(0, 2), max_size=1),
        "targets": st.sampled_from([(), (), ("a",), ("x", "b")]),
    }
)


@settings(max_examples=10)
@given(courses)
def test_a_plan_is_the_same_whether_unchanged_sources_are_read_or_not(
    course: Mapping[str, Any],
) -> None:
    before, after, changed = course["before"], course["after"], course["changed"]
    targets, lost = course["targets"], course["lost"]
    with tempfile.TemporaryDirectory() as folder:
        place = Place(root=Path(folder))
        write(place, before)
        place.apply(lost=lost, failed=course["failed"])
        assert planned(place, targets, reread=False) == planned(place, targets, reread=True)
        place.apply()
        assert planned(place, (), reread=False) == planned(place, (), reread=True)
        taken = {name: after[name] if name in changed else before[name] for name in before}
        taken["contents"] = {
            name: (after if name in changed else before)["contents"][name]
            for name in before["contents"]
        }
        write(place, taken)
        assert planned(place, targets, reread=False) == planned(place, targets, reread=True)
        place.apply(lost=lost, targets=targets)
        assert planned(place, (), reread=False) == planned(place, (), reread=True)
