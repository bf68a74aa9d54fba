"""The part of the OpenAPI document that is about the vendor's calls that read."""

from segctl.emulator.control.openapi import (
    BOOLEAN,
    COUNT,
    COUNTS,
    DAY,
    ID_OR_NULL,
    NOT_BLANK,
    TEXT,
    Schema,
    array,
    query,
    record,
    vendor_operation,
)

COUNTS_BY: Schema = {"type": ["object", "string"]}
PROFILE = record({"status": {"const": "success"}, "record": {"type": ["object", "null"]}})
# The filters are described in docs/emulator-behaviour.md.
FILTERS: Schema = {
    "event_properties": {"type": ["array", "null"]},
    "common_profile_properties": {"type": ["object", "null"]},
    "advanced_query": {"type": ["object", "null"]},
}
EVENTS_QUERY = record(
    {"event_name": NOT_BLANK, "from": DAY, "to": {"const": 20000201}, **FILTERS},
    "event_name",
    "from",
    "to",
)
PROFILES_QUERY: Schema = {"type": "object", "properties": FILTERS}
GROUPED_QUERY = record(
    {
        "event_name": NOT_BLANK,
        "from": DAY,
        "to": {"const": 20000201},
        "groups": {"type": "object"},
        **FILTERS,
    },
    "event_name",
    "from",
    "to",
    "groups",
)
IN_PROGRESS = record({"status": {"const": "partial"}, "req_id": {"type": ["integer", "string"]}})
COUNTED: Schema = {"anyOf": [record({"status": {"const": "success"}, "count": COUNT}), IN_PROGRESS]}
GROUPED: Schema = {
    "anyOf": [record({"status": {"const": "success"}}, additionalProperties=COUNTS_BY), IN_PROGRESS]
}
TARGET = record(
    {
        "name": NOT_BLANK,
        "estimate_only": {"const": True},
        "target_mode": {"enum": ["push", "webpush", "email", "sms"]},
        "segment": ID_OR_NULL,
        "where": {"type": "object"},
    },
    "name",
    "estimate_only",
)
ESTIMATE = record({"status": {"const": "success"}, "estimates": COUNTS})
SCHEMA_OF_EVENTS = record({"status": {"const": "success"}, "events": array({"type": "object"})})
ACTIVE_USERS = record({"status": {"const": "success"}, "count": COUNT, "last_processed_ts": COUNT})
CURSOR = record({"status": {"const": "success"}, "cursor": TEXT})
EVENTS_PAGE = record(
    {"status": {"const": "success"}, "records": {"type": "array"}, "next_cursor": TEXT},
    "status",
    "records",
)


def reading_paths() -> Schema:
    """Return the vendor's calls that read."""
    batch_size = query("batch_size", {"type": "integer", "minimum": 1, "maximum": 5000})
    keys = [query(key) for key in ("identity", "email", "objectId")]
    exports = {
        f"/1/{name}.json": {
            "post": vendor_operation(f"Ask for {name}", CURSOR, batch_size, body=body),
            "get": vendor_operation(
                f"Read a batch of {name}", EVENTS_PAGE, query("cursor", required=True)
            ),
        }
        for name, body in (("events", EVENTS_QUERY), ("profiles", PROFILES_QUERY))
    }
    counts = {
        f"/1/counts/{name}.json": {
            "post": vendor_operation(f"Count {name}", counted, body=body),
            "get": vendor_operation(
                f"Poll a count of {name}", counted, query("req_id", required=True)
            ),
        }
        for name, body, counted in (
            ("events", EVENTS_QUERY, COUNTED),
            ("profiles", PROFILES_QUERY, COUNTED),
            ("top", GROUPED_QUERY, GROUPED),
            ("trends", GROUPED_QUERY, GROUPED),
        )
    }
    kind = query("type", {"const": "events"}, required=True)
    splits = ("user_type", "session_source", "browser", "os", "device")
    now: Schema = {"type": "object", "properties": dict.fromkeys(splits, BOOLEAN)}
    return {
        "/1/profile.json": {"get": vendor_operation("Look up one profile", PROFILE, *keys)},
        **exports,
        **counts,
        "/1/now.json": {"post": vendor_operation("Count active users", ACTIVE_USERS, body=now)},
        "/1/targets/create.json": {
            "post": vendor_operation("Estimate a target", ESTIMATE, body=TARGET)
        },
        "/getSchema": {"get": vendor_operation("Show the events", SCHEMA_OF_EVENTS, kind)},
    }
