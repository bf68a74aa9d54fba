"""``GET /emulator/v1/requests``: the newest requests to the vendor's paths."""

from datetime import tzinfo
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import account_of, number_of, service_of
from segctl.emulator.control.responses import array_in_turns, in_pieces
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.errors import bad_request
from segctl.emulator.faults import CALLS
from segctl.emulator.reading.events import iso
from segctl.emulator.request_log import MAX_REQUESTS, OUTCOMES, LoggedRequest
from segctl.emulator.storage.state import Account

REQUESTS_PER_TURN = 100


def describe_request(request: LoggedRequest, *, zone: tzinfo) -> dict[str, Any]:
    """Return a request as JSON values, its time in the project's zone."""
    return {
        "number": request.number,
        "started": iso(request.started, zone),
        "account": request.account,
        "call": request.call,
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "outcome": request.outcome,
        "ms": request.ms,
        "in_flight": request.in_flight,
        "faults": request.faults,
        "agent": request.agent,
    }


def selected_requests(request: Request, *, account: Account | None) -> list[LoggedRequest]:
    """Return the account's requests that the query selects, the newest first.

    Raises RequestError 400.
    """
    # A form sends an empty value for a filter that is not used.
    call = request.query_params.get("call") or None
    outcome = request.query_params.get("outcome") or None
    status = number_of(request, "status", 0) if request.query_params.get("status") else None
    if call is not None and call not in CALLS:
        raise bad_request(f"call must be one of {', '.join(CALLS)}")
    if outcome is not None and outcome not in OUTCOMES:
        raise bad_request(f"outcome must be one of {', '.join(OUTCOMES)}")
    log = service_of(request).request_log
    return list(
        log.newest_first(
            account=None if account is None else account.id,
            call=call,
            status=status,
            outcome=outcome,
        )
    )


async def list_requests(request: Request) -> Response:
    """List the newest requests, the newest first, those in flight included."""
    limit = number_of(request, "limit", MAX_REQUESTS)
    selected = selected_requests(request, account=account_of(request))
    zone = service_of(request).zone
    pieces = (
        [describe_request(each, zone=zone) for each in piece]
        for piece in in_pieces(selected[:limit], REQUESTS_PER_TURN)
    )
    return Response(await array_in_turns(pieces), media_type="application/json")


def routes() -> list[Route]:
    """Return the route of the list."""
    return [Route(f"{PREFIX}/requests", list_requests, methods=["GET"])]
