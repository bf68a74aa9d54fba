"""The shapes of the two calls: what is sent, and what an answer is worth.

The one place that knows the service's JSON; pure functions of values.

An update counts as accepted only by HTTP 200 with ``{"success": true}``, the one
answer that the vendor's page shows.  The answer to a create is shown nowhere, so
any 2xx with a JSON object or list that holds no sign of failure counts, with or
without ids.  An answer that names only some of the created segments, or marks some
of them as failed, is not trusted for any of them: it counts as no answer.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from segctl.core.identity import Kind
from segctl.core.outcomes import Answer, Outcome

LONGEST_WORDS = 200
"""How many characters of the service's words an answer keeps."""

_FAR = 4000
"""Where words are cut before a pattern whose time grows with the square of their length."""

_OK = {"success", "ok"}
_BAD = ("fail", "error", "partial", "invalid", "reject", "refus", "denied", "duplicate", "conflict")
_COMPLAINTS = ("error", "errors", "unprocessed", "failed", "failures")
_WORDS = ("error", "message", "errorMessage", "error_message", "description", "detail", "reason")
_LISTS = ("segments", "data", "result")
_IDS = ("ct_segment_id", "id", "segment_id")
_TOO_MUCH = 100
"""The code of the vendor's page for too many or no profiles, and too many segments."""

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
    """What happens in one segment.

    One id travels, the customer's where there is one: the service drops a line
    whose two ids disagree, without saying so in its answer.
    """

    action: Literal["ADD", "REMOVE"]
    customer_segment_id: str | None
    ct_segment_id: int | None = None

    def __post_init__(self) -> None:
        if not self.customer_segment_id and self.ct_segment_id is None:
            raise ValueError("a segment action needs an id")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Every action for every user: a product."""

    users: tuple[tuple[Kind, str], ...]
    actions: tuple[SegmentAction, ...]


_encode = json.JSONEncoder(separators=(",", ":")).encode


def create_body(segments: Sequence[NewSegment]) -> bytes:
    """Write a createSegment request: a bare array, as in the vendor's sample."""
    return _encode(
        [
            {"segment_name": s.segment_name, "customer_segment_id": s.customer_segment_id}
            for s in segments
        ]
    ).encode()


def update_body(entries: Sequence[Entry]) -> bytes:
    """Write an updateSegment request."""
    return _encode(
        {
            "bulk_profiles": [
                {
                    "user_profiles": [{kind: value} for kind, value in entry.users],
                    "segments": [_segment(action) for action in entry.actions],
                }
                for entry in entries
            ]
        }
    ).encode()


def _segment(action: SegmentAction) -> dict[str, str | int | None]:
    if action.customer_segment_id:
        return {"customer_segment_id": action.customer_segment_id, "action": action.action}
    return {"ct_segment_id": action.ct_segment_id, "action": action.action}


def judge_update(status: int, body: bytes, hidden: Collection[str] = ()) -> Answer:
    """Judge one attempt's answer to an update; ``hidden`` strings are masked in ``detail``.

    An answer with ``throttled`` (429) is known not to be applied and may go again,
    one that is uncertain must.
    """
    document = _read(body)
    if status == 200 and _accepts(document):
        return Answer(outcome=Outcome.ACKNOWLEDGED, status=status)
    return _judge_rest(status, document, hidden)


def judge_create(
    status: int, body: bytes, sent: Sequence[NewSegment], hidden: Collection[str] = ()
) -> Answer:
    """Judge one attempt's answer to a create; ``hidden`` strings are masked in ``detail``.

    ``exists`` is set by HTTP 409, which the vendor's general error table gives to
    "already exists", and by texts that read like it.  The texts are inferred: the
    answer to a duplicate is documented nowhere.
    """
    document = _read(body)
    if not 200 <= status < 300 or not isinstance(document, dict | list):
        return _with_exists(_judge_rest(status, document, hidden), document)
    if isinstance(document, dict) and _complains(document):
        return _with_exists(_judge_rest(status, document, hidden), document)
    rows = _rows(document)
    if rows is None:
        return Answer(outcome=Outcome.ACKNOWLEDGED, status=status)
    return _judge_rows(status, rows, sent, hidden)


def masked_words(text: str, hidden: Collection[str]) -> str:
    """Give the service's words on one printable line without ``hidden`` strings, shortened.

    Anything that looks like an e-mail address goes too: the service may write an
    identity in another way than it was sent.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if hidden:
        line = _any_of(hidden).sub("[hidden]", line)
    line = _EMAIL.sub("[hidden]", line[:_FAR])
    return line if len(line) <= LONGEST_WORDS else f"{line[: LONGEST_WORDS - 1]}…"


def _any_of(hidden: Collection[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, hidden), key=len, reverse=True)
    return re.compile("|".join(map(_alone, longest_first)) or r"(?!)", re.IGNORECASE)


def _alone(value: str) -> str:
    """Match a value; a short one only as a word, or "4" would blot out every number."""
    pattern = re.escape(value)
    return pattern if len(value) >= 4 else rf"(?<!\w){pattern}(?!\w)"


class _Unreadable(ValueError):
    """JSON that says two things at once, or something that JSON cannot."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Unreadable
    return document


def _constant(name: str) -> Any:
    raise _Unreadable(name)


def _read(body: bytes) -> Any:
    """Read JSON; ``None`` where it is none, as for the service's empty 200 answers."""
    try:
        return json.loads(body, object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError):
        return None


def _accepts(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("success") is True
        and not _complains(document)
        and ("status" not in document or _is_ok(document["status"]))
    )


def _is_ok(status: Any) -> bool:
    return isinstance(status, str) and status.strip().lower() in _OK


def _complains(document: Mapping[str, Any]) -> bool:
    """Tell whether an answer holds any sign of failure, in either of the service's styles."""
    status = document.get("status")
    code = document.get("code")
    return (
        ("success" in document and document["success"] is not True)
        or (isinstance(status, str) and status.strip().lower().startswith(_BAD))
        or any(document.get(name) for name in _COMPLAINTS)
        or (code is not None and not _is_ok(code) and not _is_success_code(_number(code)))
    )


def _is_success_code(code: int | None) -> bool:
    return code is not None and (code == 0 or 200 <= code < 300)


def _number(value: Any) -> int | None:
    """Read an integer, or a string of digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
        return int(value)
    return None


def _judge_rest(status: int, document: Any, hidden: Collection[str]) -> Answer:
    """Judge an answer that is no acknowledgement, by its class."""
    words = masked_words(_words(document), hidden)
    because = f": {words}" if words else ""
    meant = _class(status, document)
    outcome, detail = Outcome.UNCERTAIN, f"HTTP {status}{because}"
    match meant:
        case 401 | 403:
            outcome, detail = (
                Outcome.FAILED,
                f"the credentials were refused (HTTP {meant}){because}",
            )
        case 407:  # said by a proxy: the request never reached the service
            outcome, detail = Outcome.FAILED, "the proxy asks for credentials (HTTP 407)"
        case 408 | 425:  # "again", in the words of HTTP: about time, not content
            pass
        case 429:
            outcome, detail = Outcome.FAILED, "too many concurrent requests (HTTP 429)"
        case _ if 300 <= meant < 400:
            outcome, detail = (
                Outcome.FAILED,
                f"HTTP {status} redirects, which segctl does not follow",
            )
        case _ if 400 <= meant < 500:
            outcome, detail = Outcome.REFUSED, words or f"HTTP {status} without a reason"
        case _ if 200 <= meant < 300 and not words:
            detail = f"HTTP {status} without a readable confirmation"
    return Answer(
        outcome=outcome,
        status=status,
        stop=meant in {401, 403},
        detail=detail,
        throttled=int(meant == 429),
    )


def _uncertain(status: int, detail: str) -> Answer:
    return Answer(outcome=Outcome.UNCERTAIN, status=status, detail=detail)


def _class(status: int, document: Any) -> int:
    """Give the HTTP status whose class an answer is in, which the body may tell better.

    Code 100 may come with HTTP 400 or, as errors do in the older calls, with 200.
    """
    code = _number(document.get("code")) if isinstance(document, dict) else None
    if status == 400 and code in {401, 403, 429}:
        return code
    if 200 <= status < 300:
        fails = code is not None and document.get("success") is not True and _complains(document)
        if fails and code == _TOO_MUCH:
            return 400
        if fails and code is not None and 400 <= code < 500:
            return code
    return status


def _words(document: Any) -> str:
    """Find the sentence in an error body; HTML and other surprises are not quoted."""
    if isinstance(document, str):
        return document
    if isinstance(document, list):
        return _words(document[0]) if document else ""
    if isinstance(document, dict):
        for name in (*_WORDS, *_COMPLAINTS):
            if words := _words(document.get(name)):
                return words
    return ""


def _with_exists(answer: Answer, document: Any) -> Answer:
    """Mark a create that was refused as a duplicate."""
    if answer.outcome is Outcome.REFUSED and _class(answer.status or 0, document) == 409:
        return replace(answer, exists=True)
    refused = answer.outcome is Outcome.REFUSED or (
        answer.outcome is Outcome.UNCERTAIN and 200 <= (answer.status or 0) < 300
    )
    if refused and isinstance(document, dict) and _DUPLICATE.search(_words(document)):
        return replace(answer, outcome=Outcome.REFUSED, exists=True)
    return answer


def _rows(document: Any) -> list[Any] | None:
    """Find the created segments in an answer, ``None`` where it lists none."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return None
    for name in _LISTS:
        if (rows := _rows(document.get(name))) is not None:
            return rows
    named = any(name in document for name in (*_IDS, "customer_segment_id"))
    return [document] if named or _complains(document) else None


def _judge_rows(
    status: int, rows: list[Any], sent: Sequence[NewSegment], hidden: Collection[str]
) -> Answer:
    if len(rows) != len(sent):
        return _uncertain(status, f"HTTP {status} names {len(rows)} of {len(sent)} segments")
    failed = [row for row in rows if isinstance(row, dict) and _complains(row)]
    if failed:
        made = _made(rows, failed, sent)
        return _judge_failed(status, failed, made, sent=len(sent), hidden=hidden)
    told = {k for row in rows if isinstance(row, dict) and (k := _text(row, "customer_segment_id"))}
    if told - {segment.customer_segment_id for segment in sent}:
        return _uncertain(status, f"HTTP {status} names other segments than were sent")
    return Answer(outcome=Outcome.ACKNOWLEDGED, status=status, ids=_ids(rows, sent))


def _made(
    rows: Sequence[Any], failed: Sequence[Mapping[str, Any]], sent: Sequence[NewSegment]
) -> dict[str, int] | None:
    """Give the segments that an answer with some failed rows says are there, and their ids.

    ``None`` unless the rows name every segment that was sent, each once: an answer that
    leaves one open tells nothing of the others either.
    """
    names = [_text(row, "customer_segment_id") for row in rows if isinstance(row, dict)]
    if sorted(n for n in names if n) != sorted(s.customer_segment_id for s in sent):
        return None
    good = [row for row in rows if row not in failed]
    ids = {str(row["customer_segment_id"]): _row_id(row) for row in good}
    return {key: number for key, number in ids.items() if number is not None}


def _judge_failed(
    status: int,
    failed: Sequence[Mapping[str, Any]],
    made: Mapping[str, int] | None,
    *,
    sent: int,
    hidden: Collection[str],
) -> Answer:
    answers = [_with_exists(_judge_rest(status, row, hidden), row) for row in failed]
    first = answers[0]
    alike = len({(a.outcome, a.stop, a.throttled) for a in answers}) == 1
    if len(failed) == sent and alike:
        return replace(first, exists=all(a.exists for a in answers))
    said = masked_words(
        f"HTTP {status} fails {len(failed)} of {sent} segments: {first.detail}", hidden
    )
    if made and len(made) + len(failed) == sent and not any(a.stop or a.throttled for a in answers):
        # Each segment is named: what is there is there, and the rest is asked for alone.
        return Answer(outcome=Outcome.REFUSED, status=status, detail=said, ids=made)
    return _uncertain(status, said)


def _text(row: Mapping[str, Any], *names: str) -> str | None:
    return next((v for name in names if isinstance(v := row.get(name), str) and v), None)


def _ids(rows: Sequence[Any], sent: Sequence[NewSegment]) -> dict[str, int]:
    """Match CleverTap's ids to the segments sent: by customer id, else name, else position.

    Only as many rows as were sent get here.  Ids that two segments share are
    contradictory, and none is taken.
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
    name = _text(row, "segment_name", "name")
    return _text(row, "customer_segment_id") or (by_name.get(name) if name else None)


def _row_id(row: Any) -> int | None:
    if not isinstance(row, dict):
        return _positive(row)
    key = row.get("customer_segment_id")
    numbers = (_positive(row.get(name)) for name in _IDS if row.get(name) != key)
    return next((number for number in numbers if number is not None), None)


def _positive(value: Any) -> int | None:
    number = _number(value)
    return number if number is not None and 0 < number < 1 << 63 else None
