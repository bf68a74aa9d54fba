"""All pages: their routes, and the assets they load."""

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.pages import (
    campaigns,
    error_pages,
    event_pages,
    faults_page,
    requests,
    segments,
    settings_page,
    users,
)
from segctl.emulator.pages.rendering import note_versions

ASSETS = Path(__file__).parent / "assets"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def asset(request: Request) -> Response:
    """Serve a style sheet, a script or an image."""
    name = request.path_params["name"]
    if name not in assets():
        return Response(status_code=404)
    return Response(
        assets()[name],
        media_type=MEDIA_TYPES[Path(name).suffix],
        headers={"cache-control": "no-cache"},
    )


@cache
def assets() -> dict[str, bytes]:
    """Return all assets by name, so that a path can only select one of them."""
    return {each.name: each.read_bytes() for each in ASSETS.iterdir() if each.suffix in MEDIA_TYPES}


def page_route(route: Route) -> Route:
    """Return the route of a page that notes what is known before it reads."""

    async def endpoint(request: Request) -> Response:
        note_versions(request)
        response: Response = await route.endpoint(request)
        return response

    return Route(route.path, endpoint)


def routes() -> list[Route]:
    """Return the routes of the pages and their assets."""
    pages = [
        *segments.routes(),
        *users.routes(),
        *event_pages.routes(),
        *campaigns.routes(),
        *error_pages.routes(),
        *requests.routes(),
        *settings_page.routes(),
        *faults_page.routes(),
    ]
    return [*map(page_route, pages), Route("/assets/{name}", asset)]
