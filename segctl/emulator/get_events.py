"""Get Events: the vendor's way to read what happened, in two steps.

A first call names an event and a range of days and gets a cursor; each further
call gives a page of records and the next cursor, until there is none.  The
cursor carries everything it needs, so the service keeps nothing for it.
"""

import base64
import binascii
import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from segctl.emulator.bodies import incorrect
from segctl.emulator.calls import Answer, Incoming, answer, required_text
from segctl.emulator.events import EVENT_NAME, day, read_events
from segctl.emulator.service import Service

DEFAULT_BATCH = 50
LARGEST_BATCH = 5000


def ask_for_events(service: Service, incoming: Incoming) -> Answer:
    """Answer the first call: a cursor to the named event's records."""
    name = required_text(incoming.document, "event_name")
    first, last = (_day(incoming.document.get(each), each) for each in ("from", "to"))
    if first > last:
        raise incorrect("from is later than to")
    cursor = {
        "account": incoming.account.id,
        "event": name,
        "from": first,
        "to": last,
        "start": 1,
        "batch": _batch(incoming.query.get("batch_size")),
        "issued": service.clock(),
    }
    return answer({"status": "success", "cursor": encode(cursor)})


def events_page(service: Service, incoming: Incoming) -> Answer:
    """Answer a further call: a page of records."""
    cursor = decode(incoming.query.get("cursor", ""))
    age = service.clock() - cursor["issued"]
    if cursor["account"] != incoming.account.id or age > service.settings.cursor_seconds:
        raise incorrect("cursor is not valid or has expired")
    if cursor["event"] != EVENT_NAME:
        return answer({"status": "success", "records": []})
    found = (
        event
        for event in read_events(service, account=incoming.account, start=cursor["start"])
        if cursor["from"] <= day(event.ts) <= cursor["to"]
    )
    page = list(islice(found, cursor["batch"]))
    document: dict[str, Any] = {"status": "success", "records": [each.record() for each in page]}
    if next(found, None) is not None:
        document["next_cursor"] = encode(
            {**cursor, "start": page[-1].seq + 1, "issued": service.clock()}
        )
    return answer(document)


def encode(cursor: dict[str, Any]) -> str:
    """Return a cursor as text that fits into a query."""
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def decode(text: str) -> dict[str, Any]:
    """Read a cursor back; raises RequestError 400 for one that is not ours."""
    kinds = {
        "account": str,
        "event": str,
        "from": int,
        "to": int,
        "start": int,
        "batch": int,
        "issued": float,
    }
    try:
        cursor = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        cursor = None
    if (
        not isinstance(cursor, dict)
        or any(type(cursor.get(name)) is not kind for name, kind in kinds.items())
        or not 1 <= cursor["batch"] <= LARGEST_BATCH
        or not 1 <= cursor["start"] < 1 << 62
    ):
        raise incorrect("cursor is not valid or has expired")
    return cursor


def _day(value: Any, name: str) -> int:
    """Return a day as the vendor writes it, 20260131, a number or its text."""
    text = str(value)
    plain = text.isascii() and text.isdecimal()
    try:
        datetime.strptime(text if plain else "", "%Y%m%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise incorrect(f"{name} must be a day, yyyymmdd") from error
    return int(text)


def _batch(text: str | None) -> int:
    if text is None:
        return DEFAULT_BATCH
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_BATCH))):
        raise incorrect("batch_size must be a whole number")
    size = int(text)
    if not 1 <= size <= LARGEST_BATCH:
        raise incorrect(f"batch_size must be from 1 to {LARGEST_BATCH}")
    return size
