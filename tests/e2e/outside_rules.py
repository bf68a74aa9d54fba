"""Strict checks of what the vendor's pages require of a request.

Written from the pages alone, sharing nothing with the client.  A request is right or
it gets complaints, in words; a test fails on the first of them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_USERS = 100
MOST_SEGMENTS = 100
LONGEST_IDENTITY = 1_023


class NotJson(ValueError):
    """A body that is not JSON, or has a repeated key."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise NotJson("a name occurs twice in an object")
    return dict(pairs)


def read(body: bytes) -> Any:
    """Read a body; raises ``NotJson``."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise NotJson(str(error)) from error


def headers(given: Mapping[str, str]) -> Iterator[str]:
    """Return complaints about headers; credentials are checked elsewhere."""
    if given.get("content-type", "").partition(";")[0].strip() != "application/json":
        yield "Content-Type is not application/json"
    if not given.get("content-length", "").isdigit():
        yield "Content-Length is missing"


def create(document: Any) -> Iterator[str]:
    """Return complaints about the body of a createSegment request."""
    if not isinstance(document, list):
        yield "the body is not a bare array"
        return
    if not 1 <= len(document) <= MOST_SEGMENTS:
        yield f"{len(document)} segments in one request"
    for row in document:
        if not isinstance(row, dict) or set(row) != {"segment_name", "customer_segment_id"}:
            yield "a segment does not have exactly segment_name and customer_segment_id"
        elif not all(isinstance(value, str) and value.strip() for value in row.values()):
            yield "a name or an id is not a filled string"
    rows = [row for row in document if isinstance(row, dict)]
    for field in ("segment_name", "customer_segment_id"):
        if len({str(row.get(field)) for row in rows}) != len(rows):
            yield f"{field} is not unique within the request"


def update(document: Any) -> Iterator[str]:
    """Return complaints about the body of an updateSegment request."""
    if not isinstance(document, dict) or set(document) != {"bulk_profiles"}:
        yield "the body is not an object with bulk_profiles alone"
        return
    entries = document["bulk_profiles"]
    if not isinstance(entries, list) or not entries:
        yield "bulk_profiles is not a filled array"
        return
    for entry in entries:
        yield from _entry(entry)
    whole = [entry for entry in entries if isinstance(entry, dict)]
    users = sum(len(entry.get("user_profiles", ())) for entry in whole)
    segments = sum(len(entry.get("segments", ())) for entry in whole)
    if users > MOST_USERS:
        yield f"{users} user entries in one request"
    if segments > MOST_SEGMENTS:
        yield f"{segments} segment entries in one request"


def _entry(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict) or set(entry) != {"user_profiles", "segments"}:
        yield "an entry does not have exactly user_profiles and segments"
        return
    for field, check in (("user_profiles", _user), ("segments", _segment)):
        if not isinstance(entry[field], list) or not entry[field]:
            yield f"{field} is not a filled array"
            continue
        for item in entry[field]:
            yield from check(item)


def _user(user: Any) -> Iterator[str]:
    if not isinstance(user, dict) or set(user) not in ({"guid"}, {"identity"}):
        yield "a user does not have exactly one of guid and identity"
        return
    [value] = user.values()
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_IDENTITY:
        yield "a user's key is empty, too long or not a string"


def _segment(segment: Any) -> Iterator[str]:
    ids = {"ct_segment_id", "customer_segment_id"}
    if not isinstance(segment, dict) or len(ids & set(segment)) != 1:
        yield "a segment does not have exactly one of the two ids"
        return
    if set(segment) - ids != {"action"} or segment["action"] not in ("ADD", "REMOVE"):
        yield "a segment's action is neither ADD nor REMOVE, or it has fields of its own"
    if not isinstance(segment.get("ct_segment_id", 1), int):
        yield "ct_segment_id is not an integer"
    if not isinstance(segment.get("customer_segment_id", ""), str):
        yield "customer_segment_id is not a string"
