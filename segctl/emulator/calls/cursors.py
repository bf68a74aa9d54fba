"""Cursors of the two exports, Get Events and Get User Profiles by event.

Documented: the first call names an event, a range of days and filters, and gets a cursor;
each further call returns a batch and the next cursor, until there is none.  A cursor
contains the whole query, so the service stores nothing that it could lose.  It arrives
percent-encoded, as in the vendor's samples: a client sends it back as it is.  Public
clients report that one that is encoded once more is refused.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import VendorRequest, response
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings

DEFAULT_BATCH = 50
LARGEST_BATCH = 5000
"""Documented: the largest batch of both exports."""
BUCKETS = 23
"""Documented for profiles: a batch is a multiple of 23."""

QUERY_KEYS = (
    "event_name",
    "from",
    "to",
    "event_properties",
    "common_profile_properties",
    "advanced_query",
    "segment",
)
MAX_CURSOR = 48_000
"""Characters of a cursor; a URL with a longer one is refused by servers on the way."""

FIELDS = {
    "account": str,
    "call": str,
    "query": dict,
    "start": int,
    "end": int,
    "batch": int,
    "begun": float,
    "issued": float,
    "with": list,
}

STILL_IN_PROGRESS = RequestError(200, "Request still in progress, please retry later", code=2)
"""Text, code and status are those that public clients report; they send the cursor again."""

EXPORT_NOT_ALLOWED = RequestError(400, "Export not allowed for this event")
"""Public clients report it for some events; if ours is one of them, no page says."""

Cursor = dict[str, Any]


def open_cursor(
    service: Service, request: VendorRequest, *, call: str, batch: int, start: int = 1
) -> dict[str, Any]:
    """Return the answer to the first call of an export, whose query has been checked.

    ``start`` is the number of the first event, or profile, of the first batch.
    """
    now = service.clock()
    cursor = {
        "account": request.account.id,
        "call": call,
        "query": {key: request.document[key] for key in QUERY_KEYS if key in request.document},
        "start": start,
        "end": service.store.log.next_event,
        "batch": batch,
        "begun": now,
        "issued": now,
        "with": [name for name in ("events", "profile") if request.query.get(name) == "true"],
    }
    text = encode_cursor(cursor)
    if len(text) > MAX_CURSOR:
        raise bad_request("the filters are too long for a cursor; split the query")
    return {"status": "success", "cursor": text}


def next_cursor(service: Service, cursor: Cursor, *, start: int) -> str:
    """Return the cursor of the next batch."""
    return encode_cursor({**cursor, "start": start, "issued": service.clock()})


def encode_cursor(cursor: Mapping[str, Any]) -> str:
    """Return a cursor as percent-encoded text."""
    text = json.dumps(cursor, separators=(",", ":"), sort_keys=True)
    return quote(base64.b64encode(text.encode()).decode(), safe="")


def records_response(service: Service, records: Sequence[str], *, cursor: str | None) -> Response:
    """Return a batch of records, each JSON text, and the next cursor if there is one.

    The text is put together here because a document of 5,000 records takes too long.
    """
    parts = ['"status": "success"']
    if records or service.settings.empty_records == "empty":
        parts.append(f'"records": [{", ".join(records)}]')
    if cursor is not None:
        parts.append(f'"next_cursor": {json.dumps(cursor)}')
    return response(f"{{{', '.join(parts)}}}")


def read_cursor(service: Service, request: VendorRequest, *, call: str) -> Cursor:
    """Return the cursor of a further call; raises RequestError 400 if it is not a valid one."""
    text = request.query.get("cursor", "")
    if "%" in text:
        if service.settings.encoded_cursor == "refuse":
            raise bad_request("cursor: send it as it came, without encoding it once more")
        text = unquote(text)
    cursor = decode_cursor(text)
    now = service.clock()
    lifetime, idle = lifetimes(service.settings, call)
    if (
        cursor is None
        or (cursor["account"], cursor["call"]) != (request.account.id, call)
        or abs(now - cursor["begun"]) > lifetime
        or abs(now - cursor["issued"]) > idle
    ):
        raise bad_request("cursor is not valid or has expired; begin again with the query")
    return cursor


def lifetimes(settings: Settings, call: str) -> tuple[int, int]:
    """Return how long a cursor lives in all, and how long unused, in seconds."""
    if call == "profiles":
        return settings.profile_cursor_seconds, settings.profile_cursor_seconds
    return settings.cursor_seconds, settings.cursor_idle_seconds


def decode_cursor(text: str) -> Cursor | None:
    """Return the cursor in the text of a URL, once decoded; None if it is not one of ours."""
    try:
        cursor = json.loads(base64.b64decode(text.encode(), validate=True), parse_constant=int)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(cursor, dict)
        or any(type(cursor.get(name)) is not kind for name, kind in FIELDS.items())
        or not 1 <= cursor["batch"] <= LARGEST_BATCH
        or not 0 <= cursor["start"] < 1 << 62
        or not 0 <= cursor["end"] < 1 << 62
    ):
        return None
    return dict(cursor)


def parse_batch(request: VendorRequest, settings: Settings, *, multiple: int = 1) -> int:
    """Return the number of records in a batch; raises RequestError 400."""
    text = request.query.get("batch_size")
    if text is None:
        return DEFAULT_BATCH // multiple * multiple
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_BATCH))
    if not is_number or not 1 <= int(text) <= LARGEST_BATCH:
        raise bad_request(f"batch_size must be a whole number from 1 to {LARGEST_BATCH}")
    size = int(text)
    if size < BUCKETS:
        return LARGEST_BATCH if settings.small_batch == "unlimited" else size
    return size // multiple * multiple
