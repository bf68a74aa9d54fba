"""Manifests in a form that is not read are errors: the next plan would destroy their segments."""

import json
import os
from pathlib import Path

import pytest

from segctl.core.diagnostics import Severity
from segctl.manifests.workspace import load_workspace

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: shop}\n"
GOLD = {
    "apiVersion": "segctl/v1",
    "kind": "Segment",
    "metadata": {"name": "gold"},
    "spec": {"displayName": "Gold", "members": [{"identities": ["a"]}]},
}
HEADLESS = {key: value for key, value in GOLD.items() if key != "apiVersion"}


def problems(root: Path, files: dict[str, str]) -> list[str]:
    """Return the errors of a workspace, as ``file:line: code``."""
    (root / "segctl.yaml").write_text(PROJECT)
    for name, text in files.items():
        (root / name).write_text(text)
    loaded = load_workspace(root, variables={}, environment={})
    return [
        f"{d.location.file if d.location else ''}:{d.location.line if d.location else 0}: {d.code}"
        for d in loaded.diagnostics
        if d.severity is Severity.ERROR
    ]


FORMS = {
    "sequence": ("g.yaml", f"# all\n- {json.dumps(GOLD)}\n", "g.yaml:2: nested-manifest"),
    "headless sequence": ("g.yaml", f"- {json.dumps(HEADLESS)}\n", "g.yaml:1: nested-manifest"),
    "List": (
        "g.yaml",
        f"apiVersion: v1\nkind: List\nitems:\n  - {json.dumps(GOLD)}\n",
        "g.yaml:4: nested-manifest",
    ),
    "mapping": ("g.yaml", f"gold: {json.dumps(GOLD)}\n", "g.yaml:1: nested-manifest"),
    "json": ("g.json", json.dumps(GOLD, indent=2), "g.json:0: json-manifest"),
    "JSON": ("g.JSON", json.dumps(GOLD), "g.JSON:0: json-manifest"),
    "conflict": (
        "g.yaml",
        "apiVersion: segctl/v1\n<<<<<<< HEAD\nkind: Segment\n=======\nkind: Project\n>>>>>>> x\n",
        "g.yaml:2: conflict-marks",
    ),
}


@pytest.mark.parametrize(("name", "text", "expected"), FORMS.values(), ids=FORMS)
def test_a_manifest_that_is_not_read_is_an_error(
    name: str, text: str, expected: str, tmp_path: Path
) -> None:
    assert problems(tmp_path, {name: text}) == [expected]


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_a_json_name_that_is_no_file_is_not_opened(what: str, tmp_path: Path) -> None:
    path = tmp_path / "shop" / "g.json"
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        (tmp_path / "other").write_text(json.dumps(GOLD))
        path.symlink_to(tmp_path / "other")
    else:
        path.mkdir()
    assert problems(path.parent, {}) == []


def test_a_suffix_in_capitals_is_read(tmp_path: Path) -> None:
    assert problems(tmp_path, {"g.YAML": json.dumps(GOLD)}) == []
    loaded = load_workspace(tmp_path, variables={}, environment={})
    assert loaded.desired
    assert [s.address for s in loaded.desired.segments] == ["segment.gold"]


@pytest.mark.parametrize(
    "text",
    [
        "- 1\n",
        "kind: List\nitems: [{kind: Service}]\n",
        "projects: [{kind: Project}]\n",
        "a: !Ref b\nc: !!python/name:material.extensions.emoji.twemoji ''\n",
        "a: !!python/object/apply:os.system [echo]\n",
    ],
)
def test_other_documents_are_passed_over(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, {"other.yaml": text, "data.json": '{"apiVersion": "v1"}'}) == []


def test_a_tag_in_a_manifest_is_an_error(tmp_path: Path) -> None:
    text = json.dumps(GOLD).replace('"Gold"', "!!python/name:gold Gold")
    assert problems(tmp_path, {"g.yaml": text}) == ["g.yaml:1: tag"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT '$day' AS identity", ["g.yaml:1: quoted-parameter"]),
        ("SELECT a AS identity FROM 'x.csv' WHERE d = '${day}'", ["g.yaml:1: quoted-parameter"]),
        ("SELECT '$5' AS identity", []),
        ("SELECT $day AS identity -- '$day'", []),
    ],
)
def test_a_variable_in_quotes_is_an_error(sql: str, expected: list[str], tmp_path: Path) -> None:
    gold = {**GOLD, "spec": {"displayName": "G", "members": [{"query": {"sql": sql}}]}}
    project = PROJECT + "spec: {variables: {day: {default: x}}}\n"
    (tmp_path / "g.yaml").write_text(json.dumps(gold))
    (tmp_path / "segctl.yaml").write_text(project)
    loaded = load_workspace(tmp_path, variables={}, environment={})
    found = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
    lines = [f"{d.location.file}:{d.location.line}: {d.code}" for d in found if d.location]
    assert lines == expected
