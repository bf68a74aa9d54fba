"""The OpenAPI document of every path that the emulator serves to programs.

It is written by hand from the vendor's pages and not generated from the code, so that
a checker that sends requests by this document tests one against the other.
"""

from collections.abc import Mapping
from typing import Any

from segctl.emulator.control.seeding import CATEGORIES
from segctl.emulator.errors import ERROR_TYPES
from segctl.emulator.faults import BODIES, CALLS, FAULTS, MAX_MEMBERS
from segctl.emulator.settings import HOST_LISTS, LIMITS, QUESTIONS, SWITCHES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NOT_BLANK: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
TIME: Schema = {"type": "string", "format": "date-time"}
INTEGER: Schema = {"type": "integer"}
ID_OR_NULL: Schema = {"type": ["integer", "string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}
POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": 2**53}
MILLISECONDS: Schema = {"type": "number", "minimum": 0, "maximum": 600_000}
BOOLEAN: Schema = {"type": "boolean"}
DAY: Schema = {"type": "integer", "minimum": 20000101, "maximum": 20000131}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    """Return the schema of an object; all properties are required unless some are named."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required or properties),
        **more,
    }


FAIL = record({"status": {"const": "fail"}, "error": TEXT, "code": INTEGER})
SUCCESS = record({"success": {"const": True}})

# An invalid entry is skipped, and its request is answered with 200 all the same.
USER: Schema = {"type": "object", "properties": {"identity": TEXT_OR_NULL, "guid": TEXT_OR_NULL}}
LINE: Schema = {
    "type": "object",
    "properties": {
        "ct_segment_id": ID_OR_NULL,
        "customer_segment_id": TEXT_OR_NULL,
        "action": {"description": "ADD or REMOVE"},
    },
}
UPDATE_ENTRY: Schema = {
    "description": "Without users or segments, it is skipped or refused: see empty_entry.",
    "type": ["object", "null"],
    "properties": {
        "user_profiles": or_null(array(or_null(USER), maxItems=100)),
        "segments": or_null(array(or_null(LINE), maxItems=100)),
    },
}
UPDATE = record({"bulk_profiles": array(UPDATE_ENTRY, maxItems=100)})
NEW_SEGMENT = record(
    {
        "segment_name": NOT_BLANK,
        "customer_segment_id": {"anyOf": [NOT_BLANK, {"const": ""}, {"type": "null"}]},
    },
    "segment_name",
)
CREATE = array(NEW_SEGMENT, minItems=1, maxItems=100)
CREATED = array(record({"id": INTEGER, "segment_name": TEXT, "customer_segment_id": TEXT_OR_NULL}))
SEGMENT = record(
    {
        "ct_segment_id": INTEGER,
        "customer_segment_id": TEXT_OR_NULL,
        "segment_name": TEXT,
        "members": COUNT,
        "reachable": record(dict.fromkeys(("any", "email", "sms", "push"), COUNT)),
        "deleted": BOOLEAN,
        "created_at": TIME,
        "account": TEXT,
        "category": TEXT,
        "used_by": array(record({"id": INTEGER, "name": TEXT, "kind": TEXT, "status": TEXT})),
    }
)
APPLY = record(
    {
        "number": COUNT,
        "account": TEXT,
        "agent": TEXT,
        "label": TEXT,
        "first": TIME,
        "last": TIME,
        "requests": COUNT,
        "events": COUNT,
        "skipped": COUNT,
    }
)
SEED = record(
    {
        "category": {"enum": list(CATEGORIES)},
        "segment_name": {**NOT_BLANK, "maxLength": 500},
        "members": array(
            record({"identity": NOT_BLANK, "guid": NOT_BLANK}, minProperties=1, maxProperties=1)
        ),
    },
    "category",
    "segment_name",
    additionalProperties=False,
)
SKIPPED_ENTRY = record(
    {
        "Error Type": {"enum": list(ERROR_TYPES)},
        "Segment ID": ID_OR_NULL,
        "Customer Segment ID": TEXT_OR_NULL,
        "User Identity": TEXT,
        "Time": TIME,
        "Account": TEXT,
        "Apply": COUNT,
    }
)
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
        "times": COUNT_OR_NULL,
        "ms": MILLISECONDS,
        "jitter_ms": MILLISECONDS,
        "status": {"enum": [500, 502, 503, 504]},
        "retry_after": COUNT_OR_NULL,
        "committed": {"type": ["boolean", "null"]},
        "body": {"enum": list(BODIES)},
        "error_type": {"enum": list(ERROR_TYPES)},
        "segment": ID_OR_NULL,
        "add": {**COUNT, "maximum": MAX_MEMBERS},
        "remove": {**COUNT, "maximum": MAX_MEMBERS},
    },
    "fault",
    additionalProperties=False,
)
FAULT_PLAN: Schema = {
    "type": "object",
    "properties": {"seed": INTEGER, "rules": array(RULE)},
    "additionalProperties": False,
}
FAULTS_IN_FORCE = record({"seed": INTEGER, "rules": array(RULE), "injected": COUNTS})
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
    for name, question in QUESTIONS.items():
        if name in SWITCHES:
            schema: Schema = {"enum": list(SWITCHES[name])}
        elif name in LIMITS:
            least, most, is_whole = LIMITS[name]
            schema = {
                "type": "integer" if is_whole else "number",
                "minimum": least,
                "maximum": most,
            }
        elif name == "time_zone":
            schema = {"enum": ["UTC", "Asia/Kolkata", "America/New_York"]}
        elif name in HOST_LISTS:
            schema = array(TEXT)
        else:
            values = {"enum": list(SWITCHES["api_segments"])}
            is_switch = name == "account_api_segments"
            schema = {"type": "object", "additionalProperties": values if is_switch else TEXT}
        properties[name] = {**schema, "description": question}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def query(name: str, schema: Schema = TEXT, *, required: bool = False) -> Schema:
    """Return a parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "required": required}


ACCOUNT = query("account")
SEGMENT_ID = {"name": "ct_segment_id", "in": "path", "required": True, "schema": COUNT}


def operation(
    summary: str,
    ok: Schema | None,
    *parameters: Schema,
    body: Schema | None = None,
    media_type: str = "application/json",
    errors: tuple[int, ...] = (),
) -> Schema:
    """Return one operation: its 200 has the schema ``ok``, its errors the vendor's form."""
    codes = {*errors} if body is None else {*errors, 400, 413}
    refused = {"description": "Refused", "content": {"application/json": {"schema": FAIL}}}
    schema: Schema = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "Done", "content": {media_type: {"schema": ok or {}}}},
            **{str(code): refused for code in sorted(codes)},
        },
    }
    if body is not None:
        schema["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    return schema


def vendor_operation(
    summary: str,
    ok: Schema,
    *parameters: Schema,
    body: Schema | None = None,
    errors: tuple[int, ...] = (),
) -> Schema:
    """Return a vendor's operation, with its credentials and its errors."""
    errors = (400, 401, 413, 429, 500, *errors)
    return {
        **operation(summary, ok, *parameters, body=body, errors=errors),
        "security": [{"account": [], "passcode": []}],
    }


def vendor_paths() -> Schema:
    """Return the vendor's calls that write."""
    create = vendor_operation("Create segments", CREATED, body=CREATE, errors=(409,))
    update = vendor_operation("Add and remove members", SUCCESS, body=UPDATE)
    return {
        "/api/createSegment": {"post": create},
        "/api/updateSegment": {"post": update},
        "/1/upload": {"post": vendor_operation("Upload profiles", UPLOADED, body=UPLOAD)},
    }


def own_paths() -> Schema:
    """Return the emulator's own paths."""
    ndjson = "application/x-ndjson"
    settings = settings_schema()
    list_errors = (400, 404)
    filters = ("segment_id", "customer_segment_id", "user")
    return {
        "/segments": {
            "get": operation("List segments", array(SEGMENT), ACCOUNT, errors=list_errors),
            "post": operation(
                "Create a segment of another kind", SEGMENT, ACCOUNT, body=SEED, errors=(404,)
            ),
        },
        "/segments/delete": {
            "post": operation(
                "Delete segments, as the dashboard does",
                array(SEGMENT),
                body=record({"ct_segment_ids": array(INTEGER)}),
                errors=(404, 409),
            )
        },
        "/segments/{ct_segment_id}": {
            "get": operation("Show a segment", SEGMENT, SEGMENT_ID, errors=(404,)),
            "delete": operation("Delete a segment", SEGMENT, SEGMENT_ID, errors=(404, 409)),
        },
        "/segments/{ct_segment_id}/members": {
            "get": operation(
                "List members",
                None,
                SEGMENT_ID,
                query("format", {"const": "ndjson"}),
                media_type=ndjson,
                errors=list_errors,
            )
        },
        "/error-stream": {
            "get": operation(
                "List skipped entries",
                array(SKIPPED_ENTRY),
                ACCOUNT,
                query("format", {"const": "json"}),
                query("type", {"enum": list(ERROR_TYPES)}),
                query("guard", {"const": "spreadsheet"}),
                *[query(name) for name in filters],
                query("start", POSITION),
                query("limit", POSITION),
                errors=list_errors,
            )
        },
        "/events": {
            "get": operation(
                "List membership events",
                None,
                ACCOUNT,
                query("start", POSITION),
                query("limit", POSITION),
                media_type=ndjson,
                errors=list_errors,
            )
        },
        "/exports/events": {
            "get": operation(
                "Export membership events",
                None,
                ACCOUNT,
                query("from", DAY),
                query("to", DAY),
                media_type="text/plain",
                errors=list_errors,
            )
        },
        "/applies": {
            "get": operation(
                "List applies, newest first",
                array(APPLY),
                ACCOUNT,
                query("before", POSITION),
                query("limit", POSITION),
                errors=list_errors,
            )
        },
        "/stats": {"get": operation("Show figures", STATS, ACCOUNT, errors=list_errors)},
        "/health": {"get": operation("Say that it works", record({"status": {"const": "ok"}}))},
        "/settings": {
            "get": operation("Show settings", settings),
            "put": operation("Change settings", settings, body=settings),
            "delete": operation("Go back to the defaults", settings),
        },
        "/faults": {
            "get": operation("Show faults", FAULTS_IN_FORCE),
            "put": operation("Replace faults", FAULTS_IN_FORCE, body=FAULT_PLAN),
        },
        "/reset": {"post": operation("Delete all data", STATS)},
    }


def openapi_document(*, prefix: str, reading_paths: Schema, more_paths: Schema) -> Schema:
    """Return the whole document; ``more_paths`` are below the prefix too.

    The live streams never end and are not part of it.
    """

    def header(name: str) -> Schema:
        return {"type": "apiKey", "in": "header", "name": name}

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "segctl emulator",
            "version": "1",
            "description": "CleverTap's API Segments calls, and what only the emulator has.",
        },
        "paths": {
            **vendor_paths(),
            **reading_paths,
            **{prefix + path: item for path, item in {**own_paths(), **more_paths}.items()},
        },
        "components": {
            "securitySchemes": {
                "account": header("X-CleverTap-Account-Id"),
                "passcode": header("X-CleverTap-Passcode"),
            }
        },
    }
