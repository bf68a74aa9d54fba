"""The head as bytes: readable JSON that diffs line by line, read back strictly.

State is the only record of what the service was told, so whatever is not
exactly a head is refused with the place that is wrong: an empty file taken for
"no state" would add every member again.
"""

import json
import re
from typing import Any

from segctl import __version__
from segctl.address import is_address
from segctl.errors import StateDamaged
from segctl.plain import Misfit, dump, from_plain, load, to_plain
from segctl.state.model import State

VERSION = 2
"""The format of the head; raised when an older segctl could not read a newer head.

1 knew nothing of what members were computed from (``basis``, ``sources``).
"""

FILE_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
"""What the name of an immutable file is: the SHA-256 of its bytes, and its format."""

_ADVICE = (
    "Put a good copy in its place; segctl.state.d/history holds earlier ones. "
    "Do not delete it to start over: every member would be added again."
)


def encode(state: State, *, segctl_version: str = __version__) -> bytes:
    """Write a head: keys sorted, two spaces a level, a newline at the end."""
    head = {"version": VERSION, "segctl_version": segctl_version, **to_plain(state)}
    return dump(head)


def decode(data: bytes) -> State:
    """Read what ``encode`` wrote; raises ``StateDamaged`` saying what is wrong and where."""
    try:
        return _state(load(data))
    except Misfit as misfit:
        raise StateDamaged(f"the state cannot be read: {misfit}", hint=_ADVICE) from misfit


def references(data: bytes) -> frozenset[str]:
    """Give the names of all files that a head refers to, and perhaps more; raises ``Misfit``.

    Much quicker than ``decode``.  Of a head that cannot be read to its end nothing is
    given, nor of one in a later format, which may refer to files in another way.
    """
    head = load(data)
    version = head.get("version") if isinstance(head, dict) else None
    if type(version) is not int or version > VERSION:
        raise Misfit(f"expected a format up to {VERSION}", place=".version")
    text = data.decode()
    # An escape may hide a name; written anew there is none in it.
    return frozenset(FILE_NAME.findall(json.dumps(head) if "\\" in text else text))


def _state(head: Any) -> State:
    if not isinstance(head, dict) or "version" not in head:
        raise Misfit('it has no "version", so it is not a state of segctl')
    fields = dict(head)
    version, writer = fields.pop("version"), fields.pop("segctl_version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Misfit("expected a whole number from 1 up", place=".version")
    if version > VERSION:
        raise StateDamaged(
            f"the state was written by segctl {writer} in format {version}; "
            f"this is segctl {__version__}, which reads format {VERSION}",
            hint=f"Upgrade segctl to {writer} or newer.",
        )
    if not isinstance(writer, str):
        raise Misfit("expected text", place=".segctl_version")
    state = from_plain(State, fields)
    _check_addresses(state)
    _check_files(state)
    return state


def _check_addresses(state: State) -> None:
    for address in [*state.segments, *(tomb.address for tomb in state.tombstones)]:
        if not is_address(address):
            raise Misfit(f'"{address}" is not an address such as segment.gold')


def _check_files(state: State) -> None:
    """Refuse a file name that is not a digest: it could lead out of the state's folder."""
    records = [*state.segments.items(), *((tomb.address, tomb.record) for tomb in state.tombstones)]
    for address, record in records:
        for ref in (record.members.base, *record.members.changes, record.pairs.file):
            if ref and not FILE_NAME.fullmatch(ref.name):
                raise Misfit(
                    f"a file of {address} is not named by 64 hexadecimal digits and .parquet"
                )
