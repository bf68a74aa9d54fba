"""createSegment: parse the request, decide which segments to create, answer.

Documented: a name is required, and unique within a request; a customer id is unique
across all requests; 100 segments a request, 2,500 an account.  The overview page calls the
customer id optional, createSegment's own page calls it required: a switch.  The pages do
not show what breaking a rule answers, nor the successful answer; switches say what we
assume.  Texts of errors are those of updateSegment's page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from segctl.emulator.bodies import is_text
from segctl.emulator.calls.vendor_call import (
    SUCCESS,
    VendorRequest,
    code_100,
    json_response,
)
from segctl.emulator.errors import TOO_MANY_SEGMENTS, RequestError, bad_request
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.changes import NewSegment
from segctl.emulator.storage.state import Account, Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateEntry:
    """A segment of a create request, unchecked."""

    name: Any
    customer_id: Any
    """None if it is absent, null or empty."""


Decision = NewSegment | Segment | RequestError
"""Create this segment, answer with the existing one, or refuse."""


def create_segment(service: Service, request: VendorRequest) -> Response:
    """Handle a createSegment request."""
    settings = service.settings
    entries = parse_create(request.document, settings=settings)
    decisions = decide(request.account, entries, settings=settings)
    errors = [each for each in decisions if isinstance(each, RequestError)]
    if errors and (settings.create_processing == "all_or_nothing" or len(errors) == len(entries)):
        raise errors[0]
    created = iter(
        service.store.create(
            request.account,
            [each for each in decisions if isinstance(each, NewSegment)],
            agent=request.agent,
        )
    )
    results = [next(created) if isinstance(each, NewSegment) else each for each in decisions]
    return json_response(
        _answer(entries, results, settings=settings), status=settings.create_status
    )


def parse_create(document: Any, *, settings: Settings) -> list[CreateEntry]:
    """Read a createSegment body; raises RequestError if it is invalid as a whole."""
    if isinstance(document, dict) and settings.create_body != "array":
        document = document.get("segments")
    elif settings.create_body == "wrapped":
        raise bad_request("the body must be an object with a segments array")
    if not isinstance(document, list):
        raise bad_request("the body must be an array of segments")
    if not document:
        raise bad_request("no segments are provided")
    if len(document) > settings.max_create_entries:
        raise code_100(TOO_MANY_SEGMENTS.format(limit=settings.max_create_entries), settings)
    if not all(isinstance(each, dict) for each in document):
        raise bad_request("an item of the segments array is not an object")
    return [
        CreateEntry(
            name=each.get("segment_name"),
            # An empty id is an absent one, as in updateSegment.
            customer_id=None if (key := each.get("customer_segment_id")) == "" else key,
        )
        for each in document
    ]


def decide(
    account: Account, entries: Sequence[CreateEntry], *, settings: Settings
) -> list[Decision]:
    """Return a decision for each entry, in order."""
    used = UsedKeys()
    if settings.duplicate_name_in_account == "refuse":
        used.account_names.update(
            segment.name for segment in account.segments.values() if not segment.is_deleted
        )
    count = account.count_towards_limit(
        all_categories=settings.segment_cap_scope == "all",
        with_deleted=settings.segment_cap_counts == "ever_created",
    )
    decisions: list[Decision] = []
    for entry in entries:
        try:
            decision: Decision = _decide(account, entry, used=used, settings=settings)
            if isinstance(decision, NewSegment) and count >= settings.max_segments:
                raise bad_request(f"an account has at most {settings.max_segments} segments")
        except RequestError as error:
            decision = error
        if isinstance(decision, NewSegment):
            count += 1
            if settings.duplicate_name_in_request == "refuse":
                used.names.add(decision.name)
            if decision.customer_id is not None:
                used.customer_ids.add(decision.customer_id)
        decisions.append(decision)
    return decisions


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedKeys:
    """Names and customer ids that an entry must not use."""

    account_names: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    """Names of earlier entries of the request."""
    customer_ids: set[str] = field(default_factory=set)
    """Customer ids of earlier entries of the request."""


def _decide(
    account: Account, entry: CreateEntry, *, used: UsedKeys, settings: Settings
) -> NewSegment | Segment:
    if not is_text(entry.name):
        raise bad_request("segment_name is required, a string that is not blank")
    if entry.name in used.names:
        raise bad_request("segment_name must be unique within the request")
    if entry.name in used.account_names:
        raise RequestError(settings.duplicate_status, "segment_name already exists")
    new = NewSegment(name=entry.name, customer_id=entry.customer_id)
    if entry.customer_id is None and settings.missing_customer_id == "accept":
        return new
    if not is_text(entry.customer_id):
        verb = "is required," if entry.customer_id is None else "must be"
        raise bad_request(f"customer_segment_id {verb} a string that is not blank")
    known = account.by_customer_id.get(entry.customer_id)
    if entry.customer_id not in used.customer_ids:
        if known is None:
            return new
        if known.is_deleted and settings.reuse_deleted_customer_id == "accept":
            return new
        if not known.is_deleted and settings.duplicate_customer_id == "return_existing":
            return known
    raise RequestError(settings.duplicate_status, "customer_segment_id already exists")


def _answer(
    entries: Sequence[CreateEntry],
    results: Sequence[Segment | RequestError],
    *,
    settings: Settings,
) -> Any:
    if settings.create_answer == "success_only":
        return SUCCESS
    lines = [
        _answer_line(entry, result, settings=settings)
        for entry, result in zip(entries, results, strict=True)
    ]
    return lines if settings.create_answer == "array" else {**SUCCESS, "segments": lines}


def _answer_line(
    entry: CreateEntry, result: Segment | RequestError, *, settings: Settings
) -> dict[str, Any]:
    if isinstance(result, RequestError):
        return {
            "segment_name": entry.name,
            "customer_segment_id": entry.customer_id,
            **result.body(),
        }
    is_text = settings.create_id_type == "string"
    return {
        settings.create_id_field: str(result.id) if is_text else result.id,
        "segment_name": result.name,
        "customer_segment_id": result.customer_id,
    }
