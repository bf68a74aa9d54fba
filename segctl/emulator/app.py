"""The ASGI application: the vendor's paths exactly, and the emulator's own."""

import time
from collections.abc import Awaitable, Callable, Mapping
from operator import attrgetter
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.access import AccessControl
from segctl.emulator.calls.counts import (
    counting,
    event_count,
    profile_count,
    top_counts,
    trend_counts,
)
from segctl.emulator.calls.create_segment import create_segment
from segctl.emulator.calls.estimate_target import estimate_target
from segctl.emulator.calls.get_events import events_page, open_events_cursor
from segctl.emulator.calls.get_profile import get_profile, open_profiles_cursor, profiles_page
from segctl.emulator.calls.get_schema import get_schema, real_time_counts
from segctl.emulator.calls.update_segment import update_segment
from segctl.emulator.calls.upload import upload
from segctl.emulator.calls.vendor_call import Handler, VendorCall
from segctl.emulator.control import (
    campaigns,
    changes,
    endpoints,
    other_writer,
    requests,
    segments,
    streams,
    users,
)
from segctl.emulator.engagement.engine import Engagement, WebhookTransport
from segctl.emulator.errors import (
    SYSTEM_ERROR,
    DataDeletedError,
    InvalidSettingsError,
    RequestError,
)
from segctl.emulator.failures import FailureReport
from segctl.emulator.pages import views
from segctl.emulator.pages.problem import problem_page, wants_page
from segctl.emulator.precise_sleep import precise_sleep
from segctl.emulator.request_log import RequestRecorder
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.store import Store

DEMO_ACCOUNT = "EMULATOR"
DEMO_PASSCODE = "emulator"

VENDOR_CALLS: tuple[tuple[str, str, Mapping[str, Handler], str], ...] = (
    ("/api/createSegment", "createSegment", {"POST": create_segment}, "max_in_flight"),
    ("/api/updateSegment", "updateSegment", {"POST": update_segment}, "max_in_flight"),
    (
        "/1/events.json",
        "getEvents",
        {"POST": open_events_cursor, "GET": events_page},
        "get_events_in_flight",
    ),
    ("/1/profile.json", "getProfile", {"GET": get_profile}, "get_profile_in_flight"),
    (
        "/1/profiles.json",
        "getProfile",
        {"POST": open_profiles_cursor, "GET": profiles_page},
        "get_profile_in_flight",
    ),
    *(
        (f"/1/counts/{path}.json", name, counting(name, count), "counts_in_flight")
        for path, name, count in (
            ("events", "getEventCount", event_count),
            ("profiles", "getProfileCount", profile_count),
            ("top", "getTopCounts", top_counts),
            ("trends", "getTrends", trend_counts),
        )
    ),
    ("/1/now.json", "getRealTimeCounts", {"POST": real_time_counts}, "counts_in_flight"),
    ("/getSchema", "getSchema", {"GET": get_schema}, "counts_in_flight"),
    ("/1/targets/create.json", "createCampaign", {"POST": estimate_target}, "counts_in_flight"),
    ("/1/upload", "upload", {"POST": upload}, "upload_in_flight"),
)
"""Path, name, handlers by method, and the setting that limits the requests in flight."""


def create_app(
    *,
    data: Path | None = None,
    accounts: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = precise_sleep,
    webhook_transport: WebhookTransport | None = None,
    run_campaigns: bool = True,
) -> Starlette:
    """Return the emulated service as an ASGI application. It needs no lifespan.

    ``data`` is the folder for all data, None for memory.  ``accounts`` maps account ids
    to passcodes; None is the demo account alone.  With ``settings`` None, the settings
    saved in ``data`` apply, or the defaults.  ``webhook_transport`` sends the webhooks of
    campaigns.  Campaigns run in a task of the event loop; if ``run_campaigns`` is false,
    only ``service.engagement.run_due()`` runs them.  Raises DataInUseError if another emulator
    uses the folder, and DataFormatError if its file cannot be read.
    """
    store = Store(
        folder=data,
        passcodes={DEMO_ACCOUNT: DEMO_PASSCODE} if accounts is None else accounts,
        clock=clock,
    )
    service = Service(store=store, settings=settings, seed=seed, clock=clock, sleep=sleep)
    with store.database.closed_if_damaged():
        service.engagement = Engagement(
            service, transport=webhook_transport, runs_itself=run_campaigns
        )
    app = Starlette(
        routes=[
            *vendor_routes(service),
            *endpoints.routes(),
            *segments.routes(),
            *campaigns.routes(),
            *requests.routes(),
            *streams.routes(),
            *changes.routes(),
            *users.routes(),
            *other_writer.routes(),
            *views.routes(),
        ],
        middleware=[
            Middleware(RequestRecorder, log=service.request_log),
            Middleware(FailureReport, service=service),
            Middleware(AccessControl, service=service),
        ],
        exception_handlers={
            RequestError: refuse,
            InvalidSettingsError: endpoints.refuse_settings,
            DataDeletedError: refuse_deleted,
            HTTPException: refuse_path,
            Exception: answer_failure,
        },
    )
    # The vendor's paths exactly: a path with one more slash is not redirected.
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.event_messages = streams.EventMessages(service)
    app.state.figures_feeds = {}
    return app


def vendor_routes(service: Service) -> list[Route]:
    """Return the routes of the vendor's calls."""
    return [
        Route(
            path,
            VendorCall(service, name=name, handlers=handlers, max_in_flight=attrgetter(limit)),
            methods=list(handlers),
        )
        for path, name, handlers, limit in VENDOR_CALLS
    ]


def refuse(request: Request, error: Exception) -> Response:
    """Answer a refused request in the vendor's form, or in a page for a browser."""
    if not isinstance(error, RequestError):
        raise error
    if wants_page(request) and error.status < 500:
        return problem_page(request, error)
    return JSONResponse(error.body(), status_code=error.status)


def refuse_path(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method in the vendor's form."""
    if not isinstance(error, HTTPException):
        raise error
    refused = RequestError(error.status_code, error.detail)
    if refused.status == 404 and wants_page(request):
        refused = RequestError(404, "there is no such page")
    answer = refuse(request, refused)
    answer.headers.update(error.headers or {})
    return answer


def refuse_deleted(request: Request, error: Exception) -> Response:
    """Answer a read whose data was deleted meanwhile."""
    return refuse(request, RequestError(409, f"{error}: read again"))


def answer_failure(request: Request, _error: Exception) -> Response:
    """Answer a bug of the emulator as the vendor answers a system error."""
    return refuse(request, RequestError(500, SYSTEM_ERROR))
