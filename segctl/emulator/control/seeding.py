"""Seed segments that CleverTap's dashboard or a partner would create.

They have no customer id, and updates do not apply to them.  That an account has them,
with members, is what the vendor's pages say; how they get here is our own.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from pyroaring import BitMap

from segctl.emulator.bodies import is_text
from segctl.emulator.control.responses import in_pieces
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.changes import NewSegment
from segctl.emulator.storage.state import Account, Segment, User

CATEGORIES = ("Past Behaviour", "Live", "Custom List", "Partner")
"""The categories of segments that the API does not create, as the dashboard calls them."""

FIELDS = {"category", "segment_name", "members"}
MAX_NAME = 500
MAX_MEMBERS = 100_000
USERS_PER_PIECE = 200


def parse_seed(document: Any) -> tuple[str, str, list[User]]:
    """Return name, category and members of a segment; raises RequestError 400."""
    if not isinstance(document, dict):
        raise bad_request("a segment is an object with category, segment_name and members")
    problems = [f"unknown field {name}" for name in document if name not in FIELDS]
    category, name = document.get("category"), document.get("segment_name")
    if category not in CATEGORIES:
        problems.append(
            f"category must be one of {', '.join(CATEGORIES)}; createSegment creates API Segments"
        )
    if not is_text(name) or len(name) > MAX_NAME:
        problems.append(f"segment_name must be text of 1 to {MAX_NAME} characters, not blank")
    members = document.get("members")
    members = [] if members is None else members
    users: list[User] = []
    if not isinstance(members, list) or len(members) > MAX_MEMBERS:
        problems.append(f"members must be an array of at most {MAX_MEMBERS} users")
    else:
        users = [user for each in members if (user := parse_user(each)) is not None]
        if wrong := len(members) - len(users):
            problems.append(
                f"{wrong} of the members are not an object with either identity or guid"
            )
    if problems:
        raise bad_request("; ".join(problems))
    return str(name), str(category), users


def parse_user(document: Any) -> User | None:
    """Return the user of an object with either identity or guid, or None if it is not one."""
    if not isinstance(document, dict) or len(document) != 1:
        return None
    ((kind, value),) = document.items()
    return User(kind, value) if is_text(value) and kind in {"identity", "guid"} else None


async def seed(
    service: Service, account_id: str, *, name: str, category: str, users: Sequence[User]
) -> Segment:
    """Create a segment with its members, whole or not at all; others get their turn meanwhile.

    Raises RequestError: 400 over the limit of segments, 409 if all data is deleted
    meanwhile.
    """
    store, generation = service.store, service.store.generation
    members = BitMap()
    for piece in in_pieces(users, USERS_PER_PIECE):
        members.update(store.add_profiles(store.accounts[account_id], piece))
        await asyncio.sleep(0)
        if store.generation != generation:
            raise RequestError(409, "all data was deleted meanwhile; try again")
    account = store.accounts[account_id]
    check_segment_limit(account, settings=service.settings)
    new = NewSegment(name=name, customer_id=None, category=category, members=members)
    return store.create(account, [new])[0]


def check_segment_limit(account: Account, *, settings: Settings) -> None:
    """Check the limit of segments, if it is of all categories; raises RequestError 400."""
    if settings.segment_cap_scope != "all":
        return
    with_deleted = settings.segment_cap_counts == "ever_created"
    count = account.count_towards_limit(all_categories=True, with_deleted=with_deleted)
    if count >= settings.max_segments:
        raise bad_request(f"an account has at most {settings.max_segments} segments")
