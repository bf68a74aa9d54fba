"""The page of the requests: each with its timing and answer, and a summary by call."""

import asyncio
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import number_of, service_of
from segctl.emulator.control.requests import selected_requests
from segctl.emulator.faults import CALLS
from segctl.emulator.pages.rendering import address, chosen_account, render
from segctl.emulator.request_log import ANSWERED, IN_FLIGHT, MAX_REQUESTS, OUTCOMES, LoggedRequest

ROWS = 50
"""Rows of the table. The page is read again several times a second while requests come."""

UNKNOWN_CALL = "unknown path"


@dataclass(frozen=True, kw_only=True)
class CallSummary:
    """The requests of one call. Durations are in milliseconds, None before the first answer."""

    call: str
    requests: int
    in_flight: int
    most_in_flight: int | None
    median: float | None
    percentile_95: float | None
    slowest: float | None
    results: Sequence[tuple[str, int]]
    """Statuses and outcomes, each with its number of requests."""


def result_of(request: LoggedRequest) -> str:
    """Return the status of an answered request, and the outcome of any other."""
    return str(request.status) if request.outcome == ANSWERED else request.outcome


def summarize(requests: Iterable[LoggedRequest]) -> Iterator[CallSummary]:
    """Yield the summary of each call."""

    def call_of(request: LoggedRequest) -> str:
        return request.call or UNKNOWN_CALL

    for call, group in groupby(sorted(requests, key=call_of), key=call_of):
        found = list(group)
        durations = sorted(each.ms for each in found if each.ms is not None)
        yield CallSummary(
            call=call,
            requests=len(found),
            in_flight=sum(each.outcome == IN_FLIGHT for each in found),
            most_in_flight=max((each.in_flight or 0 for each in found), default=0) or None,
            median=statistics.median(durations) if durations else None,
            percentile_95=durations[math.ceil(len(durations) * 0.95) - 1] if durations else None,
            slowest=durations[-1] if durations else None,
            results=sorted(Counter(map(result_of, found)).items()),
        )


async def list_requests(request: Request) -> Response:
    """Show the newest requests that the filters select."""
    log = service_of(request).request_log
    account = chosen_account(request)
    everything = list(log.newest_first(account=None if account is None else account.id))
    summaries = list(summarize(everything))
    await asyncio.sleep(0)  # other requests get their turn before the page is written
    matching = selected_requests(request, account=account)
    before = number_of(request, "before", 0)
    older = [each for each in matching if each.number < before] if before else matching
    shown = older[:ROWS]
    query = {**request.query_params, "before": None}
    return render(
        "requests.html",
        request,
        account=account,
        topics="requests",
        chosen={name: request.query_params.get(name, "") for name in ("call", "status", "outcome")},
        calls=CALLS,
        outcomes=OUTCOMES,
        statuses=sorted({each.status for each in everything if each.status is not None}),
        summaries=summaries,
        everything=len(everything),
        matching=len(matching),
        most=MAX_REQUESTS,
        requests=shown,
        result_of=result_of,
        slowest=max((each.ms or 0 for each in shown), default=0),
        newest=address("/requests", query) if before else None,
        older=address("/requests", {**query, "before": shown[-1].number})
        if len(older) > ROWS
        else None,
    )


def routes() -> list[Route]:
    """Return the route of the page."""
    return [Route("/requests", list_requests)]
