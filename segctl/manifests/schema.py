"""JSON Schemas of the two kinds of file, made from the models; editors use them.

``schemas/`` holds their texts; ``SEGCTL_REGENERATE=1 pytest tests/manifests`` writes them anew.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from segctl.manifests.documents import (
    MembershipDocument,
    ProjectDocument,
    SegmentDocument,
    SegmentTableDocument,
)

SchemaName = Literal["project", "manifest"]

_Manifest = Annotated[
    SegmentDocument | MembershipDocument | SegmentTableDocument, Field(discriminator="kind")
]


class _Generator(GenerateJsonSchema):
    """Leaves out defaults that tell a reader nothing: "left out", and "all the defaults below"."""

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


def schema(name: SchemaName) -> dict[str, Any]:
    """Give the JSON Schema of ``segctl.yaml`` (project) or of the other manifests."""
    kind: Any = ProjectDocument if name == "project" else _Manifest
    json = TypeAdapter(kind).json_schema(schema_generator=_Generator)
    json.pop("discriminator", None)
    _drop_repeated(json, json["$defs"])
    title = "segctl project" if name == "project" else "segctl manifest"
    return {"$schema": _Generator.schema_dialect, **json, "title": title}


def _drop_repeated(json: Any, definitions: dict[str, Any]) -> None:
    """Leave out of a reference what its definition says too.

    pydantic does so or not by which models were used before; the file must not.
    """
    if isinstance(json, dict):
        definition = definitions.get(str(json.get("$ref")).removeprefix("#/$defs/"), {})
        for key in ("title", "description"):
            if key in definition and definition[key] == json.get(key):
                del json[key]
    for below in json.values() if isinstance(json, dict) else json:
        if isinstance(below, dict | list):
            _drop_repeated(below, definitions)


def schema_text(name: SchemaName) -> str:
    """Give the text of the file ``NAME.schema.json``."""
    return json.dumps(schema(name), indent=2, sort_keys=True) + "\n"
