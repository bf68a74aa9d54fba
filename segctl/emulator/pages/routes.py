"""The pages' paths."""

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from segctl.emulator.control import account_of, number_of, segment_of, service_of
from segctl.emulator.pages import forms, views

ASSETS = Path(__file__).parent / "assets"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def overview(request: Request) -> Response:
    """Show all segments."""
    name = request.query_params.get("account")
    account = account_of(request) if name else None
    return HTMLResponse(views.overview(service_of(request), account))


async def segment(request: Request) -> Response:
    """Show one segment with its members."""
    account, found = segment_of(request)
    return HTMLResponse(
        views.segment_page(
            service_of(request),
            account,
            found,
            start=number_of(request, "start", 0),
            query=request.query_params.get("q", ""),
        )
    )


async def events(request: Request) -> Response:
    """Show the newest events."""
    return HTMLResponse(views.events_page(service_of(request), account_of(request)))


async def errors(request: Request) -> Response:
    """Show the newest skipped entries."""
    query = request.query_params
    return HTMLResponse(
        views.errors_page(
            service_of(request),
            account_of(request),
            kind=query.get("type", ""),
            user=query.get("user", ""),
        )
    )


async def settings(request: Request) -> Response:
    """Show switches and limits."""
    return HTMLResponse(forms.settings_page(service_of(request)))


async def faults(request: Request) -> Response:
    """Show the fault plan."""
    return HTMLResponse(forms.faults_page(service_of(request)))


async def asset(request: Request) -> Response:
    """Give a style sheet, a script or a picture."""
    name = request.path_params["name"]
    if name not in assets():
        return Response(status_code=404)
    return Response(assets()[name], media_type=MEDIA_TYPES[Path(name).suffix])


@cache
def assets() -> dict[str, bytes]:
    """Return all of them: a closed list, so that no path leads anywhere else."""
    return {each.name: each.read_bytes() for each in ASSETS.iterdir() if each.suffix in MEDIA_TYPES}


def routes() -> list[Route]:
    """Return the pages and what they are dressed in."""
    return [
        Route("/", overview),
        Route("/segments/{ct_segment_id:segment_id}", segment),
        Route("/events", events),
        Route("/errors", errors),
        Route("/settings", settings),
        Route("/faults", faults),
        Route("/assets/{name}", asset),
    ]
