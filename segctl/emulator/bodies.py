"""Reading a request's body without trusting it.

Size, content type, encoding, nesting and numbers are checked here once, so that
whatever arrives ends as a JSON value or as a refusal in the vendor's form.
"""

import json
import math
from typing import Any, NoReturn

from starlette.requests import Request

from segctl.emulator.errors import RequestError
from segctl.emulator.settings import Settings

INVALID = "Incorrect request parameters"


def incorrect(what: str) -> RequestError:
    """Return the vendor's 400 with what is wrong."""
    return RequestError(status=400, code=400, text=f"{INVALID}: {what}")


async def read_json(request: Request, *, settings: Settings) -> Any:
    """Read the body as JSON.

    Raises RequestError: 413 over the size limit, else 400.
    """
    return parse_json(
        await read_body(request, limit=settings.max_body_bytes),
        content_type=request.headers.get("content-type"),
        depth=settings.max_json_depth,
    )


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read at most ``limit`` bytes."""
    too_large = RequestError(status=413, code=413, text=f"Request body over {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise too_large
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(body: bytes, *, content_type: str | None, depth: int) -> Any:
    """Return the JSON value, or raise RequestError in the vendor's form."""
    kind, _, parameters = (content_type or "").partition(";")
    if kind.strip().lower() != "application/json":
        raise incorrect("Content-Type must be application/json")
    charset = parameters.strip().lower().replace('"', "").removeprefix("charset=")
    if charset not in {"", "utf-8", "utf8"}:
        raise incorrect("the body must be UTF-8")
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
        if b"\\u" in body:
            # An escaped half of a surrogate pair is JSON, but no text.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise incorrect("the body is not valid UTF-8") from error
    except RecursionError as error:
        raise incorrect("the body is nested too deeply") from error
    except ValueError as error:
        raise incorrect("the body is not valid JSON") from error
    if nested_deeper(value, depth=depth):
        raise incorrect(f"the body is nested deeper than {depth} levels")
    return value


def nested_deeper(value: Any, *, depth: int) -> bool:
    """Whether a value holds more than ``depth`` levels of lists and objects."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return False
    return any(_containers(outer) for outer in level)


def _containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, (dict, list))]


def _finite(text: str) -> float:
    """Read a number; one such as 1e999, JSON though it is, cannot be answered again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
