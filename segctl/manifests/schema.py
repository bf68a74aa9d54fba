"""Generate the JSON Schemas of ``segctl.yaml`` and of the other manifests from the models.

Editors use them. ``SEGCTL_REGENERATE=1 pytest tests/manifests`` rewrites the files in ``schemas/``.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from segctl.manifests.documents import (
    MembershipDocument,
    ProjectDocument,
    RefactoringDocument,
    SegmentDocument,
    SegmentTableDocument,
)

SchemaName = Literal["project", "manifest"]

_Manifest = Annotated[
    SegmentDocument | MembershipDocument | SegmentTableDocument | RefactoringDocument,
    Field(discriminator="kind"),
]


class _Generator(GenerateJsonSchema):
    """Omits defaults that say nothing to a reader: null, and mappings of other defaults."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        json = super().default_schema(schema)
        if json.get("default", "") is None or isinstance(json.get("default"), dict):
            del json["default"]
        return json

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        json = super().dict_schema(schema)
        if "patternProperties" in json:
            json["additionalProperties"] = False
        return json


def build_schema(name: SchemaName) -> dict[str, Any]:
    """Return the JSON Schema of ``segctl.yaml`` (project) or of the other manifests."""
    kind: Any = ProjectDocument if name == "project" else _Manifest
    json = TypeAdapter(kind).json_schema(schema_generator=_Generator)
    json.pop("discriminator", None)
    _remove_repeated_text(json, json["$defs"])
    title = "segctl project" if name == "project" else "segctl manifest"
    return {
        "$schema": _Generator.schema_dialect,
        "$id": f"urn:segctl:schema:{name}:1",  # a name, not an address
        **json,
        "title": title,
    }


def _remove_repeated_text(json: Any, definitions: dict[str, Any]) -> None:
    """Remove title and description of a reference if its definition has the same.

    Whether pydantic repeats them depends on the models used before, and the file must not.
    """
    if isinstance(json, dict):
        definition = definitions.get(str(json.get("$ref")).removeprefix("#/$defs/"), {})
        for key in ("title", "description"):
            if key in definition and definition[key] == json.get(key):
                del json[key]
    for child in json.values() if isinstance(json, dict) else json:
        if isinstance(child, dict | list):
            _remove_repeated_text(child, definitions)


def schema_text(name: SchemaName) -> str:
    """Return the text of the file ``NAME.schema.json``."""
    return json.dumps(build_schema(name), indent=2, sort_keys=True) + "\n"
