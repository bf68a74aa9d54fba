"""Long responses, sent in pieces so that other requests get their turn between two.

A response that cannot be completed, because all data was deleted while it was read,
ends with a closed connection: a short answer must not look like a whole one.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from segctl.emulator.errors import DataDeletedError, connection_cut
from segctl.emulator.service import Service

NDJSON = "application/x-ndjson"
BYTES_PER_WRITE = 1 << 16

T = TypeVar("T")


async def in_turns(pieces: Iterable[T]) -> AsyncIterator[T]:
    """Yield pieces, and give other work its turn after each."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


def stream_lines(request: Request, pieces: Iterable[Sequence[Any]]) -> Response:
    """Return a response with one JSON document a line, read from pieces of documents."""
    return stream_text(request, map(json_lines, pieces), media_type=NDJSON)


def json_lines(documents: Iterable[Any]) -> str:
    """Return documents as JSON, one a line."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in documents)


def stream_array(request: Request, pieces: Iterable[Sequence[Any]]) -> Response:
    """Return a response with one JSON array, read from pieces of its items."""
    return stream_text(request, array_pieces(pieces), media_type="application/json")


def array_pieces(pieces: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the text of one JSON array, read from pieces of its items; some may be empty."""
    separator = "["
    for piece in pieces:
        items = json.dumps(piece, ensure_ascii=False)[1:-1]
        yield separator + items if items else ""
        separator = "," if items else separator
    yield "]" if separator == "," else "[]"


async def array_in_turns(pieces: Iterable[Sequence[Any]]) -> str:
    """Return the text of one JSON array; others get their turn while it is written."""
    return "".join([text async for text in in_turns(array_pieces(pieces))])


def stream_text(
    request: Request,
    pieces: Iterable[str],
    *,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with the text of all pieces."""
    service: Service = request.app.state.service
    generation = service.store.generation

    async def body() -> AsyncIterator[str]:
        unsent: list[str] = []
        size = 0
        with contextlib.suppress(DataDeletedError):
            async for piece in in_turns(pieces):
                if service.store.generation != generation:
                    break
                unsent.append(piece)
                size += len(piece)
                if size >= BYTES_PER_WRITE:
                    yield "".join(unsent)
                    unsent, size = [], 0
        if service.store.generation == generation:
            yield "".join(unsent)
        elif service.cut_connection is None:
            raise connection_cut()
        else:
            service.cut_connection(request.scope)

    return StreamingResponse(body(), media_type=media_type, headers=headers)


def limited(pieces: Iterable[Sequence[T]], *, skip: int = 0, limit: int) -> Iterator[Sequence[T]]:
    """Yield the pieces without their first ``skip`` items, and at most ``limit`` of the rest."""
    for piece in pieces:
        part = piece[skip : skip + limit]
        skip = max(0, skip - len(piece))
        limit -= len(part)
        yield part
        if not limit:
            return


def in_pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one shorter."""
    source = iter(items)
    while piece := list(islice(source, size)):
        yield piece
