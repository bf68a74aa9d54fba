"""The emulator's own API under ``/emulator/v1/``: lists, settings, faults, reset.

The vendor has none of it.  It shows what the dashboard would show, and more, so that a
test can check what a client did.
"""

from collections.abc import Mapping
from typing import Any

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
from segctl.emulator.control.parameters import (
    MAX_NUMBER,
    account_of,
    number_of,
    service_of,
    visible_settings,
)
from segctl.emulator.control.responses import (
    limited,
    stream_array,
    stream_lines,
    stream_text,
)
from segctl.emulator.control.routing import PREFIX, Endpoint, routes_of
from segctl.emulator.errors import (
    ERROR_TYPES,
    InvalidSettingsError,
    RequestError,
    bad_request,
)
from segctl.emulator.faults import FAULTS, parse_plan
from segctl.emulator.reading.events import event_pieces, iso
from segctl.emulator.reading.skipped_entries import COLUMNS, SkippedFilter, skipped_pieces
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.applies import read_applies

APPLIES = 100
MAX_APPLIES = 1000


def _describe_faults(service: Service) -> dict[str, Any]:
    faults = service.faults
    return {**faults.plan.document(), "injected": {name: faults.injected[name] for name in FAULTS}}


# -- endpoints ----------------------------------------------------------------


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
    return JSONResponse(visible_settings(request).document())


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
    return routes_of(ENDPOINTS)
