"""Looking at what happened: Get Events and Get Profile, two calls that change nothing.

Both show other people's data as well.  Only what is about the probe's own segments and
users is looked at, and nothing else is kept.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from segctl.probing.probe_run import CreatedSegment, ProbeRun, parse, words_of
from segctl.provider.raw import RawReply, RawRequest

EVENT = "Segment Membership Change"
EVENTS = "/1/events.json"
PROFILE = "/1/profile.json"
BATCH = "5000"
MOST_PAGES = 200
_BUSY = 5


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One event about one of the probe's segments."""

    action: str
    customer_id: str
    users: frozenset[str]
    ct_id: int | None


class Unreadable(Exception):
    """Get Events gave no records; its text says why."""


class Watch:
    """Reads the events of the probe's segments."""

    def __init__(self, lab: ProbeRun, segments: Iterable[CreatedSegment]) -> None:
        self._lab = lab
        self._segments = {each.customer_id: each for each in segments}
        now = datetime.fromtimestamp(lab.clock.now(), tz=UTC)
        # Days are those of the account's time zone, whichever that is.
        self._from = int((now - timedelta(hours=12)).strftime("%Y%m%d"))
        self._hours = timedelta(hours=14)
        self.evidence = 0

    def read(self, *, purpose: str = "") -> list[Seen]:
        """Read all events so far; noted in the report where ``purpose`` is given.

        Raises ``Unreadable``.
        """
        now = datetime.fromtimestamp(self._lab.clock.now(), tz=UTC)
        asked = {
            "event_name": EVENT,
            "from": self._from,
            "to": int((now + self._hours).strftime("%Y%m%d")),
        }
        request = RawRequest(
            method="POST", path=EVENTS, query={"batch_size": BATCH}, body=json.dumps(asked).encode()
        )
        document = self._answered(request)
        cursor = document.get("cursor")
        records: list[Any] = []
        pages = 0
        while isinstance(cursor, str) and cursor:
            if pages == MOST_PAGES:
                raise Unreadable(f"there are more than {MOST_PAGES * int(BATCH):,} events to read")
            page = self._answered(RawRequest(method="GET", path=EVENTS, query={"cursor": cursor}))
            found = page.get("records")
            records += [each for each in found if self._ours(each)] if found else []
            cursor, pages = page.get("next_cursor"), pages + 1
        if not pages:
            raise Unreadable("Get Events gave no cursor")
        if purpose:
            shown = self._lab.mask.document({"records": [_shown(each) for each in records]})
            self.evidence = self._lab.remark(purpose, request, 200, shown)
        return [self._seen(each) for each in records]

    def _answered(self, request: RawRequest) -> dict[str, Any]:
        """Send until there is an answer: the service may ask to come again."""
        reply = self._lab.service.send(request)
        for pause in range(1, _BUSY):
            if not _busy(reply):
                break
            self._lab.service.wait(2.0 * pause)
            reply = self._lab.service.send(request)
        document = parse(reply.body)
        if reply.status != 200 or not isinstance(document, dict) or document.get("error"):
            shown = f"HTTP {reply.status}" if reply.status is not None else reply.problem
            words = self._lab.mask.text(words_of(document))
            self.evidence = self._lab.remark("read events", request, reply.status, words)
            raise Unreadable(f"Get Events answered {shown}{f', {words}' if words else ''}")
        return document

    def _ours(self, record: Any) -> bool:
        return isinstance(record, dict) and self._customer_id(_properties(record)) is not None

    def _customer_id(self, properties: Mapping[str, Any]) -> str | None:
        given = properties.get("Customer_Segment_ID")
        if given in self._segments:
            return str(given)
        number = _whole(properties.get("Segment ID"))
        return next(
            (key for key, each in self._segments.items() if number and each.ct_id == number), None
        )

    def _seen(self, record: Mapping[str, Any]) -> Seen:
        properties = _properties(record)
        return Seen(
            action=str(properties.get("Action", "")),
            customer_id=self._customer_id(properties) or "",
            users=frozenset(_names(record.get("profile"))),
            ct_id=_whole(properties.get("Segment ID")),
        )


def profile_there(lab: ProbeRun, user: Mapping[str, str], *, purpose: str) -> tuple[bool, int]:
    """Tell whether Get Profile shows a user, and in which exchange."""
    request = RawRequest(method="GET", path=PROFILE, query=user)
    reply = lab.service.send(request)
    document = parse(reply.body)
    record = document.get("record") if isinstance(document, dict) else None
    there = reply.status == 200 and isinstance(record, dict) and bool(record)
    # A profile is nobody's business; that there is one is enough.
    shown = "a record" if there else lab.mask.text(words_of(document)) or "no record"
    return there, lab.remark(purpose, request, reply.status, shown)


def _busy(reply: RawReply) -> bool:
    document = parse(reply.body)
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


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record as the report may show it: CleverTap's ids of profiles stay out."""
    profile = record.get("profile")
    names = dict(profile) if isinstance(profile, dict) else {}
    kept = {key: names[key] for key in ("identity", "all_identities") if key in names}
    return {"profile": kept, "ts": record.get("ts"), "event_props": _properties(record)}


def _whole(value: Any) -> int | None:
    try:
        return int(value) if not isinstance(value, bool) and value is not None else None
    except (TypeError, ValueError):
        return None
