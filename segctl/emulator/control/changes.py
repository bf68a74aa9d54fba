"""What changed: a number for each topic, once or as a live stream.

A page reads itself again when a number changes.  The numbers are small and the same for
every page, so one stream serves all tabs of a browser.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.control.parameters import service_of
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.control.streams import (
    event_stream,
    message,
    subscription,
    wait_for_change,
)

PAUSE_SECONDS = 0.25
"""The least time between two messages of a stream."""


async def show_changes(request: Request) -> Response:
    """Show the number of changes by topic."""
    headers = {"cache-control": "no-store"}
    return JSONResponse(service_of(request).versions, headers=headers)


async def stream_changes(request: Request) -> Response:
    """Send the numbers at every change, and at least at every keep-alive interval."""
    service = service_of(request)

    async def pieces() -> AsyncIterator[str]:
        is_hidden = False
        with subscription(service) as changed:
            while not service.is_closing:
                yield message(service.versions, event="changes")
                has_changed = await wait_for_change(service, changed)
                if is_hidden and not has_changed:
                    # The visibility lag has passed since the last change.
                    service.versions["data"] += 1
                is_hidden = has_changed and service.settings.visibility_lag_ms > 0
                await asyncio.sleep(PAUSE_SECONDS)

    return event_stream(pieces())


def routes() -> list[Route]:
    """Return the routes of the two."""
    return [
        Route(f"{PREFIX}/changes", show_changes, methods=["GET"]),
        Route(f"{PREFIX}/changes/stream", stream_changes, methods=["GET"]),
    ]
