"""The part of the OpenAPI document that is about another writer."""

from segctl.emulator.control.openapi import (
    ACCOUNT,
    COUNT,
    NOT_BLANK,
    SEGMENT,
    Schema,
    array,
    operation,
    record,
)

OTHER_USERS: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 20},
        array({"anyOf": [NOT_BLANK, record({"identity": NOT_BLANK})]}),
    ]
}
OTHER_SEGMENT: Schema = {"type": ["integer", "string"]}
OTHER_CHANGE: Schema = {
    "oneOf": [
        record(
            {
                "change": {"const": "members"},
                "segment": OTHER_SEGMENT,
                "add": OTHER_USERS,
                "remove": OTHER_USERS,
                "seed": {"type": "integer", "minimum": 0, "maximum": 100_000},
            },
            "change",
            "segment",
            additionalProperties=False,
        ),
        record(
            {"change": {"const": "rename"}, "segment": OTHER_SEGMENT, "name": NOT_BLANK},
            additionalProperties=False,
        ),
        record(
            {"change": {"const": "delete"}, "segment": OTHER_SEGMENT}, additionalProperties=False
        ),
    ]
}
OTHER_CHANGED = record(
    {
        "change": {"enum": ["members", "rename", "delete"]},
        "added": COUNT,
        "removed": COUNT,
        "segment": SEGMENT,
    },
    "change",
    "segment",
)


def other_writer_paths() -> Schema:
    """Return the path, below the emulator's prefix."""
    return {
        "/other-writer": {
            "post": operation(
                "Change a segment as somebody else does",
                OTHER_CHANGED,
                ACCOUNT,
                body=OTHER_CHANGE,
                errors=(404, 409),
            )
        },
    }
