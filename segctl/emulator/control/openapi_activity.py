"""The OpenAPI descriptions of users, requests and changes: what is there and what happened."""

from segctl.emulator.control.openapi import (
    ACCOUNT,
    BOOLEAN,
    COUNT,
    COUNTS,
    INTEGER,
    NOT_BLANK,
    POSITION,
    SKIPPED_ENTRY,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    Schema,
    array,
    operation,
    query,
    record,
)
from segctl.emulator.faults import CALLS, FAULTS
from segctl.emulator.request_log import OUTCOMES

USER_RECORD = record(
    {
        "account": TEXT,
        "identity": TEXT_OR_NULL,
        "guid": TEXT,
        "reachable": record(dict.fromkeys(("any", "email", "sms", "push"), BOOLEAN)),
        "profile": {"type": "object"},
        "segments": array(
            record(
                {
                    "ct_segment_id": INTEGER,
                    "customer_segment_id": TEXT_OR_NULL,
                    "segment_name": TEXT,
                    "category": TEXT,
                    "since": {"anyOf": [TIME, {"type": "null"}]},
                }
            )
        ),
        "events": {"type": "array"},
        "errors": array(SKIPPED_ENTRY),
    }
)
LOGGED_REQUEST = record(
    {
        "number": COUNT,
        "started": TIME,
        "account": TEXT_OR_NULL,
        "call": {"enum": [None, *CALLS]},
        "method": TEXT,
        "path": TEXT,
        "status": {"type": ["integer", "null"]},
        "outcome": {"enum": list(OUTCOMES)},
        "ms": {"type": ["number", "null"], "minimum": 0},
        "in_flight": {"type": ["integer", "null"], "minimum": 1},
        "faults": array({"enum": list(FAULTS)}),
        "agent": TEXT,
    }
)


def activity_paths() -> Schema:
    """Return the paths below the prefix of the emulator's own API."""
    return {
        "/users": {
            "get": operation(
                "Show a user by one of its keys",
                USER_RECORD,
                ACCOUNT,
                query("identity"),
                query("guid"),
                errors=(400, 404),
            )
        },
        "/users/{user}": {
            "get": operation(
                "Show a user by identity or object id",
                USER_RECORD,
                ACCOUNT,
                {"name": "user", "in": "path", "required": True, "schema": NOT_BLANK},
                errors=(400, 404),
            )
        },
        "/changes": {"get": operation("Show the number of changes by topic", COUNTS)},
        "/requests": {
            "get": operation(
                "List the newest requests to the vendor's paths",
                array(LOGGED_REQUEST),
                ACCOUNT,
                query("call", {"enum": list(CALLS)}),
                query("status", POSITION),
                query("outcome", {"enum": list(OUTCOMES)}),
                query("limit", POSITION),
                errors=(400, 404),
            )
        },
    }
