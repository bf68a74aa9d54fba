"""Every input that decides who is in a segment, when it changes, changes the fingerprint."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.planning.unchanged_kit import Place

Change = Callable[[Place, dict[str, Any]], object]

CSV = "identity,email,day\na,b,1\nc,d,2\n"
SQL = "select identity from 'q.csv' where day >= $since"


def spec() -> dict[str, Any]:
    """Give a workspace that has one of everything."""
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


def write(place: Place, workspace: dict[str, Any]) -> None:
    kinds = {
        "gold": "Segment",
        "other": "Segment",
        "table": "SegmentTable",
        "council": "Membership",
    }
    documents = [
        {"apiVersion": "segctl/v1", "kind": kind, "metadata": {"name": n}, "spec": workspace[n]}
        for n, kind in kinds.items()
        if n in workspace
    ]
    place.write("segments.yaml", "\n---\n".join(map(json.dumps, documents)))
    place.project(json.dumps(workspace["project"]))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(root=tmp_path / "shop")
    for name in ("gold.csv", "q.csv"):
        place.write(name, CSV)
    for day, who in ((1, "e,f"), (2, "c,d")):
        place.write(f"days/day={day}/a.csv", f"identity,email\n{who}\n")
    for name in ("suppressed", "out", "in", "other", "council"):
        place.write(f"{name}.txt", f"{name}\nmore\n")
    place.write("table.csv", "identity,label\na,silver\nb,bronze\n")
    write(place, spec())
    return place


def fingerprints(place: Place) -> dict[str, str]:
    return dict(place.recognized().segments)


def at(*path: str | int, value: object) -> Change:
    """Change what a manifest says."""

    def change(place: Place, workspace: dict[str, Any]) -> None:
        inner: Any = workspace
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        write(place, workspace)

    return change


def file(path: str, content: str | bytes) -> Change:
    """Write a file."""
    return lambda place, _: place.write(path, content)


def renamed(path: str, new: str, *change: str | int) -> Change:
    """Give a file another name; ``change`` says where the manifest has it."""

    def run(place: Place, workspace: dict[str, Any]) -> None:
        (place.root / new).parent.mkdir(parents=True, exist_ok=True)
        (place.root / path).rename(place.root / new)
        if change:
            at(*change, value=new)(place, workspace)

    return run


GOLD = {"gold"}
DECIDES: dict[str, tuple[set[str], Change]] = {
    "a listed identity": (GOLD, at("gold", "members", 0, "identities", value=["x", "z"])),
    "identities for guids": (GOLD, at("gold", "members", 0, value={"guids": ["x", "y"]})),
    "a value of a file": (GOLD, file("gold.csv", CSV.replace("a,", "z,"))),
    "a row more": (GOLD, file("gold.csv", CSV + "g,h,3\n")),
    "the column": (GOLD, at("gold", "members", 1, "file", "column", value="email")),
    "the kind": (GOLD, at("gold", "members", 1, "file", "kind", value="guid")),
    "the format": (GOLD, at("gold", "members", 1, "file", "format", value="tsv")),
    "invalid rows": (GOLD, at("gold", "members", 1, "file", "onInvalid", value="skip")),
    "a file of a folder": (GOLD, file("days/day=2/a.csv", "identity,email\nz,z\n")),
    "a file more in a folder": (GOLD, file("days/day=3/c.csv", "identity,email\nz,z\n")),
    "another path": (GOLD, at("gold", "members", 1, "file", "path", value="days")),
    "the partitions that are read": (
        GOLD,
        at("gold", "members", 2, "file", "where", value={"day": "1"}),
    ),
    "a file that a query reads": (GOLD, file("q.csv", CSV.replace("a,", "z,"))),
    "the text of a query": (
        GOLD,
        at("gold", "members", 3, "query", "sql", value=SQL.replace(">=", ">")),
    ),
    "a variable of a query": (
        GOLD,
        at("project", "variables", "since", "default", value="2"),
    ),
    "the segment that is read": (GOLD, at("gold", "members", 4, "segment", value="silver")),
    "the sources of a segment that is read": (
        {"gold", "other"},
        file("other.txt", "else\n"),
    ),
    "an exclusion": (GOLD, file("out.txt", "else\n")),
    "an intersection": (GOLD, file("in.txt", "else\n")),
    "an exclusion for an intersection": (
        GOLD,
        at("gold", "exclude", value=[{"file": {"path": "in.txt"}}]),
    ),
    "no intersection": (GOLD, at("gold", "intersect", value=[])),
    "the share that is held out": (GOLD, at("gold", "holdout", "percent", value=6)),
    "the salt of a hold-out": (GOLD, at("gold", "holdout", "salt", value="t")),
    "who is suppressed": ({"gold", "other", "silver"}, file("suppressed.txt", "else\n")),
    "nobody suppressed": ({"gold", "other", "silver"}, at("project", "suppress", value=[])),
    "the segments of a membership": (
        {"gold", "other"},
        at("council", "segments", value=["silver"]),
    ),
    "the members of a membership": ({"gold", "other"}, file("council.txt", "else\n")),
    "a row of a table": ({"silver"}, file("table.csv", "identity,label\nz,silver\n")),
    "the label of a table": ({"silver"}, at("table", "segmentColumn", value="identity")),
    "the column of a table": (
        {"silver"},
        at("table", "source", "file", "column", value="label"),
    ),
    "other values of a table": ({"silver"}, at("table", "otherValues", value="error")),
}


@pytest.mark.parametrize("name", DECIDES)
def test_what_decides_who_is_in_a_segment_changes_its_fingerprint(place: Place, name: str) -> None:
    changed, change = DECIDES[name]
    before = fingerprints(place)
    change(place, spec())
    after = fingerprints(place)
    assert before.keys() == after.keys() == {f"segment.{n}" for n in ("gold", "other", "silver")}
    assert {a.removeprefix("segment.") for a in before if before[a] != after[a]} >= changed


UNTOUCHED: dict[str, Change] = {
    "a display name": at("gold", "displayName", value="New"),
    "labels": at("gold", "guards", value={"maxRemovePercent": 1}),
    "the order of sources": at("gold", "members", value=[*reversed(spec()["gold"]["members"])]),
    "a variable that no query reads": at("project", "variables", "unused", "default", value="9"),
    "the same bytes written again": file("gold.csv", CSV),
    "a copy of a file by another name": renamed(
        "gold.csv", "new/silver.csv", "gold", "members", 1, "file", "path"
    ),
    "a file that nobody reads": file("nobody.csv", CSV),
    "a pattern for a name": at("gold", "members", 1, "file", "path", value="gold*.csv"),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_has_no_say_in_who_is_in_a_segment_leaves_its_fingerprint(
    place: Place, name: str
) -> None:
    before = fingerprints(place)
    UNTOUCHED[name](place, spec())
    assert fingerprints(place) == before


def test_the_same_bytes_packed_or_not_are_two_sources(place: Place) -> None:
    place.write("gold.csv.gz", gzip.compress(CSV.encode(), mtime=0))
    before = fingerprints(place)
    at("gold", "members", 1, "file", "path", value="gold.csv.gz")(place, spec())
    assert fingerprints(place)["segment.gold"] != before["segment.gold"]
