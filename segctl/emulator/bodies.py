"""Read the JSON body of a request that may be malformed or hostile.

Size, content type, encoding, nesting and numbers are checked here, so that every
body becomes either a JSON value or a refusal in the vendor's form.
"""

import json
import math
from typing import Any, NoReturn, TypeGuard

from starlette.requests import Request

from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.settings import Settings


async def read_json(request: Request, *, settings: Settings) -> Any:
    """Read the body as JSON.

    Raises RequestError: 413 for a body over the size limit, 400 for anything else.
    """
    body = await read_body(request, limit=settings.max_body_bytes)
    return parse_json(request, body, max_depth=settings.max_json_depth)


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read the body; raises RequestError 413 if it has more than ``limit`` bytes."""
    too_large = RequestError(413, f"Request body over {limit} bytes")
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


def parse_json(request: Request, body: bytes, *, max_depth: int) -> Any:
    """Parse the body according to the request's content type; raises RequestError 400."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise bad_request("Content-Type must be application/json")
    charset = parameters.strip().lower().replace('"', "").removeprefix("charset=")
    if charset not in {"", "utf-8", "utf8"}:
        raise bad_request("the body must be UTF-8")
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_reject_constant,
            parse_float=_parse_finite,
            object_pairs_hook=_unique_names,
        )
        if b"\\u" in body:
            # An escaped lone surrogate is valid JSON but cannot be encoded as UTF-8.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise bad_request("the body is not valid UTF-8") from error
    except RecursionError as error:
        raise bad_request("the body is nested too deeply") from error
    except RepeatedNameError as error:
        raise bad_request("an object of the body has a name twice") from error
    except ValueError as error:
        raise bad_request("the body is not valid JSON") from error
    if is_nested_deeper(value, max_depth):
        raise bad_request(f"the body is nested deeper than {max_depth} levels")
    return value


def is_nested_deeper(value: Any, max_depth: int) -> bool:
    """Whether a JSON value has more than ``max_depth`` levels of arrays and objects."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        # One comprehension: every updateSegment request has hundreds of objects.
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


class RepeatedNameError(ValueError):
    """A JSON object has a name twice. Python would drop the first value in silence."""


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise RepeatedNameError
    return document


def _parse_finite(text: str) -> float:
    """Parse a number; 1e999 is valid JSON but becomes infinity, which JSON cannot express."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a string that is not blank."""
    return isinstance(value, str) and bool(value) and not value.isspace()
