"""Get Events: read the events of a range of days, in two steps.

The first call names an event and a range of days, and gets a cursor.  Each further
call returns a page of records and the next cursor, until there are no more.  A cursor
contains the whole query, so the service stores nothing for it.
"""

import base64
import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.service import Service
from segctl.emulator.storage.event_log import RunFilter
from segctl.emulator.storage.events import EVENT_NAME, day_range, read_events

DEFAULT_BATCH = 50
LARGEST_BATCH = 5000

CURSOR_FIELDS = {
    "account": str,
    "event": str,
    "from": int,
    "to": int,
    "start": int,
    "batch": int,
    "issued": float,
}


def open_cursor(service: Service, request: VendorRequest) -> Response:
    """Handle the first call: answer with a cursor to the records."""
    name = request.required_text("event_name")
    first, last = (_parse_day(request.document.get(each), each) for each in ("from", "to"))
    if first > last:
        raise bad_request("from is later than to")
    cursor = {
        "account": request.account.id,
        "event": name,
        "from": first,
        "to": last,
        "start": 1,
        "batch": _parse_batch(request.query.get("batch_size")),
        "issued": service.clock(),
    }
    return json_response({"status": "success", "cursor": encode_cursor(cursor)})


def events_page(service: Service, request: VendorRequest) -> Response:
    """Handle a further call: answer with a page of records."""
    cursor = decode_cursor(request.query.get("cursor", ""))
    age = service.clock() - cursor["issued"]
    if cursor["account"] != request.account.id or age > service.settings.cursor_seconds:
        raise bad_request("cursor is not valid or has expired")
    if cursor["event"] != EVENT_NAME:
        return json_response({"status": "success", "records": []})
    try:
        since, until = day_range(service, cursor["from"], cursor["to"])
    except ValueError as error:
        raise bad_request("cursor is not valid or has expired") from error
    events = read_events(
        service,
        account=request.account,
        start=cursor["start"],
        filter=RunFilter(since=since, until=until),
    )
    page = list(islice(events, cursor["batch"]))
    document: dict[str, Any] = {"status": "success", "records": [each.record() for each in page]}
    if next(events, None) is not None:
        document["next_cursor"] = encode_cursor(
            {**cursor, "start": page[-1].seq + 1, "issued": service.clock()}
        )
    return json_response(document)


def encode_cursor(cursor: dict[str, Any]) -> str:
    """Return a cursor as text that is safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> dict[str, Any]:
    """Read the text of a cursor; raises RequestError 400 if it is not one of ours."""
    try:
        cursor = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        cursor = None
    if (
        not isinstance(cursor, dict)
        or any(type(cursor.get(name)) is not kind for name, kind in CURSOR_FIELDS.items())
        or not 1 <= cursor["batch"] <= LARGEST_BATCH
        or not 1 <= cursor["start"] < 1 << 62
    ):
        raise bad_request("cursor is not valid or has expired")
    return cursor


def _parse_day(value: Any, name: str) -> int:
    """Read a day as the vendor writes it: 20260131, as a number or a string."""
    text = str(value)
    is_number = text.isascii() and text.isdecimal()
    try:
        datetime.strptime(text if is_number else "", "%Y%m%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise bad_request(f"{name} must be a day, yyyymmdd") from error
    return int(text)


def _parse_batch(text: str | None) -> int:
    if text is None:
        return DEFAULT_BATCH
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_BATCH))):
        raise bad_request("batch_size must be a whole number")
    size = int(text)
    if not 1 <= size <= LARGEST_BATCH:
        raise bad_request(f"batch_size must be from 1 to {LARGEST_BATCH}")
    return size
