"""The schema of events, and the users who are active now.

Documented: ``GET /getSchema?type=events`` returns all system and custom events with their
properties; ``POST /1/now.json`` returns how many users were active in an app in the past
five minutes, on request by kind.  Public clients show the key ``events`` and an event's
``name`` and ``eventCount``; the other keys are inferred.

The emulator has no app, so nobody is ever active: the counts are 0, and not a guess.
"""

from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.query_language import EVENT_PROPERTIES
from segctl.emulator.reading.events import EVENT_NAME
from segctl.emulator.service import Service

SPLITS = {
    "user_type": ("new", "repeat", "addressable", "customer"),
    "session_source": ("direct", "others", "search", "social", "email", "unavailable"),
    "browser": ("others", "firefox", "chrome", "ie", "mobileapp"),
    "os": ("others", "android", "ios", "windows", "mac", "linux"),
    "device": ("desktop", "mobile", "tablet"),
}
"""What the active users can be split by, and the kinds, of the page's sample."""


def get_schema(_service: Service, request: VendorRequest) -> Response:
    """Answer with the events of the account: the system event of API Segments."""
    if request.query.get("type") != "events":
        raise bad_request("type must be events; other schemas are not emulated")
    event = {
        "name": EVENT_NAME,
        "type": "system",
        "status": "active",
        "eventCount": request.account.events,
        "properties": [{"name": name, "dataType": kind} for name, kind in EVENT_PROPERTIES.items()],
    }
    return json_response({"status": "success", "events": [event]})


def real_time_counts(service: Service, request: VendorRequest) -> Response:
    """Answer with the users active in an app in the past five minutes: none."""
    document = request.document
    if not isinstance(document, dict):
        raise bad_request("the body must be an object")
    answer: dict[str, Any] = {"status": "success", "count": 0}
    for name, kinds in SPLITS.items():
        if not isinstance(document.get(name, False), bool):
            raise bad_request(f"{name} must be true or false")
        if document.get(name):
            answer[name] = dict.fromkeys(kinds, 0)
    return json_response({**answer, "last_processed_ts": int(service.clock())})
