"""The page of the Error Stream: filtered, counted, in pages, grouped by apply; and as a file."""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import service_of
from segctl.emulator.control.responses import in_turns
from segctl.emulator.errors import ERROR_TYPES, bad_request
from segctl.emulator.pages.files import send_file
from segctl.emulator.pages.history import (
    HistoryQuery,
    group_by_apply,
    read_page,
    read_query,
)
from segctl.emulator.pages.rendering import address, render
from segctl.emulator.reading.skipped_entries import (
    COLUMNS,
    SkippedEntry,
    SkippedFilter,
    skipped_counts,
    skipped_pieces,
)


async def show_errors(request: Request) -> Response:
    """Show skipped entries, newest first."""
    query, chosen = read_query(request), read_filter(request)

    def read(start: int | None, newest_first: bool) -> AsyncIterator[Sequence[SkippedEntry]]:
        return in_turns(
            skipped_pieces(service_of(request), chosen, start=start, newest_first=newest_first)
        )

    total = 0
    async for count in in_turns(skipped_counts(service_of(request), chosen)):
        total += count
    page = await read_page(request, read, number=lambda entry: entry.number, total=total)
    return render(
        "errors.html",
        request,
        account=query.account,
        filter=query,
        error_types=ERROR_TYPES,
        error_type=chosen.type or "",
        groups=group_by_apply(request, page.rows, lambda entry: entry.apply),
        page=page.pager,
        export=lambda extra: address("/errors/export", {**request.query_params, **extra}),
    )


def read_filter(request: Request) -> SkippedFilter:
    """Return the filter of the address; raises RequestError 400 or 404."""
    query = read_query(request)
    error_type = request.query_params.get("type", "")
    if error_type and error_type not in ERROR_TYPES:
        raise bad_request(f"type must be one of {', '.join(ERROR_TYPES)}")
    return SkippedFilter(
        account=_account_number(query),
        type=error_type or None,
        segments=query.segments,
        named=query.segment or None,
        user=query.user or None,
        since=query.since,
        until=query.until,
        apply=query.apply.number if query.apply else None,
    )


def _account_number(query: HistoryQuery) -> int | None:
    if query.account is not None:
        return query.account.number
    return query.apply.account if query.apply else None


async def export_errors(request: Request) -> Response:
    """Send the entries that match, oldest first, by the dashboard's names."""
    return send_file(
        request,
        skipped_pieces(service_of(request), read_filter(request)),
        name="error-stream",
        columns=COLUMNS,
        csv_row=SkippedEntry.line,
        document=SkippedEntry.line,
    )


def routes() -> list[Route]:
    """Return the routes of the page and the file."""
    return [Route("/errors", show_errors), Route("/errors/export", export_errors)]
