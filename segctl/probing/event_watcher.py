"""Read Get Events and Get Profile, two calls that change nothing.

Both return other users' data as well.  Only records about the probe's own segments and
users are used, and nothing else is kept.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from segctl.probing.probe_run import CreatedSegment, ProbeRun, error_message, parse_json
from segctl.provider.raw import RawReply, RawRequest

EVENT = "Segment Membership Change"
EVENTS = "/1/events.json"
PROFILE = "/1/profile.json"
BATCH = "5000"
MOST_PAGES = 200
_BUSY = 5


@dataclass(frozen=True, kw_only=True)
class SegmentEvent:
    """One event of one of the probe's segments."""

    action: str
    customer_id: str
    users: frozenset[str]
    ct_id: int | None


class Unreadable(Exception):
    """Get Events returned no records. The message says why."""


class EventWatcher:
    """Reads the events of the probe's segments."""

    def __init__(self, probe: ProbeRun, segments: Iterable[CreatedSegment]) -> None:
        self._probe = probe
        self._segments = {each.customer_id: each for each in segments}
        now = datetime.fromtimestamp(probe.clock.now(), tz=UTC)
        # Days are in the account's time zone, which is unknown here.
        self._from = int((now - timedelta(hours=12)).strftime("%Y%m%d"))
        self._hours = timedelta(hours=14)
        self.evidence = 0

    def read(self, *, purpose: str = "") -> list[SegmentEvent]:
        """Read all events so far. With a ``purpose``, the exchange is added to the report.

        Raises ``Unreadable``.
        """
        now = datetime.fromtimestamp(self._probe.clock.now(), tz=UTC)
        asked = {
            "event_name": EVENT,
            "from": self._from,
            "to": int((now + self._hours).strftime("%Y%m%d")),
        }
        request = RawRequest(
            method="POST", path=EVENTS, query={"batch_size": BATCH}, body=json.dumps(asked).encode()
        )
        document = self._send_until_answered(request)
        cursor = document.get("cursor")
        records: list[Any] = []
        pages = 0
        while isinstance(cursor, str) and cursor:
            if pages == MOST_PAGES:
                raise Unreadable(f"there are more than {MOST_PAGES * int(BATCH):,} events to read")
            page = self._send_until_answered(
                # It is percent-encoded already, and encoded again when it is sent.
                RawRequest(method="GET", path=EVENTS, query={"cursor": unquote(cursor)})
            )
            found = page.get("records")
            records += [each for each in found if self._is_own(each)] if found else []
            cursor, pages = page.get("next_cursor"), pages + 1
        if not pages:
            raise Unreadable("Get Events gave no cursor")
        if purpose:
            shown = self._probe.mask.document({"records": [_reportable(each) for each in records]})
            self.evidence = self._probe.record_exchange(purpose, request, 200, shown)
        return [self._segment_event(each) for each in records]

    def _send_until_answered(self, request: RawRequest) -> dict[str, Any]:
        """Send until there is an answer: the service may say that it is not ready."""
        reply = self._probe.service.send(request)
        for pause in range(1, _BUSY):
            if not _busy(reply):
                break
            self._probe.service.wait(2.0 * pause)
            reply = self._probe.service.send(request)
        document = parse_json(reply.body)
        if reply.status != 200 or not isinstance(document, dict) or document.get("error"):
            shown = f"HTTP {reply.status}" if reply.status is not None else reply.problem
            message = self._probe.mask.text(error_message(document))
            self.evidence = self._probe.record_exchange(
                "read events", request, reply.status, message
            )
            raise Unreadable(f"Get Events answered {shown}{f', {message}' if message else ''}")
        return document

    def _is_own(self, record: Any) -> bool:
        return isinstance(record, dict) and self._customer_id(_properties(record)) is not None

    def _customer_id(self, properties: Mapping[str, Any]) -> str | None:
        given = properties.get("Customer_Segment_ID")
        if given in self._segments:
            return str(given)
        number = _to_int(properties.get("Segment ID"))
        return next(
            (key for key, each in self._segments.items() if number and each.ct_id == number), None
        )

    def _segment_event(self, record: Mapping[str, Any]) -> SegmentEvent:
        properties = _properties(record)
        return SegmentEvent(
            action=str(properties.get("Action", "")),
            customer_id=self._customer_id(properties) or "",
            users=frozenset(_names(record.get("profile"))),
            ct_id=_to_int(properties.get("Segment ID")),
        )


def find_profile(probe: ProbeRun, user: Mapping[str, str], *, purpose: str) -> tuple[bool, int]:
    """Return whether Get Profile finds a user, and the number of the exchange."""
    request = RawRequest(method="GET", path=PROFILE, query=user)
    reply = probe.service.send(request)
    document = parse_json(reply.body)
    record = document.get("record") if isinstance(document, dict) else None
    exists = reply.status == 200 and isinstance(record, dict) and bool(record)
    # A profile is personal data; its existence is enough.
    shown = "a record" if exists else probe.mask.text(error_message(document)) or "no record"
    return exists, probe.record_exchange(purpose, request, reply.status, shown)


def _busy(reply: RawReply) -> bool:
    document = parse_json(reply.body)
    partial = isinstance(document, dict) and document.get("status") == "partial"
    return reply.status == 429 or partial


def _properties(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = record.get("event_props") or record.get("eventProps")
    return found if isinstance(found, dict) else {}


def _names(profile: Any) -> Iterable[str]:
    if isinstance(profile, dict):
        listed = profile.get("all_identities")
        values = [profile.get("identity"), profile.get("objectId")]
        for value in [*values, *(listed if isinstance(listed, list) else [])]:
            if isinstance(value, str | int):
                yield str(value).lower()


def _reportable(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a record that a report may show, without CleverTap's profile ids."""
    profile = record.get("profile")
    names = dict(profile) if isinstance(profile, dict) else {}
    kept = {key: names[key] for key in ("identity", "all_identities") if key in names}
    return {"profile": kept, "ts": record.get("ts"), "event_props": _properties(record)}


def _to_int(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) and value is not None else None
    except (TypeError, ValueError):
        return None
