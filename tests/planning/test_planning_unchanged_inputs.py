"""The fingerprint of a segment changes with every input that affects its members."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.planning.unchanged_kit import Workspace

Change = Callable[[Workspace, dict[str, Any]], object]

CSV = "identity,email,day\na,b,1\nc,d,2\n"
SQL = "select identity from 'q.csv' where day >= $since"


def spec() -> dict[str, Any]:
    """Return manifests with one source of every kind."""
    return {
        "project": {
            "variables": {"since": {"default": "1"}, "unused": {"default": "1"}},
            "suppress": [{"file": {"path": "suppressed.txt"}}],
        },
        "gold": {
            "displayName": "Gold",
            "members": [
                {"identities": ["x", "y"]},
                {"file": {"path": "gold.csv"}},
                {"file": {"path": "days"}},
                {"query": {"sql": SQL}},
                {"segment": "other"},
            ],
            "exclude": [{"file": {"path": "out.txt"}}],
            "intersect": [{"file": {"path": "in.txt"}}],
            "holdout": {"percent": 5, "salt": "s"},
        },
        "other": {"displayName": "Other", "members": [{"file": {"path": "other.txt"}}]},
        "table": {
            "source": {"file": {"path": "table.csv"}},
            "segmentColumn": "label",
            "segments": {"silver": {"displayName": "Silver"}},
            "otherValues": "ignore",
        },
        "council": {
            "segments": ["gold", "other"],
            "members": [{"file": {"path": "council.txt"}}],
        },
    }


def write(workspace: Workspace, manifests: dict[str, Any]) -> None:
    kinds = {
        "gold": "Segment",
        "other": "Segment",
        "table": "SegmentTable",
        "council": "Membership",
    }
    documents = [
        {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": n}, "spec": manifests[n]}
        for n, kind in kinds.items()
        if n in manifests
    ]
    workspace.write("segments.yaml", "\n---\n".join(map(json.dumps, documents)))
    workspace.project(json.dumps(manifests["project"]))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path / "shop")
    for name in ("gold.csv", "q.csv"):
        workspace.write(name, CSV)
    for day, who in ((1, "e,f"), (2, "c,d")):
        workspace.write(f"days/day={day}/a.csv", f"identity,email\n{who}\n")
    for name in ("suppressed", "out", "in", "other", "council"):
        workspace.write(f"{name}.txt", f"{name}\nmore\n")
    workspace.write("table.csv", "identity,label\na,silver\nb,bronze\n")
    write(workspace, spec())
    return workspace


def fingerprints(workspace: Workspace) -> dict[str, str]:
    return dict(workspace.read_selection().segment_fingerprints)


def set_value(*path: str | int, value: object) -> Change:
    """Return a change that sets a value in a manifest."""

    def change(workspace: Workspace, manifests: dict[str, Any]) -> None:
        inner: Any = manifests
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        write(workspace, manifests)

    return change


def write_file(path: str, content: str | bytes) -> Change:
    """Return a change that writes a file."""
    return lambda workspace, _: workspace.write(path, content)


def rename_file(path: str, new: str, *change: str | int) -> Change:
    """Return a change that renames a file. ``change`` is the path of its name in the manifest."""

    def run(workspace: Workspace, manifests: dict[str, Any]) -> None:
        (workspace.root / new).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / path).rename(workspace.root / new)
        if change:
            set_value(*change, value=new)(workspace, manifests)

    return run


def write_query(sql: str) -> Change:
    """Return a change that puts the query of a segment into a file."""

    def run(workspace: Workspace, manifests: dict[str, Any]) -> None:
        workspace.write("q.sql", sql)
        set_value("gold", "members", 3, "query", "sql", value={"file": "q.sql"})(
            workspace, manifests
        )

    return run


GOLD = {"gold"}
AFFECTS_MEMBERS: dict[str, tuple[set[str], Change]] = {
    "a listed identity": (GOLD, set_value("gold", "members", 0, "identities", value=["x", "z"])),
    "identities for guids": (GOLD, set_value("gold", "members", 0, value={"guids": ["x", "y"]})),
    "a value of a file": (GOLD, write_file("gold.csv", CSV.replace("a,", "z,"))),
    "a row more": (GOLD, write_file("gold.csv", CSV + "g,h,3\n")),
    "the column": (GOLD, set_value("gold", "members", 1, "file", "column", value="email")),
    "the kind": (GOLD, set_value("gold", "members", 1, "file", "kind", value="guid")),
    "the format": (GOLD, set_value("gold", "members", 1, "file", "format", value="tsv")),
    "the encoding": (GOLD, set_value("gold", "members", 1, "file", "encoding", value="latin-1")),
    "the delimiter": (GOLD, set_value("gold", "members", 1, "file", "delimiter", value="|")),
    "invalid rows": (GOLD, set_value("gold", "members", 1, "file", "onInvalid", value="skip")),
    "a file of a folder": (GOLD, write_file("days/day=2/a.csv", "identity,email\nz,z\n")),
    "a file more in a folder": (GOLD, write_file("days/day=3/c.csv", "identity,email\nz,z\n")),
    "another path": (GOLD, set_value("gold", "members", 1, "file", "path", value="days")),
    "the partitions that are read": (
        GOLD,
        set_value("gold", "members", 2, "file", "where", value={"day": "1"}),
    ),
    "a file that a query reads": (GOLD, write_file("q.csv", CSV.replace("a,", "z,"))),
    "the text of a query": (
        GOLD,
        set_value("gold", "members", 3, "query", "sql", value=SQL.replace(">=", ">")),
    ),
    "the text of a query in a file": (GOLD, write_query(SQL.replace(">=", ">"))),
    "a variable of a query": (
        GOLD,
        set_value("project", "variables", "since", "default", value="2"),
    ),
    "the segment that is read": (GOLD, set_value("gold", "members", 4, "segment", value="silver")),
    "the sources of a segment that is read": (
        {"gold", "other"},
        write_file("other.txt", "else\n"),
    ),
    "an exclusion": (GOLD, write_file("out.txt", "else\n")),
    "an intersection": (GOLD, write_file("in.txt", "else\n")),
    "an exclusion for an intersection": (
        GOLD,
        set_value("gold", "exclude", value=[{"file": {"path": "in.txt"}}]),
    ),
    "no intersection": (GOLD, set_value("gold", "intersect", value=[])),
    "the share that is held out": (GOLD, set_value("gold", "holdout", "percent", value=6)),
    "the salt of a hold-out": (GOLD, set_value("gold", "holdout", "salt", value="t")),
    "who is suppressed": ({"gold", "other", "silver"}, write_file("suppressed.txt", "else\n")),
    "an empty suppression list": (
        {"gold", "other", "silver"},
        set_value("project", "suppress", value=[]),
    ),
    "the segments of a membership": (
        {"gold", "other"},
        set_value("council", "segments", value=["silver"]),
    ),
    "the members of a membership": ({"gold", "other"}, write_file("council.txt", "else\n")),
    "a row of a table": ({"silver"}, write_file("table.csv", "identity,label\nz,silver\n")),
    "the label of a table": ({"silver"}, set_value("table", "segmentColumn", value="identity")),
    "the column of a table": (
        {"silver"},
        set_value("table", "source", "file", "column", value="label"),
    ),
    "other values of a table": ({"silver"}, set_value("table", "otherValues", value="error")),
}


@pytest.mark.parametrize("name", AFFECTS_MEMBERS)
def test_an_input_that_affects_members_changes_the_fingerprint(
    workspace: Workspace, name: str
) -> None:
    changed, change = AFFECTS_MEMBERS[name]
    before = fingerprints(workspace)
    change(workspace, spec())
    after = fingerprints(workspace)
    assert before.keys() == after.keys() == {f"segment.{n}" for n in ("gold", "other", "silver")}
    assert {a.removeprefix("segment.") for a in before if before[a] != after[a]} >= changed


WITHOUT_EFFECT: dict[str, Change] = {
    "a display name": set_value("gold", "displayName", value="New"),
    "labels": set_value("gold", "guards", value={"maxRemovePercent": 1}),
    "the order of sources": set_value(
        "gold", "members", value=[*reversed(spec()["gold"]["members"])]
    ),
    "a variable that no query reads": set_value(
        "project", "variables", "unused", "default", value="9"
    ),
    "the same bytes written again": write_file("gold.csv", CSV),
    "a copy of a file by another name": rename_file(
        "gold.csv", "new/silver.csv", "gold", "members", 1, "file", "path"
    ),
    "a file that is not read": write_file("unused.csv", CSV),
    "a query that moves to a file": write_query(SQL),
    "a pattern instead of a name": set_value(
        "gold", "members", 1, "file", "path", value="gold*.csv"
    ),
}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_change_without_effect_on_members_keeps_the_fingerprint(
    workspace: Workspace, name: str
) -> None:
    before = fingerprints(workspace)
    WITHOUT_EFFECT[name](workspace, spec())
    assert fingerprints(workspace) == before


def test_a_compressed_file_has_another_fingerprint(workspace: Workspace) -> None:
    workspace.write("gold.csv.gz", gzip.compress(CSV.encode(), mtime=0))
    before = fingerprints(workspace)
    set_value("gold", "members", 1, "file", "path", value="gold.csv.gz")(workspace, spec())
    assert fingerprints(workspace)["segment.gold"] != before["segment.gold"]
