"""The head as bytes: readable JSON that diffs line by line, read back strictly.

State is the only record of what the service was told, so whatever is not
exactly a head is refused with the place that is wrong: an empty file taken for
"no state" would add every member again.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from segctl import __version__
from segctl.core.address import is_address
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.errors import StateDamaged
from segctl.core.identity import SetDigest
from segctl.state.model import SegmentRecord, State

VERSION = 2
"""The format of the head; raised when an older segctl could not read a newer head.

1 knew nothing of what members were computed from (``basis``, ``sources``).
"""

FILE_NAME = re.compile(r"[0-9a-f]{64}\.parquet")
"""What the name of an immutable file is: the SHA-256 of its bytes, and its format."""

_ADVICE = (
    "Put a good copy in its place: `segctl state history` lists the earlier ones, and "
    "`segctl state push` puts one back. `segctl state fsck` tells all that is wrong. "
    "Do not delete it to start over: every member would be added again."
)


def encode(state: State, *, segctl_version: str = __version__) -> bytes:
    """Write a head: keys sorted, two spaces a level, a newline at the end."""
    head = {"version": VERSION, "segctl_version": segctl_version, **to_plain(state)}
    return dump_json(head)


def decode(data: bytes) -> State:
    """Read what ``encode`` wrote; raises ``StateDamaged`` saying what is wrong and where."""
    try:
        return _state(load_json(data))
    except DecodeError as misfit:
        raise StateDamaged(f"the state cannot be read: {misfit}", hint=_ADVICE) from misfit


def referenced_files(data: bytes) -> frozenset[str]:
    """Give the names of all files that a head refers to, and perhaps more; raises ``DecodeError``.

    Much quicker than ``decode``.  Of a head that cannot be read to its end nothing is
    given, nor of one in a later format, which may refer to files in another way.
    """
    try:
        text = data.decode()
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError("it is not JSON to its end") from error
    version = head.get("version") if isinstance(head, dict) else None
    if type(version) is not int or version > VERSION:
        raise DecodeError(f"expected a format up to {VERSION}", place=".version")
    # An escape may hide a name; written anew there is none in it.
    return frozenset(FILE_NAME.findall(json.dumps(head) if "\\" in text else text))


def _state(head: Any) -> State:
    if not isinstance(head, dict) or "version" not in head:
        raise DecodeError('it has no "version", so it is not a state of segctl')
    fields = dict(head)
    version, writer = fields.pop("version"), fields.pop("segctl_version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DecodeError("expected a whole number from 1 up", place=".version")
    if version > VERSION:
        raise StateDamaged(
            f"the state was written by segctl {writer} in format {version}; "
            f"this is segctl {__version__}, which reads format {VERSION}",
            hint=f"Upgrade segctl to {writer} or newer.",
        )
    if not isinstance(writer, str):
        raise DecodeError("expected text", place=".segctl_version")
    state = from_plain(State, fields)
    _check_addresses(state)
    _check_records(state)
    return state


def lineage_and_serial(data: bytes) -> tuple[str | None, int | None]:
    """Give the lineage and the serial that a head tells, however damaged it is."""
    try:
        head = load_json(data)
    except DecodeError:
        return None, None
    told = head if isinstance(head, dict) else {}
    lineage, serial = told.get("lineage"), told.get("serial")
    return (
        lineage if isinstance(lineage, str) else None,
        serial if type(serial) is int and serial >= 0 else None,
    )


def salvage(data: bytes) -> tuple[list[tuple[str, SegmentRecord]], list[str]]:
    """Read what can be read of a damaged head: records by address, and all that is wrong."""
    try:
        head = load_json(data)
    except DecodeError as misfit:
        return [], [str(misfit)]
    if not isinstance(head, dict):
        return [], ["it is not a state of segctl"]
    found: list[tuple[str, SegmentRecord]] = []
    problems: list[str] = []
    for address, written in _written(head):
        try:
            record = from_plain(SegmentRecord, written)
            _check_record(address, record)
        except DecodeError as misfit:
            told = str(misfit)
            problems.append(told if told.startswith(f"{address} ") else f"{address}: {told}")
        else:
            found.append((address, record))
    try:
        _state({**head, "segments": {}, "tombstones": []})
    except DecodeError as misfit:
        problems.append(str(misfit))
    except StateDamaged as error:
        problems.append(error.message)
    return found, problems


def _written(head: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give what stands in the place of each record, whatever it is."""
    segments, tombstones = head.get("segments"), head.get("tombstones")
    if isinstance(segments, dict):
        yield from segments.items()
    for number, tombstone in enumerate(tombstones if isinstance(tombstones, list) else ()):
        told = tombstone if isinstance(tombstone, dict) else {}
        yield str(told.get("address", f"tombstones[{number}]")), told.get("record")


def _check_addresses(state: State) -> None:
    for address, _ in state.records():
        if not is_address(address):
            raise DecodeError(f'"{address}" is not an address such as segment.gold')


def _check_records(state: State) -> None:
    for address, record in state.records():
        _check_record(address, record)


def _check_record(address: str, record: SegmentRecord) -> None:
    """Refuse a file name that could lead out of the state's folder, and counts that cannot be."""
    members, pairs = record.members, record.pairs
    for ref in record.files():
        if not FILE_NAME.fullmatch(ref.name):
            raise DecodeError(
                f"a file of {address} is not named by 64 hexadecimal digits and .parquet"
            )
    base = members.base.rows if members.base else 0
    changed = sum(ref.rows for ref in members.changes)
    count = members.digest.count
    # Each row of a change adds one member or removes one.
    if abs(count - base) > changed or (count - base - changed) % 2:
        held = f"{base:,} and {changed:,} changes" if members.changes else f"{base:,}"
        raise DecodeError(f"{address} cannot have {count:,} members: its files hold {held}")
    if not count and members.digest != SetDigest():
        raise DecodeError(f"{address} has no members, and a digest of some")
    told, held_pairs = pairs.uncertain + pairs.refused, pairs.file.rows if pairs.file else 0
    if told != held_pairs:
        raise DecodeError(
            f"{address} cannot have {told:,} pairs without an acknowledgement: "
            f"its file holds {held_pairs:,}"
        )
