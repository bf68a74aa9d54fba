"""How a page is made: the templates' environment, its filters, and what every page has."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from segctl.emulator.control.parameters import account_of, service_of, visible_accounts
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.pages.characters import split_name
from segctl.emulator.storage.state import Account

ROWS = 100
"""Rows of a table on one page."""

DEMO_CREDENTIALS = ("EMULATOR", "emulator")
"""Of the account that the emulator has if none is given; the documentation names them."""

AGO = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
"""Units of a relative time, in seconds."""

CHANNELS = {"email": "E-mail", "sms": "SMS", "push": "Push"}
"""Labels of the channels on which a user is reached."""

SITE = (
    ("/", "Segments", "segments"),
    ("/users", "Users", "users"),
    ("/events", "Events", "events"),
    ("/errors", "Error Stream", "errors"),
    ("/campaigns", "Campaigns", "campaigns"),
    ("/requests", "Requests", "requests"),
    ("/settings", "Settings", "settings"),
    ("/faults", "Faults", "faults"),
)
"""Path, label and icon of the pages in the menu. A page below a path belongs to it."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A time as a page shows it, in the project's zone."""

    iso: str
    text: str
    zone: str
    ago: str


@dataclass(frozen=True, kw_only=True)
class Pager:
    """Where a page of a table stands: row numbers from 1, and the links to its neighbours."""

    first: int
    last: int
    total: int | None
    """All rows, or None if they are not counted."""
    previous: str | None
    next: str | None


@cache
def environment() -> Environment:
    """Return the environment of the templates, which escapes every value."""
    environment = Environment(
        loader=PackageLoader("segctl.emulator.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=lambda value: f"{value:,}",
        json=lambda value: json.dumps(value, indent=2),
        pieces=split_name,
        timestamp=lambda iso: datetime.fromisoformat(iso).timestamp(),
        zip=zip,
    )
    return environment


def render(
    template: str,
    request: Request,
    *,
    account: Account | None = None,
    topics: str = "data",
    status: int = 200,
    **values: Any,
) -> Response:
    """Return a page as a response.

    ``account`` is the account that the page is about, None for all; links to other pages
    keep it.  ``topics`` are the names, separated by spaces, of the changes after which an
    open page reads itself again.
    """
    service = service_of(request)
    now, zone = service.clock(), service.zone
    names = visible_accounts(request)

    def link(path: str, **query: Any) -> str:
        """Return the address of a page that stays with the account."""
        if account is not None and len(names) > 1:
            query = {"account": account.id, **query}
        return address(path, query)

    return HTMLResponse(
        environment()
        .get_template(template)
        .render(
            account=account,
            account_names=names,
            axis_time=lambda ts, times: axis_time(ts, span=times[-1] - times[0], zone=zone),
            base_url=str(request.base_url).rstrip("/"),
            link=link,
            channels=CHANNELS,
            **environment_values(account or service.store.accounts[names[0]]),
            now=now,
            moment=lambda ts: moment(ts, zone=zone, now=now),
            path=request.url.path,
            prefix=PREFIX,
            query=dict(request.query_params),
            rows=ROWS,
            site=SITE,
            topics=topics,
            versions=json.dumps(known_versions(request)),
            **values,
        ),
        status_code=status,
        headers={"cache-control": "no-store"},
    )


def note_versions(request: Request) -> None:
    """Note the versions of all topics before a page reads anything.

    A page reads in turns, and a change may come between two of them.  With the versions of
    its end, it would look newer than what it shows, and would not be read again.
    """
    request.state.versions = dict(service_of(request).versions)


def known_versions(request: Request) -> dict[str, Any]:
    """Return the versions that a page shows at least."""
    versions: dict[str, Any] | None = getattr(request.state, "versions", None)
    return versions or dict(service_of(request).versions)


def environment_values(account: Account) -> dict[str, str]:
    """Return what a client's environment needs. Only the demo account's passcode is shown."""
    is_demo = (account.id, account.passcode) == DEMO_CREDENTIALS
    return {
        "environment_account": shlex.quote(account.id),
        "environment_passcode": DEMO_CREDENTIALS[1] if is_demo else "…",
    }


def chosen_account(request: Request) -> Account | None:
    """Return the account of ``?account=``; None for all, which the choice sends as an empty name.

    Raises RequestError 404.
    """
    return account_of(request) if request.query_params.get("account") else None


def address(path: str, query: Mapping[str, Any]) -> str:
    """Return a path with its query, without the values that are None or empty."""
    kept = {name: value for name, value in query.items() if value not in (None, "")}
    # A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark.
    return f"{path}?{urlencode(kept, errors='replace')}" if kept else path


def moment(ts: float, *, zone: tzinfo, now: float) -> Moment:
    """Return a time, in seconds since 1970, as a page shows it."""
    local = datetime.fromtimestamp(ts, tz=zone)
    return Moment(
        iso=local.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        text=f"{local:%Y-%m-%d %H:%M:%S}",
        zone=local.tzname() or "",
        ago=ago(now - ts),
    )


def axis_time(ts: float, *, span: float, zone: tzinfo) -> str:
    """Return a time as the label of an axis that spans so many seconds."""
    form = "%H:%M:%S" if span < 600 else "%H:%M" if span < 86400 else "%m-%d %H:%M"
    if span > 10 * 86400:
        form = "%Y-%m-%d"
    return datetime.fromtimestamp(ts, tz=zone).strftime(form)


def ago(seconds: float) -> str:
    """Return how long ago something was, in its largest unit."""
    for size, unit in AGO:
        if abs(seconds) >= size:
            count = f"{abs(seconds) // size:.0f} {unit}"
            return f"{count} ago" if seconds > 0 else f"in {count}"
    return "now"
