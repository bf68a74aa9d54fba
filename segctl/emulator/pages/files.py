"""Rows as a file that a browser saves: CSV or JSON lines, read in small pieces."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from segctl.emulator.control.csv_text import csv_pieces, is_guarded
from segctl.emulator.control.responses import NDJSON, json_lines, stream_text
from segctl.emulator.errors import bad_request

Row = TypeVar("Row")


def send_file(
    request: Request,
    pieces: Iterable[Sequence[Row]],
    *,
    name: str,
    columns: Sequence[str],
    csv_row: Callable[[Row], Mapping[str, Any]],
    document: Callable[[Row], Mapping[str, Any]],
) -> Response:
    """Return the rows in the ``?format=`` of the address.

    ``csv_row`` returns a row by ``columns``, ``document`` as a JSON document.  With
    ``?guard=spreadsheet``, no cell of a CSV is a formula.  Raises RequestError 400.
    """
    form = request.query_params.get("format", "csv")
    guarded = is_guarded(request)
    if form not in {"csv", "jsonl"}:
        raise bad_request("format must be csv or jsonl")
    texts = (
        csv_pieces((map(csv_row, piece) for piece in pieces), columns=columns, guarded=guarded)
        if form == "csv"
        else (json_lines(document(each) for each in piece) for piece in pieces)
    )
    return stream_text(
        request,
        texts,
        media_type="text/csv" if form == "csv" else NDJSON,
        headers={"content-disposition": f'attachment; filename="{name}.{form}"'},
    )
