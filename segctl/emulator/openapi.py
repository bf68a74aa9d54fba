"""The OpenAPI document: every path that the emulator serves to programs.

Written by hand from the same pages as the code, not generated from it, so that a
checker that sends requests by this document tests the one against the other.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from segctl.emulator.faults import BODIES, CALLS, FAULTS
from segctl.emulator.membership import ERROR_TYPES
from segctl.emulator.settings import LIMIT, SWITCH, Settings

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FULL_TEXT: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
DAY: Schema = {"type": "integer", "minimum": 20000101, "maximum": 20000131}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def record(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """Return the schema of an object; all properties are required unless some are named."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required or properties),
        **more,
    }


FAIL = record({"status": {"const": "fail"}, "error": TEXT, "code": WHOLE})
SUCCESS = record({"success": {"const": True}})

# An entry that is wrong is skipped, and its request answered with 200 all the same.
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
USER: Schema = {"type": "object", "properties": {"identity": MAYBE_TEXT, "guid": MAYBE_TEXT}}
LINE: Schema = {
    "type": "object",
    "properties": {
        "ct_segment_id": {"type": ["integer", "string", "null"]},
        "customer_segment_id": MAYBE_TEXT,
        "action": {"description": "ADD or REMOVE"},
    },
}
UPDATE = record(
    {
        "bulk_profiles": array(
            record(
                {
                    "user_profiles": {"anyOf": [array(USER, maxItems=100), {"type": "null"}]},
                    "segments": array(LINE, minItems=1, maxItems=100),
                },
                "segments",
            ),
            maxItems=100,
        )
    }
)
CREATE = array(
    record({"segment_name": FULL_TEXT, "customer_segment_id": FULL_TEXT}),
    minItems=1,
    maxItems=100,
)
CREATED = array(
    record({"id": WHOLE, "segment_name": TEXT, "customer_segment_id": {"type": ["string", "null"]}})
)
REACH = record(dict.fromkeys(("any", "email", "sms", "push"), COUNT))
SEGMENT = record(
    {
        "ct_segment_id": WHOLE,
        "customer_segment_id": {"type": ["string", "null"]},
        "segment_name": TEXT,
        "members": COUNT,
        "reachable": REACH,
        "deleted": TRUTH,
        "created_at": {"type": "string", "format": "date-time"},
        "account": TEXT,
    }
)
REFUSED = record(
    {
        "Error Type": {"enum": list(ERROR_TYPES)},
        "Segment ID": {"type": ["integer", "string", "null"]},
        "Customer Segment ID": {"type": ["string", "null"]},
        "User Identity": TEXT,
        "Time": {"type": "string", "format": "date-time"},
        "Account": TEXT,
    }
)
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
STATS = record(
    {
        "requests": {"type": "object", "additionalProperties": COUNTS},
        "membership_changes": COUNT,
        "events": COUNT,
        "data_points": COUNT,
        "profiles": COUNT,
        "segments": COUNT,
        "max_in_flight": COUNTS,
    }
)
RULE = record(
    {
        "fault": {"enum": list(FAULTS)},
        "call": {"enum": ["*", *CALLS]},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "skip": COUNT,
        "times": {"type": ["integer", "null"], "minimum": 0},
        "ms": {"type": "number", "minimum": 0, "maximum": 600_000},
        "jitter_ms": {"type": "number", "minimum": 0, "maximum": 600_000},
        "status": {"enum": [500, 502, 503, 504]},
        "retry_after": {"type": ["integer", "null"], "minimum": 0},
        "committed": {"type": ["boolean", "null"]},
        "body": {"enum": list(BODIES)},
        "error_type": {"enum": list(ERROR_TYPES)},
    },
    "fault",
    additionalProperties=False,
)
PLAN: Schema = {
    "type": "object",
    "properties": {"seed": WHOLE, "rules": array(RULE)},
    "additionalProperties": False,
}
PLAN_AT_WORK = record({"seed": WHOLE, "rules": array(RULE), "injected": COUNTS})
UPLOAD = record({"d": array({"description": "A profile or a token"}, minItems=1, maxItems=1000)})
UPLOADED = record(
    {
        "status": {"enum": ["success", "partial", "fail"]},
        "processed": COUNT,
        "unprocessed": {"type": "array"},
    }
)


def settings_schema() -> Schema:
    """Return the schema of the settings."""
    properties: dict[str, Schema] = {}
    for each in fields(Settings):
        if each.metadata["kind"] == SWITCH:
            properties[each.name] = {"enum": list(each.metadata["choices"])}
        elif each.metadata["kind"] == LIMIT:
            least, most = each.metadata["range"]
            kind = "number" if each.name.endswith("_ms") else "integer"
            properties[each.name] = {"type": kind, "minimum": least, "maximum": most}
        else:
            properties[each.name] = {"type": "object", "additionalProperties": TEXT}
        properties[each.name]["description"] = each.metadata["question"]
    return {"type": "object", "properties": properties, "additionalProperties": False}


def query(name: str, schema: Schema, *, required: bool = False) -> Schema:
    """Return a parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "required": required}


ACCOUNT = query("account", TEXT)
SEGMENT_ID = {
    "name": "ct_segment_id",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}


def operation(
    summary: str,
    *,
    ok: Schema | None,
    body: Schema | None = None,
    parameters: tuple[Schema, ...] = (),
    media: str = "application/json",
    errors: tuple[int, ...] = (),
    vendor: bool = False,
) -> Schema:
    """Return one operation; a vendor's call has its credentials and its errors."""
    codes = {400, 401, 413, 429, 500, *errors} if vendor else {*errors}
    if body is not None:
        codes |= {400, 413}
    found: Schema = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "Done", "content": {media: {"schema": ok or {}}}},
            **{
                str(code): {
                    "description": "Refused",
                    "content": {"application/json": {"schema": FAIL}},
                }
                for code in sorted(codes)
            },
        },
    }
    if body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    if vendor:
        found["security"] = [{"account": [], "passcode": []}]
    return found


def vendor_paths() -> Schema:
    """Return the vendor's calls."""
    cursor = record({"status": {"const": "success"}, "cursor": TEXT})
    page = record(
        {
            "status": {"const": "success"},
            "records": {"type": "array"},
            "next_cursor": TEXT,
        },
        "status",
        "records",
    )
    ask = record({"event_name": FULL_TEXT, "from": DAY, "to": {"const": 20300101}})
    return {
        "/api/createSegment": {
            "post": operation(
                "Create segments", ok=CREATED, body=CREATE, errors=(409,), vendor=True
            )
        },
        "/api/updateSegment": {
            "post": operation("Add and remove members", ok=SUCCESS, body=UPDATE, vendor=True)
        },
        "/1/profile.json": {
            "get": operation(
                "Look up one profile",
                ok=record({"status": {"const": "success"}, "record": {"type": ["object", "null"]}}),
                parameters=(
                    query("identity", TEXT),
                    query("email", TEXT),
                    query("objectId", TEXT),
                ),
                vendor=True,
            )
        },
        "/1/events.json": {
            "post": operation(
                "Ask for events",
                ok=cursor,
                body=ask,
                parameters=(
                    query("batch_size", {"type": "integer", "minimum": 1, "maximum": 5000}),
                ),
                vendor=True,
            ),
            "get": operation(
                "Read a page of events",
                ok=page,
                parameters=(query("cursor", TEXT, required=True),),
                vendor=True,
            ),
        },
        "/1/upload": {"post": operation("Upload profiles", ok=UPLOADED, body=UPLOAD, vendor=True)},
    }


def own_paths() -> Schema:
    """Return what is ours."""
    whole = {"type": "integer", "minimum": 0, "maximum": 2**53}
    lines = "application/x-ndjson"
    settings = settings_schema()
    listed = (404, 400)
    return {
        "/segments": {
            "get": operation(
                "List segments", ok=array(SEGMENT), parameters=(ACCOUNT,), errors=listed
            )
        },
        "/segments/delete": {
            "post": operation(
                "Delete segments, as the dashboard does",
                ok=array(SEGMENT),
                body=record({"ct_segment_ids": array(WHOLE)}),
                errors=(404,),
            )
        },
        "/segments/{ct_segment_id}": {
            "get": operation("Show a segment", ok=SEGMENT, parameters=(SEGMENT_ID,), errors=(404,)),
            "delete": operation(
                "Delete a segment", ok=SEGMENT, parameters=(SEGMENT_ID,), errors=(404,)
            ),
        },
        "/segments/{ct_segment_id}/members": {
            "get": operation(
                "List members",
                ok=None,
                parameters=(SEGMENT_ID, query("format", {"const": "ndjson"})),
                media=lines,
                errors=listed,
            )
        },
        "/error-stream": {
            "get": operation(
                "List skipped entries",
                ok=array(REFUSED),
                parameters=(
                    ACCOUNT,
                    query("format", {"const": "json"}),
                    query("type", {"enum": list(ERROR_TYPES)}),
                    query("segment_id", TEXT),
                    query("customer_segment_id", TEXT),
                    query("user", TEXT),
                ),
                errors=listed,
            )
        },
        "/events": {
            "get": operation(
                "List membership events",
                ok=None,
                parameters=(ACCOUNT, query("start", whole), query("limit", whole)),
                media=lines,
                errors=listed,
            )
        },
        "/exports/events": {
            "get": operation(
                "Export membership events",
                ok=None,
                parameters=(ACCOUNT, query("from", whole), query("to", whole)),
                media="text/plain",
                errors=listed,
            )
        },
        "/stats": {
            "get": operation("Show figures", ok=STATS, parameters=(ACCOUNT,), errors=listed)
        },
        "/settings": {
            "get": operation("Show settings", ok=settings),
            "put": operation("Change settings", ok=settings, body=settings),
            "delete": operation("Go back to the defaults", ok=settings),
        },
        "/faults": {
            "get": operation("Show faults", ok=PLAN_AT_WORK),
            "put": operation("Replace faults", ok=PLAN_AT_WORK, body=PLAN),
        },
        "/reset": {"post": operation("Make it empty", ok=STATS)},
    }


def document(*, prefix: str) -> Schema:
    """Return the whole document; the live streams never end and are left out."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "segctl emulator",
            "version": "1",
            "description": "CleverTap's API Segments calls, and what only the emulator has.",
        },
        "paths": {
            **vendor_paths(),
            **{prefix + path: item for path, item in own_paths().items()},
        },
        "components": {
            "securitySchemes": {
                "account": {"type": "apiKey", "in": "header", "name": "X-CleverTap-Account-Id"},
                "passcode": {"type": "apiKey", "in": "header", "name": "X-CleverTap-Passcode"},
            }
        },
    }
