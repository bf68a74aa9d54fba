"""Create Campaign with ``estimate_only``: how many users of a target can be reached.

Documented: with ``estimate_only`` the call creates no campaign and answers ``estimates``,
the reachable users by platform; the target is a ``where`` in the query language, or a
``segment``, never both (the vendor's own client checks that).  Public clients show an id or
``all`` as the segment.  The samples have ``android``, ``ios`` and ``windows`` for push,
``chrome`` for web push and ``web`` for e-mail.

Inferred: the key of SMS, and that platforms without users have the estimate 0.  Without
``estimate_only`` the call is refused: it would send messages.
"""

from collections import Counter
from typing import Any

from pyroaring import BitMap
from starlette.responses import Response

from segctl.emulator.calls.cursors import STILL_IN_PROGRESS
from segctl.emulator.calls.event_search import (
    PROFILES_PER_STEP,
    WORK_PER_RUN,
    filter_users,
    find_users,
    read_fields,
    select_events,
    snapshot,
)
from segctl.emulator.calls.get_profile import find_segment
from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.query_language import parse_query
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account

PUSH_PLATFORMS = {"apns": "ios", "gcm": "android", "fcm": "android", "wns": "windows"}
CHANNELS = {"email": "email", "sms": "sms", "push": "push", "webpush": "push"}
"""The channel of reach of each target mode that can be estimated."""


def estimate_target(service: Service, request: VendorRequest) -> Response:
    """Answer with the reachable users of a target by platform."""
    document, account = request.document, request.account
    request.required_text("name")
    if document.get("estimate_only") is not True:
        raise bad_request(
            "estimate_only must be true: the emulator sends no messages by this call; "
            "POST /emulator/v1/campaigns creates its campaigns"
        )
    mode = document.get("target_mode", "push")
    if mode not in tuple(CHANNELS):
        raise bad_request(f"target_mode must be one of {', '.join(CHANNELS)}")
    if ("segment" in document) == ("where" in document):
        raise bad_request("either segment or where is required, not both")
    work = estimate(service, account, document, str(mode))
    # The same request goes on with the same estimate, as a cursor does with its search.
    key = ("estimate", repr((document.get("segment"), document.get("where"), mode)))
    search = service.searches.open(key, account, lambda: work)
    if not search.go_on(service.settings):
        raise STILL_IN_PROGRESS
    service.searches.close(key, account)
    return json_response({"status": "success", "estimates": search.result})


def estimate(
    service: Service, account: Account, document: dict[str, Any], mode: str
) -> Work[dict[str, int]]:
    """Return the work of an estimate; checks the target at once, and raises RequestError 400."""
    if document.get("where"):
        query = parse_query(document["where"], settings=service.settings, needs_base=False)
    elif "where" in document and not isinstance(document["where"], dict):
        raise bad_request("where must be an object")
    else:
        query = None
    named = document.get("segment", "all")
    segment = None if named == "all" else find_segment(account, named)

    at = snapshot(service)

    def count() -> Work[dict[str, int]]:
        if query is not None:
            users = yield from filter_users(service, account, query, at)
            selection = select_events(service, account, query.event, at)
            found = yield from find_users(service, selection)
            target = found if users is None else found & users
        elif segment is not None:
            target, _ = service.store.members_at(account, segment, service.visible_until())
        else:
            target = account.profiles.numbers()
        reached = target & account.profiles.reachable[CHANNELS[mode]]
        if mode in {"push", "webpush"}:
            return (yield from _by_platform(service, account, reached, mode))
        return {"web" if mode == "email" else mode: len(reached)}

    return count()


def _by_platform(
    service: Service, account: Account, users: BitMap, mode: str
) -> Work[dict[str, int]]:
    platforms = {"chrome": "chrome"} if mode == "webpush" else PUSH_PLATFORMS
    counts = Counter(dict.fromkeys(platforms.values(), 0))
    for first in range(0, account.profiles.next_number, PROFILES_PER_STEP):
        last = min(first + PROFILES_PER_STEP, account.profiles.next_number) - 1
        rows = (
            read_fields(service, account, first, last)
            if users.range_cardinality(first, last + 1)
            else []
        )
        for number, fields in rows:
            if number in users:
                kinds = {each.get("type") for each in fields.get("tokens", ())}
                counts.update({platforms[kind] for kind in kinds if kind in platforms})
        yield WORK_PER_RUN * (1 + len(rows))
    return dict(counts)
