"""The part of the OpenAPI document that is about campaigns."""

from segctl.emulator.control.openapi import (
    ACCOUNT,
    BOOLEAN,
    COUNT,
    COUNT_OR_NULL,
    ID_OR_NULL,
    INTEGER,
    NOT_BLANK,
    POSITION,
    TEXT,
    TEXT_OR_NULL,
    TIME,
    Schema,
    array,
    operation,
    query,
    record,
)
from segctl.emulator.engagement.campaign import CHANNELS, KINDS, STATUSES
from segctl.emulator.query_language import EVENT_PROPERTIES, OPERATORS

SEGMENT_KEYS = array({"type": ["integer", "string"]})
FILTER = record(
    {
        "name": {"enum": list(EVENT_PROPERTIES)},
        "operator": {"enum": list(OPERATORS)},
        "value": {"type": ["string", "number", "array"]},
    },
    "name",
    "operator",
)
CAMPAIGN_RULE: Schema = {
    "type": ["object", "null"],
    "properties": {
        "action": {"enum": ["ADD", "REMOVE", "ANY"]},
        "segment": ID_OR_NULL,
        "where": array(FILTER),
        "delay_seconds": {"type": "number", "minimum": 0},
    },
}
AUDIENCE_RULES: dict[str, Schema] = {"include": SEGMENT_KEYS, "exclude": SEGMENT_KEYS}
NEW_CAMPAIGN = record(
    {
        "name": NOT_BLANK,
        "kind": {"enum": list(KINDS)},
        "channel": {"enum": list(CHANNELS)},
        **AUDIENCE_RULES,
        "when": TEXT_OR_NULL,
        "trigger": CAMPAIGN_RULE,
        "webhook": {
            "type": ["object", "null"],
            "properties": {
                "url": {"const": "http://127.0.0.1:9/"},
                "secret": TEXT_OR_NULL,
                "key_values": {"type": "object", "additionalProperties": TEXT},
            },
        },
        "exit_on_leave": BOOLEAN,
    },
    "name",
    "kind",
    "channel",
    additionalProperties=False,
)
CAMPAIGN = record(
    {
        "id": INTEGER,
        "account": TEXT,
        "name": TEXT,
        "kind": {"enum": list(KINDS)},
        "channel": {"enum": list(CHANNELS)},
        "status": {"enum": list(STATUSES)},
        "include": array(INTEGER),
        "exclude": array(INTEGER),
        "when": TEXT_OR_NULL,
        "started_at": {"type": ["string", "null"]},
        "trigger": {"type": ["object", "null"]},
        "webhook": {"type": ["object", "null"]},
        "audience": COUNT_OR_NULL,
        "reachable": COUNT_OR_NULL,
        "triggers": COUNT,
        "failed": COUNT,
        "created_at": TIME,
    }
)
REACH = record(dict.fromkeys(("any", "email", "sms", "push"), COUNT))
ESTIMATE = record({"audience": COUNT, "reachable": REACH})


def campaign_paths() -> Schema:
    """Return the paths of the campaigns."""
    ndjson = "application/x-ndjson"
    one = ({"name": "campaign", "in": "path", "required": True, "schema": COUNT}, ACCOUNT)
    path = "/campaigns/{campaign}"
    create = operation("Create a campaign", CAMPAIGN, ACCOUNT, body=NEW_CAMPAIGN, errors=(404,))
    rules: Schema = {"type": "object", "properties": AUDIENCE_RULES}
    estimate = operation("Estimate an audience", ESTIMATE, ACCOUNT, body=rules, errors=(404,))
    log = operation(
        "List triggers with every attempt",
        None,
        *one,
        query("start", POSITION),
        query("limit", POSITION),
        query("order", {"enum": ["oldest", "newest"]}),
        media_type=ndjson,
        errors=(400, 404),
    )
    audience = operation("List the audience", None, *one, media_type=ndjson, errors=(404,))
    return {
        "/campaigns": {
            "get": operation("List campaigns", array(CAMPAIGN), ACCOUNT, errors=(404,)),
            "post": create,
        },
        "/campaigns/estimate": {"post": estimate},
        path: {
            "get": operation("Show a campaign", CAMPAIGN, *one, errors=(404,)),
            "delete": operation("Delete a campaign", CAMPAIGN, *one, errors=(404, 409)),
        },
        f"{path}/start": {"post": operation("Start a campaign", CAMPAIGN, *one, errors=(404, 409))},
        f"{path}/stop": {"post": operation("Stop a campaign", CAMPAIGN, *one, errors=(404, 409))},
        f"{path}/triggers": {"get": log},
        f"{path}/audience": {"get": audience},
    }
