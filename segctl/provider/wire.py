"""Request bodies of the two calls, and the outcome that an answer means.

Only this module knows the service's JSON. All functions are pure.

An update is acknowledged only by HTTP 200 with ``{"success": true}``, the only answer that the
vendor's page shows. The answer to a create is not documented, so any 2xx acknowledges it if the
body is a JSON object or list without a sign of failure, with or without ids. If an answer lists
only some of the segments, or marks some as failed without naming each one, the whole create
is uncertain.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from segctl.core.identity import Kind
from segctl.core.outcomes import NOT_FOUND, Answer, Outcome

MAX_DETAIL_LENGTH = 200
"""Maximum number of characters of the service's text in a ``detail``."""

_MAX_MATCHED_LENGTH = 4000
"""Text is cut to this length before ``_EMAIL``, whose time is quadratic in the length."""

_SUCCESS_WORDS = {"success", "ok"}
_FAILURE_PREFIXES = (
    "fail",
    "error",
    "partial",
    "invalid",
    "reject",
    "refus",
    "denied",
    "duplicate",
    "conflict",
)
_FAILURE_KEYS = ("error", "errors", "unprocessed", "failed", "failures")
_MESSAGE_KEYS = (
    "error",
    "message",
    "errorMessage",
    "error_message",
    "description",
    "detail",
    "reason",
)
_LIST_KEYS = ("segments", "data", "result")
_ID_KEYS = ("ct_segment_id", "id", "segment_id")
_LIMIT_EXCEEDED_CODE = 100
"""The vendor's error code for no profiles, too many profiles or too many segments."""

_DUPLICATE = re.compile(
    r"already (exist|in use|used|taken|present|created)|(?<!not )\bexists\b|duplicat"
    r"|(must be|not) unique|unique constraint|\bis in use\b",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@<>\"',;:]+@[^\s@<>\"',;:]+")


@dataclass(frozen=True, kw_only=True)
class NewSegment:
    """A segment to create."""

    segment_name: str
    customer_segment_id: str


@dataclass(frozen=True, kw_only=True)
class SegmentAction:
    """An action on one segment.

    Only one id is sent, the customer's if there is one. The service drops an action whose two ids
    disagree, and its answer does not say so.
    """

    action: Literal["ADD", "REMOVE"]
    customer_segment_id: str | None
    ct_segment_id: int | None = None

    def __post_init__(self) -> None:
        if not self.customer_segment_id and self.ct_segment_id is None:
            raise ValueError("a segment action needs an id")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Some users and some actions. Each action applies to each user."""

    users: tuple[tuple[Kind, str], ...]
    actions: tuple[SegmentAction, ...]


_encode = json.JSONEncoder(separators=(",", ":")).encode


BodyForm = Literal["array", "wrapped"]
"""The body of createSegment. The vendor's sample is a bare array, its text names ``segments``."""


def create_body(segments: Sequence[NewSegment], form: BodyForm = "array") -> bytes:
    """Return the body of a createSegment request."""
    rows = [
        {"segment_name": s.segment_name, "customer_segment_id": s.customer_segment_id}
        for s in segments
    ]
    return _encode({"segments": rows} if form == "wrapped" else rows).encode()


def update_body(entries: Sequence[Entry]) -> bytes:
    """Return the body of an updateSegment request."""
    return _encode(
        {
            "bulk_profiles": [
                {
                    "user_profiles": [{kind: value} for kind, value in entry.users],
                    "segments": [_segment_json(action) for action in entry.actions],
                }
                for entry in entries
            ]
        }
    ).encode()


def _segment_json(action: SegmentAction) -> dict[str, str | int | None]:
    if action.customer_segment_id:
        return {"customer_segment_id": action.customer_segment_id, "action": action.action}
    return {"ct_segment_id": action.ct_segment_id, "action": action.action}


def judge_update(status: int, body: bytes, hidden: Collection[str] = ()) -> Answer:
    """Return what one answer to an update means. ``hidden`` strings are masked in ``detail``.

    An answer with ``throttled`` (429) is known not to be applied and may go again,
    one that is uncertain must.
    """
    document = _parse_json(body)
    if status == 200 and _is_success(document):
        return Answer(outcome=Outcome.ACKNOWLEDGED, status=status)
    return _judge_failure(status, document, hidden)


def judge_create(
    status: int, body: bytes, sent: Sequence[NewSegment], hidden: Collection[str] = ()
) -> Answer:
    """Return what one answer to a create means. ``hidden`` strings are masked in ``detail``.

    ``exists`` is set for HTTP 409, which means "already exists" in the vendor's general error
    table, and for texts with that meaning. The texts are assumptions: the answer to a duplicate
    is not documented.
    """
    document = _parse_json(body)
    if not 200 <= status < 300 or not isinstance(document, dict | list):
        return _with_exists(_judge_failure(status, document, hidden), document)
    if isinstance(document, dict) and _has_failure(document):
        return _with_exists(_judge_failure(status, document, hidden), document)
    rows = _find_rows(document)
    if rows is None:
        return Answer(outcome=Outcome.ACKNOWLEDGED, status=status)
    return _judge_rows(status, rows, sent, hidden)


def mask_text(text: str, hidden: Collection[str]) -> str:
    """Return the text on one printable line, shortened, with ``hidden`` strings masked.

    E-mail addresses are masked too: the service may write an identity differently from how it
    was sent.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if hidden:
        line = _any_value_pattern(hidden).sub("[hidden]", line)
    line = _EMAIL.sub("[hidden]", line[:_MAX_MATCHED_LENGTH])
    return line if len(line) <= MAX_DETAIL_LENGTH else f"{line[: MAX_DETAIL_LENGTH - 1]}…"


def _any_value_pattern(hidden: Collection[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, hidden), key=len, reverse=True)
    return re.compile("|".join(map(_value_pattern, longest_first)) or r"(?!)", re.IGNORECASE)


def _value_pattern(value: str) -> str:
    """Return a pattern for a value. A short value such as "4" matches only as a whole word."""
    pattern = re.escape(value)
    return pattern if len(value) >= 4 else rf"(?<!\w){pattern}(?!\w)"


class _InvalidJsonError(ValueError):
    """JSON with a repeated key, or with ``NaN`` or ``Infinity``."""


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _InvalidJsonError
    return document


def _reject_constant(name: str) -> Any:
    raise _InvalidJsonError(name)


def _parse_json(body: bytes) -> Any:
    """Return the JSON document, or ``None`` if the body is not valid JSON or is empty."""
    try:
        return json.loads(
            body, object_pairs_hook=_reject_repeated_keys, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError):
        return None


def _is_success(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("success") is True
        and not _has_failure(document)
        and ("status" not in document or _is_ok(document["status"]))
    )


def _is_ok(status: Any) -> bool:
    return isinstance(status, str) and status.strip().lower() in _SUCCESS_WORDS


def _has_failure(document: Mapping[str, Any]) -> bool:
    """Return whether an answer has any sign of failure, in either style of the service."""
    status = document.get("status")
    code = document.get("code")
    return (
        ("success" in document and document["success"] is not True)
        or (isinstance(status, str) and status.strip().lower().startswith(_FAILURE_PREFIXES))
        or any(document.get(name) for name in _FAILURE_KEYS)
        or (code is not None and not _is_ok(code) and not _is_success_code(_parse_integer(code)))
    )


def _is_success_code(code: int | None) -> bool:
    return code is not None and (code == 0 or 200 <= code < 300)


def _parse_integer(value: Any) -> int | None:
    """Return an integer given as a number or a string of digits, else ``None``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        return int(value)
    return None


def _judge_failure(status: int, document: Any, hidden: Collection[str]) -> Answer:
    """Return what an answer without an acknowledgement means, by its status and code."""
    words = mask_text(_error_message(document), hidden)
    because = f": {words}" if words else ""
    effective_status = _effective_status(status, document)
    outcome, detail = Outcome.UNCERTAIN, f"HTTP {status}{because}"
    match effective_status:
        case 401:
            outcome, detail = Outcome.FAILED, f"the credentials were refused (HTTP 401){because}"
        case 403:
            outcome, detail = Outcome.FAILED, f"access was refused (HTTP 403){because}"
        case 407:  # from a proxy: the request did not reach the service
            outcome, detail = Outcome.FAILED, "the proxy asks for credentials (HTTP 407)"
        case 408 | 425:  # these ask for a retry and do not concern the content
            pass
        case 429:
            outcome, detail = Outcome.FAILED, "too many concurrent requests (HTTP 429)"
        case _ if 300 <= effective_status < 400:
            outcome, detail = (
                Outcome.FAILED,
                f"HTTP {status} is a redirect, which segctl does not follow",
            )
        case 404:  # of the call, or of a segment: the pages do not say
            outcome, detail = Outcome.REFUSED, f"{NOT_FOUND}{because}"
        case _ if 400 <= effective_status < 500:
            outcome, detail = Outcome.REFUSED, words or f"HTTP {status} without a reason"
        case _ if 200 <= effective_status < 300 and not words:
            detail = f"HTTP {status} without a readable confirmation"
    return Answer(
        outcome=outcome,
        status=status,
        stop=effective_status in {401, 403},
        detail=detail,
        throttled=int(effective_status == 429),
    )


def _uncertain(status: int, detail: str) -> Answer:
    return Answer(outcome=Outcome.UNCERTAIN, status=status, detail=detail)


def _effective_status(status: int, document: Any) -> int:
    """Return the HTTP status that an answer means. A code in the body can be more exact.

    Code 100 may come with HTTP 400, or with HTTP 200 as errors of the older calls do.
    """
    code = _parse_integer(document.get("code")) if isinstance(document, dict) else None
    if status == 400 and code in {401, 403, 429}:
        return code
    if 200 <= status < 300:
        fails = code is not None and document.get("success") is not True and _has_failure(document)
        if fails and code == _LIMIT_EXCEEDED_CODE:
            return 400
        if fails and code is not None and 400 <= code < 500:
            return code
    return status


def _error_message(document: Any) -> str:
    """Return the message in an error body, or "" if there is none. HTML is not quoted."""
    if isinstance(document, str):
        return document
    if isinstance(document, list):
        return _error_message(document[0]) if document else ""
    if isinstance(document, dict):
        for name in (*_MESSAGE_KEYS, *_FAILURE_KEYS):
            if words := _error_message(document.get(name)):
                return words
    return ""


def _with_exists(answer: Answer, document: Any) -> Answer:
    """Set ``exists`` on a create that was refused as a duplicate."""
    if answer.outcome is Outcome.REFUSED and _effective_status(answer.status or 0, document) == 409:
        return replace(answer, exists=True)
    refused = answer.outcome is Outcome.REFUSED or (
        answer.outcome is Outcome.UNCERTAIN and 200 <= (answer.status or 0) < 300
    )
    if refused and isinstance(document, dict) and _DUPLICATE.search(_error_message(document)):
        return replace(answer, outcome=Outcome.REFUSED, exists=True)
    return answer


def _find_rows(document: Any) -> list[Any] | None:
    """Return the list of created segments in an answer, or ``None`` if there is no list."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return None
    for name in _LIST_KEYS:
        if (rows := _find_rows(document.get(name))) is not None:
            return rows
    named = any(name in document for name in (*_ID_KEYS, "customer_segment_id"))
    return [document] if named or _has_failure(document) else None


def _judge_rows(
    status: int, rows: list[Any], sent: Sequence[NewSegment], hidden: Collection[str]
) -> Answer:
    if len(rows) != len(sent):
        return _uncertain(status, f"HTTP {status} lists {len(rows)} of {len(sent)} segments")
    failed = [row for row in rows if isinstance(row, dict) and _has_failure(row)]
    if failed:
        created_ids = _created_ids(rows, failed, sent)
        return _judge_failed_rows(status, failed, created_ids, sent=len(sent), hidden=hidden)
    returned_ids = {
        k
        for row in rows
        if isinstance(row, dict) and (k := _first_text(row, "customer_segment_id"))
    }
    if returned_ids - {segment.customer_segment_id for segment in sent}:
        return _uncertain(status, f"HTTP {status} lists segments that were not sent")
    return Answer(outcome=Outcome.ACKNOWLEDGED, status=status, ids=_match_ids(rows, sent))


def _created_ids(
    rows: Sequence[Any], failed: Sequence[Mapping[str, Any]], sent: Sequence[NewSegment]
) -> dict[str, int] | None:
    """Return the ids of the created segments if some rows of the answer failed.

    ``None`` unless the rows name every segment that was sent exactly once. Otherwise no row is
    trusted.
    """
    names = [_first_text(row, "customer_segment_id") for row in rows if isinstance(row, dict)]
    if sorted(n for n in names if n) != sorted(s.customer_segment_id for s in sent):
        return None
    good = [row for row in rows if row not in failed]
    ids = {str(row["customer_segment_id"]): _row_id(row) for row in good}
    return {key: number for key, number in ids.items() if number is not None}


def _judge_failed_rows(
    status: int,
    failed: Sequence[Mapping[str, Any]],
    created_ids: Mapping[str, int] | None,
    *,
    sent: int,
    hidden: Collection[str],
) -> Answer:
    answers = [_with_exists(_judge_failure(status, row, hidden), row) for row in failed]
    first = answers[0]
    alike = len({(a.outcome, a.stop, a.throttled) for a in answers}) == 1
    if len(failed) == sent and alike:
        return replace(first, exists=all(a.exists for a in answers))
    detail = mask_text(
        f"HTTP {status}: {len(failed)} of {sent} segments failed: {first.detail}", hidden
    )
    if (
        created_ids
        and len(created_ids) + len(failed) == sent
        and not any(a.stop or a.throttled for a in answers)
    ):
        # Each segment is named: the created ones are kept, the others are requested again.
        return Answer(outcome=Outcome.REFUSED, status=status, detail=detail, ids=created_ids)
    return _uncertain(status, detail)


def _first_text(row: Mapping[str, Any], *names: str) -> str | None:
    return next((v for name in names if isinstance(v := row.get(name), str) and v), None)


def _match_ids(rows: Sequence[Any], sent: Sequence[NewSegment]) -> dict[str, int]:
    """Return CleverTap's id per customer id. Rows match by customer id, name or position.

    There must be as many rows as segments. If two segments have the same id, the answer
    contradicts itself and no id is returned.
    """
    names = Counter(s.segment_name for s in sent)
    by_name = {s.segment_name: s.customer_segment_id for s in sent if names[s.segment_name] == 1}
    keys = [_row_key(row, by_name) for row in rows]
    if not any(_is_keyed(row) for row in rows):
        keys = [s.customer_segment_id for s in sent]
    ids = {
        key: number
        for key, row in zip(keys, rows, strict=True)
        if key and (number := _row_id(row)) is not None
    }
    return ids if len(set(ids.values())) == len(ids) else {}


def _is_keyed(row: Any) -> bool:
    return isinstance(row, dict) and any(
        row.get(k) is not None for k in ("customer_segment_id", "segment_name", "name")
    )


def _row_key(row: Any, by_name: Mapping[str, str]) -> str | None:
    if not isinstance(row, dict):
        return None
    name = _first_text(row, "segment_name", "name")
    return _first_text(row, "customer_segment_id") or (by_name.get(name) if name else None)


def _row_id(row: Any) -> int | None:
    if not isinstance(row, dict):
        return _positive_id(row)
    key = row.get("customer_segment_id")
    numbers = (_positive_id(row.get(name)) for name in _ID_KEYS if row.get(name) != key)
    return next((number for number in numbers if number is not None), None)


def _positive_id(value: Any) -> int | None:
    number = _parse_integer(value)
    return number if number is not None and 0 < number < 1 << 63 else None
