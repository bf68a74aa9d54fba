"""The paths of the emulator's own API, and the methods of each."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "/emulator/v1"

Endpoint = Callable[[Request], Awaitable[Response]]


class SegmentId(Convertor[int]):
    """A segment's id in a path: Starlette's own ``int`` fails on thousands of digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the id."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the id as text."""
        return str(value)


register_url_convertor("segment_id", SegmentId())


def routes_of(endpoints: Mapping[str, Mapping[str, Endpoint]]) -> list[Route]:
    """Return the routes of endpoints by path, below ``PREFIX``, and method."""
    return [
        Route(PREFIX + path, dispatch(by_method), methods=list(by_method))
        for path, by_method in endpoints.items()
    ]


def dispatch(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """Return one endpoint for all methods of a path, so that a 405 lists all of them."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
