"""The emulator's own API under ``/emulator/v1/``: reads, deletion, settings, faults, reset.

The vendor has none of it.  It shows what the dashboard would show, and more, so that a
test can check what a client did.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.bodies import read_json
from segctl.emulator.control.csv_text import csv_pieces, is_guarded
from segctl.emulator.control.openapi import openapi_document
from segctl.emulator.control.openapi_activity import activity_paths
from segctl.emulator.control.openapi_campaigns import campaign_paths
from segctl.emulator.control.openapi_other_writer import other_writer_paths
from segctl.emulator.control.openapi_reading import reading_paths
from segctl.emulator.control.responses import (
    array_in_turns,
    in_pieces,
    limited,
    stream_array,
    stream_lines,
    stream_text,
)
from segctl.emulator.control.seeding import parse_seed, seed
from segctl.emulator.errors import (
    ERROR_TYPES,
    InvalidSettingsError,
    RequestError,
    bad_request,
)
from segctl.emulator.faults import FAULTS, parse_plan
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.applies import read_applies
from segctl.emulator.storage.events import event_pieces, iso
from segctl.emulator.storage.members import sorted_users
from segctl.emulator.storage.skipped_entries import COLUMNS, SkippedFilter, skipped_pieces
from segctl.emulator.storage.state import Account, Segment

PREFIX = "/emulator/v1"
SEGMENTS_PER_PIECE = 200
MAX_NUMBER = 2**53
APPLIES = 100
MAX_APPLIES = 1000

Endpoint = Callable[[Request], Awaitable[Response]]


class SegmentId(Convertor[int]):
    """A segment's id in a path: Starlette's own ``int`` fails on thousands of digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the id."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the id as text."""
        return str(value)


register_url_convertor("segment_id", SegmentId())


# -- requests -----------------------------------------------------------------


def service_of(request: Request) -> Service:
    """Return the service of the application."""
    service: Service = request.app.state.service
    return service


def account_of(request: Request) -> Account | None:
    """Return the account of ``?account=``, or None for all; raises RequestError 404."""
    return service_of(request).find_account(request.query_params.get("account"))


def visible_accounts(request: Request) -> list[str]:
    """Return the ids of the accounts that the client may see, sorted."""
    service = service_of(request)
    if service.requires_passcode:
        return [request.query_params["account"]]
    return sorted(service.store.accounts)


def only_account_of(request: Request) -> Account:
    """Return the account of ``?account=``, or the only one there is.

    Raises RequestError: 404 for an unknown account, 400 if none is named and there are
    several.
    """
    account = account_of(request)
    if account is not None:
        return account
    accounts = service_of(request).store.accounts
    if len(accounts) != 1:
        raise bad_request("there are several accounts: name one with ?account=")
    return next(iter(accounts.values()))


def parse_number(text: str) -> int | None:
    """Return the text as a whole number up to ``MAX_NUMBER``, or None if it is not one."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_NUMBER))
    return int(text) if is_number and int(text) <= MAX_NUMBER else None


def number_of(request: Request, name: str, default: int) -> int:
    """Return a whole number of the query; raises RequestError 400."""
    text = request.query_params.get(name)
    number = default if text is None else parse_number(text)
    if number is None:
        raise bad_request(f"{name} must be a whole number from 0 to {MAX_NUMBER}")
    return number


def segment_of(request: Request) -> tuple[Account, Segment]:
    """Return the segment of the path; raises RequestError 404."""
    return _find_segment(request, request.path_params["ct_segment_id"])


def _find_segment(request: Request, segment_id: int) -> tuple[Account, Segment]:
    account = account_of(request) if request.query_params.get("account") else None
    found = service_of(request).store.find_segment(segment_id)
    if found is None or account not in {None, found[0]}:
        raise RequestError(404, "no such segment")
    return found


# -- responses ----------------------------------------------------------------


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


def _describe_faults(service: Service) -> dict[str, Any]:
    faults = service.faults
    return {**faults.plan.document(), "injected": {name: faults.injected[name] for name in FAULTS}}


# -- endpoints ----------------------------------------------------------------


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
    # A copy, so that the list is that of one moment.
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


async def error_stream(request: Request) -> Response:
    """List the skipped entries, as JSON or CSV, filtered by type, segment or user.

    ``start`` entries are left out, and at most ``limit`` are listed.
    """
    query = request.query_params
    error_type = query.get("type")
    if error_type is not None and error_type not in ERROR_TYPES:
        raise bad_request(f"type must be one of {', '.join(ERROR_TYPES)}")
    account = account_of(request)
    chosen = SkippedFilter(
        account=None if account is None else account.number,
        type=error_type,
        segment_id=query.get("segment_id"),
        customer_id=query.get("customer_segment_id"),
        user=query.get("user"),
    )
    found = limited(
        skipped_pieces(service_of(request), chosen),
        skip=number_of(request, "start", 0),
        limit=number_of(request, "limit", MAX_NUMBER),
    )
    pieces = ([entry.line() for entry in piece] for piece in found)
    guarded = is_guarded(request)
    match query.get("format", "json"):
        case "csv":
            return stream_text(
                request,
                csv_pieces(pieces, columns=COLUMNS, guarded=guarded),
                media_type="text/csv",
                headers={"content-disposition": 'attachment; filename="error-stream.csv"'},
            )
        case "json":
            return stream_array(request, pieces)
        case _:
            raise bad_request("format must be json or csv")


async def list_events(request: Request) -> Response:
    """List Segment Membership Change events from number ``start`` on."""
    pieces = event_pieces(
        service_of(request), account=account_of(request), start=number_of(request, "start", 1)
    )
    found = limited(pieces, limit=number_of(request, "limit", MAX_NUMBER))
    return stream_lines(request, ([event.line() for event in piece] for piece in found))


async def list_applies(request: Request) -> Response:
    """List applies, newest first: ``limit`` of them, numbered below ``before``."""
    service = service_of(request)
    account = account_of(request)
    found = read_applies(
        service.store.database.connection,
        account=None if account is None else account.number,
        before=number_of(request, "before", MAX_NUMBER),
        limit=min(number_of(request, "limit", APPLIES), MAX_APPLIES),
    )
    accounts = service.store.accounts_by_number()
    return JSONResponse(
        [
            {
                "number": each.number,
                "account": accounts[each.account].id,
                "agent": each.agent,
                "label": each.label,
                "first": iso(each.first),
                "last": iso(each.last),
                "requests": each.requests,
                "events": each.events,
                "skipped": each.skipped,
            }
            for each in found
        ]
    )


async def stats(request: Request) -> Response:
    """Show the figures."""
    return JSONResponse(service_of(request).stats(account_of(request)))


async def health(request: Request) -> Response:
    """Answer 200 if the data can be read."""
    service_of(request).store.database.get_meta("settings")
    return JSONResponse({"status": "ok"})


async def get_settings(request: Request) -> Response:
    """Show the settings in force."""
    return JSONResponse(service_of(request).settings.document())


async def put_settings(request: Request) -> Response:
    """Change the settings that the body names; the others stay."""
    service = service_of(request)
    document = await read_json(request, settings=Settings())
    service.change_settings(service.settings.changed(document))
    return await get_settings(request)


async def delete_settings(request: Request) -> Response:
    """Reset all settings to their defaults."""
    service_of(request).change_settings(Settings())
    return await get_settings(request)


async def get_faults(request: Request) -> Response:
    """Show the fault plan in force, and how often each fault was injected."""
    return JSONResponse(_describe_faults(service_of(request)))


async def put_faults(request: Request) -> Response:
    """Replace the fault plan; ``{}`` ends all faults."""
    service = service_of(request)
    document = await read_json(request, settings=Settings())
    service.change_faults(parse_plan(document, seed=service.seed))
    return await get_faults(request)


async def reset(request: Request) -> Response:
    """Delete all data; settings and faults stay."""
    service = service_of(request)
    service.reset()
    return JSONResponse(service.stats(None))


async def openapi(_request: Request) -> Response:
    """Show the OpenAPI document."""
    return JSONResponse(
        openapi_document(
            prefix=PREFIX,
            reading_paths=reading_paths(),
            more_paths={**campaign_paths(), **other_writer_paths(), **activity_paths()},
        )
    )


def refuse_settings(_request: Request, error: Exception) -> Response:
    """Answer invalid settings, or an invalid fault plan, with all their problems."""
    problems = list(error.problems) if isinstance(error, InvalidSettingsError) else []
    return JSONResponse(
        {**RequestError(400, str(error)).body(), "problems": problems}, status_code=400
    )


# -- routes -------------------------------------------------------------------

ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/segments": {"GET": list_segments, "POST": seed_segment},
    "/segments/delete": {"POST": delete_segments},
    "/segments/{ct_segment_id:segment_id}": {"GET": show_segment, "DELETE": delete_segment},
    "/segments/{ct_segment_id:segment_id}/members": {"GET": list_members},
    "/error-stream": {"GET": error_stream},
    "/events": {"GET": list_events},
    "/applies": {"GET": list_applies},
    "/stats": {"GET": stats},
    "/health": {"GET": health},
    "/settings": {"GET": get_settings, "PUT": put_settings, "DELETE": delete_settings},
    "/faults": {"GET": get_faults, "PUT": put_faults},
    "/reset": {"POST": reset},
    "/openapi.json": {"GET": openapi},
}
"""The endpoints by path, below ``PREFIX``, and method."""


def routes() -> list[Route]:
    """Return the routes of all endpoints."""
    return [
        Route(PREFIX + path, dispatch(endpoints), methods=list(endpoints))
        for path, endpoints in ENDPOINTS.items()
    ]


def dispatch(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """Return one endpoint for all methods of a path, so that a 405 lists all of them."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
