"""The application: the vendor's paths exactly, ours beside them."""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from segctl.emulator import control, streams
from segctl.emulator.calls import SYSTEM_ERROR, VendorCall, create_segment, update_segment
from segctl.emulator.errors import InvalidSettingsError, RequestError
from segctl.emulator.get_events import ask_for_events, events_page
from segctl.emulator.get_profile import profile
from segctl.emulator.guard import Guard
from segctl.emulator.messages import fail
from segctl.emulator.pages import routes as pages
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.store import Store
from segctl.emulator.upload import upload
from segctl.emulator.waiting import wait

DEMO_ACCOUNT = "EMULATOR"
DEMO_PASSCODE = "emulator"


def create_app(
    *,
    data: Path | None = None,
    accounts: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = wait,
) -> Starlette:
    """Return the emulated service as an ASGI application.

    ``data`` is the folder that keeps everything, None for memory.  ``accounts``
    maps account ids to passcodes; None is the one demo account.  ``settings``
    None takes those kept in ``data``, else the defaults.  No lifespan is needed.
    Raises DataInUseError if another emulator has the folder, DataFormatError if
    what is in it is not ours.
    """
    store = Store(
        folder=data,
        passcodes={DEMO_ACCOUNT: DEMO_PASSCODE} if accounts is None else accounts,
        clock=clock,
    )
    service = Service(store=store, settings=settings, seed=seed, clock=clock, sleep=sleep)
    app = Starlette(
        routes=[*vendor_routes(service), *control.routes(), *streams.routes(), *pages.routes()],
        middleware=[Middleware(Guard, service=service)],
        exception_handlers={
            RequestError: refused,
            InvalidSettingsError: control.invalid_settings,
            HTTPException: not_served,
            Exception: broken,
        },
    )
    # The vendor's paths exactly: no redirect from a path with one slash more.
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def vendor_routes(service: Service) -> list[BaseRoute]:
    """Return the paths of the vendor's pages."""
    return [
        Route(
            "/api/createSegment",
            VendorCall(
                service,
                name="createSegment",
                handlers={"POST": create_segment},
                limit=lambda settings: settings.max_in_flight,
            ),
            methods=["POST"],
        ),
        Route(
            "/api/updateSegment",
            VendorCall(
                service,
                name="updateSegment",
                handlers={"POST": update_segment},
                limit=lambda settings: settings.max_in_flight,
            ),
            methods=["POST"],
        ),
        Route(
            "/1/events.json",
            VendorCall(
                service,
                name="getEvents",
                handlers={"POST": ask_for_events, "GET": events_page},
                limit=lambda settings: settings.get_events_in_flight,
            ),
            methods=["POST", "GET"],
        ),
        Route(
            "/1/profile.json",
            VendorCall(
                service,
                name="getProfile",
                handlers={"GET": profile},
                limit=lambda settings: settings.get_profile_in_flight,
            ),
            methods=["GET"],
        ),
        Route(
            "/1/upload",
            VendorCall(
                service,
                name="upload",
                handlers={"POST": upload},
                limit=lambda settings: settings.upload_in_flight,
            ),
            methods=["POST"],
        ),
    ]


def refused(_request: Request, error: Exception) -> Response:
    """Answer a refusal in the vendor's form."""
    if not isinstance(error, RequestError):
        raise error
    return JSONResponse(fail(error), status_code=error.status)


def not_served(_request: Request, error: Exception) -> Response:
    """Answer an unknown path or method in the vendor's form."""
    if not isinstance(error, HTTPException):
        raise error
    body = fail(RequestError(status=error.status_code, code=error.status_code, text=error.detail))
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def broken(_request: Request, _error: Exception) -> Response:
    """Answer our own failure as the vendor answers its own: without a traceback."""
    return JSONResponse(
        fail(RequestError(status=500, code=500, text=SYSTEM_ERROR)), status_code=500
    )
