"""The JSON Schemas in ``schemas/`` agree with the models."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from segctl.manifests.compile import compile_files
from segctl.manifests.schema import SchemaName, build_schema, schema_text
from tests.manifests.manifest_kit import Golden, segment

FOLDER = Path(__file__).parents[2] / "schemas"
CODE = "from segctl.manifests.schema import schema_text; print(schema_text('manifest'), end='')"
NAMES: tuple[SchemaName, ...] = get_args(SchemaName)


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_files_are_generated_from_the_models(name: SchemaName, golden: Golden) -> None:
    golden(FOLDER / f"{name}.schema.json", schema_text(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid(name: SchemaName) -> None:
    jsonschema.Draft202012Validator.check_schema(build_schema(name))


def test_a_schema_does_not_depend_on_models_used_before() -> None:
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
def test_every_field_has_a_title_and_a_description(name: SchemaName) -> None:
    schema = build_schema(name)
    for field in properties(schema):
        definition = schema["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})
        shown = definition | field
        assert shown["description"].endswith(".")
        assert shown["title"]


def is_valid(name: SchemaName, text: str) -> bool:
    validator = jsonschema.Draft202012Validator(build_schema(name))
    return bool(validator.is_valid(yaml.safe_load(text)))


SEGMENT = segment(spec="displayName: G, %s")


@pytest.mark.parametrize(
    "spec",
    [
        "members: [{identities: [0012345, NO, 1.5, a@example.com]}]",
        "members: unmanaged",
        "customerSegmentId: 123",
        "members: [{file: {path: a.csv, onInvalid: skip, maxInvalidPercent: 5}}]",
        "members: [{segment: 007}], intersect: [{segment: a}], holdout: {percent: 2.5, salt: 1}",
        "rules: [{disjoint: [a]}, {subset: {of: a}}, {size: {max: 5}, severity: warning}]",
    ],
)
def test_the_schema_accepts_what_the_loader_accepts(spec: str) -> None:
    assert is_valid("manifest", SEGMENT % spec)


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
        "labels: {}",
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
    assert not is_valid("manifest", SEGMENT % spec)


def test_a_project_is_not_a_manifest_and_a_manifest_is_not_a_project() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}}"
    assert is_valid("project", project)
    assert not is_valid("manifest", project)
    assert not is_valid("project", SEGMENT % "members: []")


def test_rules_of_a_project_name_their_segments() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}, spec: {rules: [%s]}}"
    assert is_valid("project", project % "{size: {segments: [a], min: 1}}")
    assert not is_valid("project", project % "{size: {min: 1}}")
    assert not is_valid("project", project % "{subset: {of: a}}")


def test_a_variable_with_a_bad_name_is_marked_in_the_editor() -> None:
    project = "{apiVersion: segctl/v1, kind: Project, metadata: {name: a}, spec: {variables: {%s}}}"
    assert is_valid("project", project % "as_of: {default: 1}")
    assert not is_valid("project", project % "As-Of: {default: 1}")
