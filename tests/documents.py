"""Check a document against its committed schema, and that the schema describes all of it."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parents[1] / "schemas"


@cache
def committed_schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def check_document(name: str, document: Any) -> None:
    """Fail unless the document is valid, and has no field that its schema does not describe."""
    # What is valid here is valid for readers too, whose schema only allows more.
    _validator(name, is_closed=True).validate(document)


def is_document(name: str, document: Any) -> bool:
    return bool(_validator(name, is_closed=False).is_valid(document))


def check_stream(text: str) -> list[dict[str, Any]]:
    """Check every line of a stream, and return the lines."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        check_document("apply", line)
    return lines


def check_printed(arguments: Sequence[str], printed: str) -> None:
    """Check what a command with ``--json`` or ``--format json`` printed, if it has a schema."""
    command, asks = "".join(arguments[:1]), "--json" in arguments
    if command in {"apply", "destroy"} and asks:
        check_stream(printed)
    elif asks or "json" in arguments:
        document = json.loads(printed) if printed[:1] == "{" else {}
        if "exit_code" in document:
            check_document("error", document)
        elif command in {"doctor", "verify"}:
            check_document(command, document)
        elif command == "validate" or "changes" in document:
            check_document("plan" if "changes" in document else "validate", document)


@cache
def _validator(name: str, *, is_closed: bool) -> jsonschema.Draft202012Validator:
    schema = committed_schema(name)
    return jsonschema.Draft202012Validator(_closed(name, schema) if is_closed else schema)


def _closed(name: str, schema: Any) -> Any:
    """Return the schema without the promise that fields may be added."""
    closed = json.loads(
        json.dumps(schema).replace('"additionalProperties": true', '"unevaluatedProperties": false')
    )
    if name == "apply":  # a line and its type describe one object together
        for line_type in schema["allOf"]:
            definition = line_type["then"]["$ref"].rpartition("/")[2]
            del closed["$defs"][definition]["unevaluatedProperties"]
    return closed
