"""The segments under ``/emulator/v1/segments``: list, seed, delete, members."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.bodies import read_json
from segctl.emulator.control.parameters import account_of, only_account_of, service_of
from segctl.emulator.control.responses import array_in_turns, in_pieces, stream_lines
from segctl.emulator.control.routing import Endpoint, routes_of
from segctl.emulator.control.seeding import parse_seed, seed
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.reading.events import iso
from segctl.emulator.service import Service
from segctl.emulator.storage.members import sorted_users
from segctl.emulator.storage.state import Account, Segment

SEGMENTS_PER_PIECE = 200


def describe(service: Service, account: Account, segment: Segment) -> dict[str, Any]:
    """Return a segment as the list shows it."""
    members, reachable = service.store.members_at(account, segment, service.visible_until())
    return {
        "ct_segment_id": segment.id,
        "customer_segment_id": segment.customer_id,
        "segment_name": segment.name,
        "category": segment.category,
        "members": len(members),
        "reachable": reachable,
        "deleted": segment.is_deleted,
        "created_at": iso(segment.created_at),
        "account": account.id,
        "used_by": [
            {
                "id": campaign.id,
                "name": campaign.definition.name,
                "kind": campaign.definition.kind,
                "status": campaign.status,
            }
            for campaign in service.engagement.store.used_by(segment.id)
        ],
    }


def describe_all(service: Service, account: Account | None) -> list[dict[str, Any]]:
    """Return the segments of one account or, if None, of all, oldest first."""
    return list(chain.from_iterable(described_pieces(service, account)))


def described_pieces(service: Service, account: Account | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the segments of ``describe_all`` in pieces of a few milliseconds."""
    accounts = list(service.store.accounts.values()) if account is None else [account]
    segments = [(each, segment) for each in accounts for segment in each.segments.values()]
    for piece in in_pieces(segments, SEGMENTS_PER_PIECE):
        yield [describe(service, *each) for each in piece]


async def list_segments(request: Request) -> Response:
    """List every segment, including deleted ones."""
    pieces = described_pieces(service_of(request), account_of(request))
    return Response(await array_in_turns(pieces), media_type="application/json")


async def seed_segment(request: Request) -> Response:
    """Create a segment as the dashboard or a partner does, with its members."""
    service, account = service_of(request), only_account_of(request)
    document = await read_json(request, settings=service.settings)
    name, category, users = parse_seed(document)
    segment = await seed(service, account.id, name=name, category=category, users=users)
    return JSONResponse(describe(service, account, segment))


async def show_segment(request: Request) -> Response:
    """Show one segment."""
    return JSONResponse(describe(service_of(request), *segment_of(request)))


async def list_members(request: Request) -> Response:
    """List the members of a segment, sorted by kind and value."""
    service = service_of(request)
    account, segment = segment_of(request)
    if request.query_params.get("format", "ndjson") != "ndjson":
        raise bad_request("format must be ndjson")
    members, _ = service.store.members_at(account, segment, service.visible_until())
    # A copy: later changes are not in the list.
    pieces = sorted_users(account.profiles, members.copy())
    return stream_lines(request, ([{user.kind: user.value} for user in piece] for piece in pieces))


async def delete_segment(request: Request) -> Response:
    """Delete a segment as the dashboard does."""
    account, segment = segment_of(request)
    service = service_of(request)
    service.delete_segments([(account, segment)])
    return JSONResponse(describe(service, account, segment))


async def delete_segments(request: Request) -> Response:
    """Delete several segments as the dashboard does: all of them or none."""
    service = service_of(request)
    document = await read_json(request, settings=service.settings)
    ids = document.get("ct_segment_ids") if isinstance(document, dict) else None
    if not isinstance(ids, list) or not all(type(each) is int for each in ids):
        raise bad_request("ct_segment_ids must be an array of integers")
    found = [_find_segment(request, segment_id) for segment_id in dict.fromkeys(ids)]
    service.delete_segments(found)
    return JSONResponse([describe(service, account, segment) for account, segment in found])


def segment_of(request: Request) -> tuple[Account, Segment]:
    """Return the segment of the path; raises RequestError 404."""
    return _find_segment(request, request.path_params["ct_segment_id"])


def _find_segment(request: Request, segment_id: int) -> tuple[Account, Segment]:
    account = account_of(request) if request.query_params.get("account") else None
    found = service_of(request).store.find_segment(segment_id)
    if found is None or account not in {None, found[0]}:
        raise RequestError(404, "no such segment")
    return found


ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/segments": {"GET": list_segments, "POST": seed_segment},
    "/segments/delete": {"POST": delete_segments},
    "/segments/{ct_segment_id:segment_id}": {"GET": show_segment, "DELETE": delete_segment},
    "/segments/{ct_segment_id:segment_id}/members": {"GET": list_members},
}
"""The endpoints by path, below ``PREFIX``, and method."""


def routes() -> list[Route]:
    """Return the routes of the segments."""
    return routes_of(ENDPOINTS)
