"""The pages of events and of the Error Stream."""

from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.endpoints import service_of
from segctl.emulator.errors import ERROR_TYPES
from segctl.emulator.pages.rendering import ROWS, chosen_account, render
from segctl.emulator.storage.error_stream import read_error_stream
from segctl.emulator.storage.events import newest_events


async def events(request: Request) -> Response:
    """Show the newest events."""
    account = chosen_account(request)
    events = newest_events(service_of(request), account=account, limit=ROWS)
    return render("events.html", request, account=account, events=events)


async def errors(request: Request) -> Response:
    """Show the newest skipped entries, filtered by type and user."""
    account = chosen_account(request)
    error_type = request.query_params.get("type", "")
    user = request.query_params.get("user", "")
    entries = read_error_stream(
        service_of(request),
        account=account,
        error_type=error_type or None,
        user=user or None,
        newest_first=True,
    )
    return render(
        "errors.html",
        request,
        account=account,
        error_types=ERROR_TYPES,
        error_type=error_type,
        user=user,
        entries=list(islice(entries, ROWS)),
    )


def routes() -> list[Route]:
    """Return the routes of both."""
    return [Route("/events", events), Route("/errors", errors)]
