"""What is ours, under ``/emulator/v1/``: reads, deletion, settings, faults, reset.

None of this exists at the vendor.  It shows what the dashboard would show, and
more, so that a test can check what a client did.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from segctl.emulator.bodies import incorrect, read_json
from segctl.emulator.error_stream import as_csv, read_refusals
from segctl.emulator.errors import InvalidSettingsError, RequestError
from segctl.emulator.events import iso, read_events
from segctl.emulator.faults import FAULTS, parse_plan
from segctl.emulator.membership import ERROR_TYPES, NO_SEGMENT_ID
from segctl.emulator.openapi import document
from segctl.emulator.service import Service, account_by_name
from segctl.emulator.settings import Settings
from segctl.emulator.state import Account, Segment

PREFIX = "/emulator/v1"
NDJSON = "application/x-ndjson"
LINES_AT_ONCE = 2000
LARGEST_NUMBER = 2**53

Endpoint = Callable[[Request], Awaitable[Response]]


class SegmentId(Convertor[int]):
    """A segment's id in a path: Starlette's own ``int`` fails on thousands of digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Read the id."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Write the id."""
        return str(value)


register_url_convertor("segment_id", SegmentId())


def service_of(request: Request) -> Service:
    """Return the service that the application was made with."""
    service: Service = request.app.state.service
    return service


def account_of(request: Request) -> Account | None:
    """Return the account that ``?account=`` names; None means all of them."""
    return account_by_name(service_of(request), request.query_params.get("account"))


def number_of(request: Request, name: str, default: int) -> int:
    """Return a whole number from the query; raises RequestError 400."""
    text = request.query_params.get(name)
    if text is None:
        return default
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_NUMBER))
    if not plain or int(text) > LARGEST_NUMBER:
        raise incorrect(f"{name} must be a whole number from 0 to {LARGEST_NUMBER}")
    return int(text)


def segment_of(request: Request) -> tuple[Account, Segment]:
    """Return the segment of the path; raises RequestError 404."""
    found = service_of(request).store.segment(request.path_params["ct_segment_id"])
    if found is None:
        raise RequestError(status=404, code=404, text="no such segment")
    return found


def lines(documents: Iterable[Any]) -> Response:
    """Return documents one a line, leaving the loop to others now and then."""

    async def pieces() -> AsyncIterator[str]:
        source = iter(documents)
        while piece := list(islice(source, LINES_AT_ONCE)):
            yield "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in piece)

    return StreamingResponse(pieces(), media_type=NDJSON)


def describe(service: Service, account: Account, segment: Segment) -> dict[str, Any]:
    """Return one segment as the list shows it."""
    members, reachable = service.store.seen(account, segment, until=service.visible_until())
    return {
        "ct_segment_id": segment.id,
        "customer_segment_id": segment.customer_id,
        "segment_name": segment.name,
        "members": len(members),
        "reachable": reachable,
        "deleted": segment.deleted,
        "created_at": iso(segment.created_at),
        "account": account.id,
    }


def describe_all(service: Service, account: Account | None) -> list[dict[str, Any]]:
    """Return all segments, oldest first."""
    accounts = service.store.accounts.values() if account is None else [account]
    return [
        describe(service, each, segment) for each in accounts for segment in each.segments.values()
    ]


async def list_segments(request: Request) -> Response:
    """List every segment, deleted ones too."""
    return JSONResponse(describe_all(service_of(request), account_of(request)))


async def show_segment(request: Request) -> Response:
    """Show one segment."""
    return JSONResponse(describe(service_of(request), *segment_of(request)))


async def list_members(request: Request) -> Response:
    """List the members of a segment, by kind and value."""
    service = service_of(request)
    account, segment = segment_of(request)
    members, _ = service.store.seen(account, segment, until=service.visible_until())
    users = sorted(account.profiles.user(number) for number in members)
    kind = request.query_params.get("format", "ndjson")
    if kind == "ndjson":
        return lines({user.kind: user.value} for user in users)
    raise incorrect("format must be ndjson")


async def delete_segment(request: Request) -> Response:
    """Do what the dashboard does to one segment."""
    account, segment = segment_of(request)
    service = service_of(request)
    service.store.delete(account, [segment])
    return JSONResponse(describe(service, account, segment))


async def delete_segments(request: Request) -> Response:
    """Do what the dashboard does to several segments at once: all of them or none."""
    service = service_of(request)
    document = await read_json(request, settings=service.settings)
    numbers = document.get("ct_segment_ids") if isinstance(document, dict) else None
    if not isinstance(numbers, list) or not all(type(each) is int for each in numbers):
        raise incorrect("ct_segment_ids must be an array of integers")
    found = [service.store.segment(number) for number in dict.fromkeys(numbers)]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        raise RequestError(status=404, code=404, text="no such segment")
    for account in {id(account): account for account, _ in known}.values():
        service.store.delete(account, [segment for owner, segment in known if owner is account])
    return JSONResponse([describe(service, account, segment) for account, segment in known])


async def error_stream(request: Request) -> Response:
    """List the skipped entries, as JSON or CSV, filtered by type, segment or user."""
    query = request.query_params
    if query.get("type", NO_SEGMENT_ID) not in ERROR_TYPES:
        raise incorrect(f"type must be one of {', '.join(ERROR_TYPES)}")
    found = read_refusals(
        service_of(request),
        account=account_of(request),
        kind=query.get("type"),
        segment=query.get("segment_id"),
        customer_id=query.get("customer_segment_id"),
        user=query.get("user"),
    )
    kind = query.get("format", "json")
    if kind == "csv":
        return Response(
            as_csv(found),
            media_type="text/csv",
            headers={"content-disposition": 'attachment; filename="error-stream.csv"'},
        )
    if kind != "json":
        raise incorrect("format must be json or csv")
    return JSONResponse(list(found))


async def list_events(request: Request) -> Response:
    """List Segment Membership Change events from number ``start`` on."""
    service = service_of(request)
    events = read_events(service, account=account_of(request), start=number_of(request, "start", 1))
    limit = number_of(request, "limit", LARGEST_NUMBER)
    return lines(event.line() for event in islice(events, limit))


async def stats(request: Request) -> Response:
    """Show the figures."""
    return JSONResponse(service_of(request).stats(account_of(request)))


async def get_settings(request: Request) -> Response:
    """Show the settings in force."""
    return JSONResponse(service_of(request).settings.document())


async def put_settings(request: Request) -> Response:
    """Change the settings that the body names; the others stay."""
    service = service_of(request)
    document = await read_json(request, settings=Settings())
    service.change_settings(service.settings.changed(document))
    return JSONResponse(service.settings.document())


async def delete_settings(request: Request) -> Response:
    """Go back to the defaults."""
    service = service_of(request)
    service.change_settings(Settings())
    return JSONResponse(service.settings.document())


def _faults(service: Service) -> dict[str, Any]:
    faults = service.faults
    return {**faults.plan.document(), "injected": {name: faults.injected[name] for name in FAULTS}}


async def get_faults(request: Request) -> Response:
    """Show the fault plan in force, and how often each fault struck."""
    return JSONResponse(_faults(service_of(request)))


async def put_faults(request: Request) -> Response:
    """Put a fault plan in the place of the one in force; ``{}`` ends all faults."""
    service = service_of(request)
    document = await read_json(request, settings=Settings())
    service.change_faults(parse_plan(document, seed=service.seed))
    return JSONResponse(_faults(service))


async def reset(request: Request) -> Response:
    """Make it empty again; settings and faults stay."""
    service = service_of(request)
    service.reset()
    return JSONResponse(service.stats(None))


async def openapi(_request: Request) -> Response:
    """Describe all of this for programs."""
    return JSONResponse(document(prefix=PREFIX))


def invalid_settings(_request: Request, error: Exception) -> Response:
    """Name every problem of a settings or faults document."""
    problems = list(error.problems) if isinstance(error, InvalidSettingsError) else []
    return JSONResponse(
        {"status": "fail", "error": str(error), "code": 400, "problems": problems},
        status_code=400,
    )


def routes() -> list[Route]:
    """Return all of them, under their prefix."""
    table: list[tuple[str, str, Endpoint]] = [
        ("GET", "/segments", list_segments),
        ("POST", "/segments/delete", delete_segments),
        ("GET", "/segments/{ct_segment_id:segment_id}", show_segment),
        ("DELETE", "/segments/{ct_segment_id:segment_id}", delete_segment),
        ("GET", "/segments/{ct_segment_id:segment_id}/members", list_members),
        ("GET", "/error-stream", error_stream),
        ("GET", "/events", list_events),
        ("GET", "/stats", stats),
        ("GET", "/settings", get_settings),
        ("PUT", "/settings", put_settings),
        ("DELETE", "/settings", delete_settings),
        ("GET", "/faults", get_faults),
        ("PUT", "/faults", put_faults),
        ("POST", "/reset", reset),
        ("GET", "/openapi.json", openapi),
    ]
    by_path: dict[str, dict[str, Endpoint]] = {}
    for method, path, endpoint in table:
        by_path.setdefault(path, {})[method] = endpoint
    return [
        Route(PREFIX + path, by_method(endpoints), methods=list(endpoints))
        for path, endpoints in by_path.items()
    ]


def by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    """Return one endpoint for a path, so that its methods are known together."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
