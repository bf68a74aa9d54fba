"""``POST /emulator/v1/other-writer``: one change by somebody else, at once."""

from dataclasses import asdict
from random import Random
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator import other_writer
from segctl.emulator.bodies import is_text, read_json
from segctl.emulator.control.parameters import only_account_of, service_of
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.control.seeding import parse_user
from segctl.emulator.control.segments import describe
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.storage.state import API_SEGMENTS, Account, Segment, User

CHANGES = ("members", "rename", "delete")
MAX_USERS = 100_000
FIELDS = {"members": {"add", "remove", "seed"}, "rename": {"name"}, "delete": set[str]()}


async def change_segment(request: Request) -> Response:
    """Change the members or the name of a segment, or delete it, as another writer does."""
    service, account = service_of(request), only_account_of(request)
    document = await read_json(request, settings=service.settings)
    kind, segment = parse_change(document, account)
    changed: dict[str, Any] = {}
    match kind:
        case "members":
            if segment.category != API_SEGMENTS:
                raise bad_request(
                    "members of API Segments only can be changed, since only they raise the "
                    f"event: this is {segment.category}"
                )
            random = Random(_count(document, "seed"))  # noqa: S311 - repeatable on purpose
            add, remove = document.get("add", []), document.get("remove", [])
            removed = (
                other_writer.choose_members(account, segment, _count(document, "remove"), random)
                if isinstance(remove, int)
                else parse_users(remove, "remove")
            )
            added = (
                other_writer.choose_others(account, segment, _count(document, "add"), random)
                if isinstance(add, int)
                else parse_users(add, "add")
            )
            changed = asdict(
                other_writer.change_members(service, account, segment, add=added, remove=removed)
            )
        case "rename":
            service.store.rename(account, segment, parse_name(document))
        case _:
            service.delete_segments([(account, segment)])
    return JSONResponse({"change": kind, **changed, "segment": describe(service, account, segment)})


def parse_change(document: Any, account: Account) -> tuple[str, Segment]:
    """Return the kind of change and its segment.

    Raises RequestError: 400 for a wrong document, 404 for a segment that does not exist,
    409 for one that is deleted.
    """
    if not isinstance(document, dict):
        raise bad_request("the body is not an object")
    kind = document.get("change")
    if kind not in CHANGES:
        raise bad_request(f"change must be one of {', '.join(CHANGES)}")
    if unknown := document.keys() - {"change", "segment"} - FIELDS[kind]:
        raise bad_request(f"{kind} has no field {min(unknown)}")
    named = document.get("segment")
    if isinstance(named, bool) or not isinstance(named, int | str):
        raise bad_request("segment must be a ct_segment_id (a number) or a customer_segment_id")
    segment = account.find_segment(named)
    if segment is None:
        raise RequestError(404, "no such segment")
    if segment.is_deleted:
        raise RequestError(409, "the segment is deleted")
    return kind, segment


def parse_name(document: dict[str, Any]) -> str:
    """Return the new name; raises RequestError 400."""
    name = document.get("name")
    if not is_text(name):
        raise bad_request("name must be a string that is not blank")
    return name


def parse_users(value: Any, field: str) -> list[User]:
    """Return the users of a list; a string is an identity. Raises RequestError 400."""
    if not isinstance(value, list) or len(value) > MAX_USERS:
        raise bad_request(f"{field} must be a count or an array of at most {MAX_USERS} users")
    return [_parse_user(each, field) for each in value]


def _parse_user(value: Any, field: str) -> User:
    user = parse_user({"identity": value} if isinstance(value, str) else value)
    if user is None:
        raise bad_request(
            f"a user of {field} must be an identity, or an object with identity or guid"
        )
    return user


def _count(document: dict[str, Any], field: str) -> int:
    value = document.get(field, 0)
    if type(value) is not int or not 0 <= value <= MAX_USERS:
        raise bad_request(f"{field} must be a whole number from 0 to {MAX_USERS}")
    return value


def routes() -> list[Route]:
    """Return the route."""
    return [Route(f"{PREFIX}/other-writer", change_segment, methods=["POST"])]
