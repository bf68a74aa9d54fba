import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from segctl.manifests.compile import compile_files
from segctl.manifests.schema import SchemaName, schema, schema_text

FOLDER = Path(__file__).parents[2] / "schemas"
CODE = "from segctl.manifests.schema import schema_text; print(schema_text('manifest'), end='')"
NAMES: tuple[SchemaName, ...] = get_args(SchemaName)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_files_are_those_of_the_models(
    name: SchemaName, golden: Callable[[Path, str], None]
) -> None:
    golden(FOLDER / f"{name}.schema.json", schema_text(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one(name: SchemaName) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_a_schema_does_not_depend_on_what_was_read_before() -> None:
    fresh = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True
    ).stdout
    compile_files({"m.yaml": (SEGMENT % "members: []").encode()}, variables={}, environment={})
    assert schema_text("manifest") == fresh


def properties(value: Any) -> list[dict[str, Any]]:
    found = []
    if isinstance(value, dict):
        found += value.get("properties", {}).values()
        for below in value.values():
            found += properties(below)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_editors_can_show_what_every_field_is(name: SchemaName) -> None:
    whole = schema(name)
    for field in properties(whole):
        definition = whole["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})
        shown = definition | field
        assert shown["description"].endswith(".")
        assert shown["title"]


def valid(name: SchemaName, text: str) -> bool:
    validator = jsonschema.Draft202012Validator(schema(name))
    return bool(validator.is_valid(yaml.safe_load(text)))


SEGMENT = (
    "{apiVersion: segctl/v1, kind: Segment, metadata: {name: gold}, spec: {displayName: G, %s}}"
)


@pytest.mark.parametrize(
    "spec",
    [
        "members: [{identities: [0012345, NO, 1.5, a@example.com]}]",
        "members: unmanaged",
        "customerSegmentId: 123, labels: {}",
        "members: [{file: {path: a.csv, onInvalid: skip, maxInvalidPercent: 5}}]",
        "members: [{segment: 007}], intersect: [{segment: a}], holdout: {percent: 2.5, salt: 1}",
        "rules: [{disjoint: [a]}, {subset: {of: a}}, {size: {max: 5}, severity: warning}]",
    ],
)
def test_the_schema_takes_what_the_loader_takes(spec: str) -> None:
    assert valid("manifest", SEGMENT % spec) is ("labels" not in spec)


@pytest.mark.parametrize(
    "spec",
    [
        "memebers: []",
        "members: [{identities: [a], guids: [b]}]",
        "members: [{}]",
        "members: ",
        "guards: {maxRemovePercent: 101}",
        "guards: {fromMembers: 1.5}",
        "customerSegmentId: ",
        "exclude: [{file: {path: a.csv, format: xml}}]",
        "holdout: {percent: 101}",
        "holdout: {salt: a}",
        "rules: [{}]",
        "rules: [{severity: error}]",
        "rules: [{disjoint: []}]",
        "rules: [{disjoint: [a], subset: {of: a}}]",
        "rules: [{size: {segments: [a], min: 1}}]",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(spec: str) -> None:
    assert not valid("manifest", SEGMENT % spec)


def test_a_project_is_no_manifest_and_a_manifest_no_project() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}}"
    assert valid("project", project)
    assert not valid("manifest", project)
    assert not valid("project", SEGMENT % "members: []")


def test_rules_of_a_project_name_their_segments() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}, spec: {rules: [%s]}}"
    assert valid("project", project % "{size: {segments: [a], min: 1}}")
    assert not valid("project", project % "{size: {min: 1}}")
    assert not valid("project", project % "{subset: {of: a}}")


def test_a_variable_with_a_bad_name_is_marked_in_the_editor() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}, spec: {variables: {%s}}}"
    assert valid("project", project % "as_of: {default: 1}")
    assert not valid("project", project % "As-Of: {default: 1}")
