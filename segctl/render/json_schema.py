"""Build JSON Schemas (draft 2020-12) of documents that segctl writes.

Types come from the dataclasses, so that a schema cannot fall behind the code. Descriptions are
given for every field; a field without one is an error.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from segctl.core.identity import SetDigest

Schema = dict[str, Any]
Fields = Mapping[str, str]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number"},
    SetDigest: {"type": "string", "pattern": "^[0-9]+:[0-9a-f]{32}$"},
}


def text(description: str, **more: Any) -> Schema:
    """Return the schema of text."""
    return {"type": "string", "description": description, **more}


def count(description: str) -> Schema:
    """Return the schema of a whole number of 0 or more."""
    return {"type": "integer", "minimum": 0, "description": description}


def number(description: str) -> Schema:
    """Return the schema of a number of 0 or more."""
    return {"type": "number", "minimum": 0, "description": description}


def flag(description: str) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", "description": description}


def choice(description: str, *values: str) -> Schema:
    """Return the schema of one of some texts."""
    return {"enum": list(values), "description": description}


def array(description: str, items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, "description": description}


def text_map(description: str) -> Schema:
    """Return the schema of an object whose keys are data and whose values are text."""
    return {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": description,
    }


def reference(name: str, description: str = "") -> Schema:
    """Return a reference to a definition."""
    found = {"$ref": f"#/$defs/{name}"}
    return {**found, "description": description} if description else found


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that can be null."""
    if "type" in schema and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    described = {k: v for k, v in schema.items() if k == "description"}
    rest = {k: v for k, v in schema.items() if k != "description"}
    return {"anyOf": [rest, {"type": "null"}], **described}


def record(
    description: str, fields: Mapping[str, Schema], *, optional: tuple[str, ...] = ()
) -> Schema:
    """Return the schema of an object. A later minor version may add fields to it."""
    return {
        "type": "object",
        "description": description,
        "required": [name for name in fields if name not in optional],
        "properties": dict(fields),
        "additionalProperties": True,
    }


def dataclass_fields(kind: Any, descriptions: Fields, **overrides: Schema) -> dict[str, Schema]:
    """Return the schemas of a dataclass's fields, as ``dataclasses.asdict`` writes them.

    ``descriptions`` has the description of each field. Raises ``KeyError`` for a field without one.
    """
    hints = typing.get_type_hints(kind)
    if missing := [
        f.name for f in dataclasses.fields(kind) if f.name not in {*descriptions, *overrides}
    ]:
        raise KeyError(f"no description of {kind.__name__}.{missing[0]}")
    return {
        field.name: overrides.get(field.name)
        or {**_of_hint(hints[field.name]), "description": descriptions[field.name]}
        for field in dataclasses.fields(kind)
    }


def dataclass_record(
    kind: Any, description: str, descriptions: Fields, **overrides: Schema
) -> Schema:
    """Return the schema of a dataclass as ``dataclasses.asdict`` writes it, with every field."""
    return record(description, dataclass_fields(kind, descriptions, **overrides))


def stored_record(kind: Any, description: str, descriptions: Fields, **overrides: Schema) -> Schema:
    """Return the schema of a dataclass as ``core.codec.to_plain`` writes it.

    Fields that it may leave out are not required.
    """
    optional = tuple(f.name for f in dataclasses.fields(kind) if f.metadata.get("optional"))
    return record(description, dataclass_fields(kind, descriptions, **overrides), optional=optional)


def _of_hint(hint: Any) -> Schema:
    if scalar := _SCALARS.get(hint):
        return dict(scalar)
    if dataclasses.is_dataclass(hint):
        return reference(typing.cast("type", hint).__name__)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [str(member) for member in hint]}
    return _of_generic(typing.get_origin(hint), typing.get_args(hint))


def _of_generic(origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin is types.UnionType:  # always X | None
        return nullable(_of_hint(arguments[0]))
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _of_hint(arguments[0])}
    return {"type": "object", "additionalProperties": _of_hint(arguments[1])}


def document(
    name: str, title: str, description: str, schema: Schema, definitions: Mapping[str, Schema]
) -> Schema:
    """Return a whole schema file."""
    return {
        "$schema": DIALECT,
        "$id": schema_id(name),
        "title": title,
        **schema,
        "description": description,
        "$defs": dict(definitions),
    }


def schema_id(name: str) -> str:
    """Return the ``$id`` of a schema: a name, not an address. 1 is the major version."""
    return f"urn:segctl:schema:{name}:1"
