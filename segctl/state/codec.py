"""The head as bytes: JSON that is easy to read and diff, decoded strictly.

State is the only record of what the service was told. Anything that is not exactly a head is
therefore an error with the path of the problem: an empty file taken for "no state" would add
every member again.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from segctl import __version__
from segctl.core.address import is_address
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.errors import StateDamaged
from segctl.core.identity import SetDigest
from segctl.core.member_hash import is_key
from segctl.state.model import SegmentRecord, State

VERSION = 4
"""The version of the format. Increase it when an older segctl could not read the new format.

Version 1 does not say what members were computed from (``basis``, ``sources``). Version 2 has no
checksum, no ``revision`` and no ``restrictions``. Version 3 does not say how much was sent
(``usage``), and has neither limits on additions nor ``shapes``.
"""

CHECKSUM_VERSION = 4
"""The first version with a checksum."""

FILE_NAME = re.compile(r"[0-9a-f]{64}(?:-[0-9a-f]{8})?\.parquet")
"""The name of a member file: the SHA-256 of its bytes, perhaps an id, and its format."""

_HINT = (
    "Restore an intact copy: `segctl state history` lists the earlier states, and `segctl state "
    "push --force NAME` restores one. `segctl state fsck` lists everything that is wrong. "
    "Do not delete the state to start over: every member would be added again."
)


EDITED = "the state does not match its checksum: it was edited by hand, or damaged"
_EDITED_HINT = (
    "If the edit is intended, `segctl state push FILE` records it: copy the file, review the copy, "
    "and push it. If not, `segctl state history` lists the earlier states, and `segctl state push "
    "--force NAME` restores one."
)


def is_named(name: str, digest: str) -> bool:
    """Whether the name of a member file, one of ``FILE_NAME``, is that of this SHA-256."""
    return name.startswith(digest)


def encode(state: State, *, segctl_version: str = __version__) -> bytes:
    """Encode a head: JSON with sorted keys, an indent of two, and a newline at the end."""
    head = {"version": VERSION, "segctl_version": segctl_version, **to_plain(state)}
    return dump_json({**head, "checksum": _checksum(head)})


def decode(data: bytes, *, edited: bool = False) -> State:
    """Decode a head; raises ``StateDamaged`` with the path of what is wrong.

    A head that was ``edited`` by hand may have another checksum.
    """
    try:
        head = load_json(data)
        state = _decode_head(head)
    except DecodeError as error:
        raise StateDamaged(f"the state cannot be read: {error}", hint=_HINT) from error
    if not edited and not has_checksum(head):
        raise StateDamaged(EDITED, hint=_EDITED_HINT)
    return state


def is_edited(data: bytes) -> bool:
    """Whether a head that ``decode`` reads does not match its checksum."""
    return not has_checksum(load_json(data))


def has_checksum(head: dict[str, Any]) -> bool:
    """Whether a head matches its checksum. Older formats have none, and match."""
    if head["version"] < CHECKSUM_VERSION:
        return True
    return head.get("checksum") == _checksum({k: v for k, v in head.items() if k != "checksum"})


def _checksum(head: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a head's content; its layout does not count."""
    text = json.dumps(head, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def referenced_files(data: bytes) -> frozenset[str]:
    """Return the names of all files that a head refers to, and perhaps more.

    Much faster than ``decode``, since it searches the text for names. Raises ``DecodeError`` if
    the head is not complete JSON or has a newer format, which may refer to files differently.
    """
    try:
        text = data.decode()
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError("it is not complete JSON") from error
    version = head.get("version") if isinstance(head, dict) else None
    if type(version) is not int or version > VERSION:
        raise DecodeError(f"expected a format up to {VERSION}", path=".version")
    # An escape in a string can hide a file name. Encoding the head again removes such escapes.
    return frozenset(FILE_NAME.findall(json.dumps(head) if "\\" in text else text))


def lineage_and_serial(data: bytes) -> tuple[str | None, int | None]:
    """Return the lineage and the serial of a head that may be damaged, ``None`` if unreadable."""
    try:
        head = load_json(data)
    except DecodeError:
        return None, None
    fields = head if isinstance(head, dict) else {}
    lineage, serial = fields.get("lineage"), fields.get("serial")
    return (
        lineage if isinstance(lineage, str) else None,
        serial if type(serial) is int and serial >= 0 else None,
    )


def salvage(data: bytes) -> tuple[list[tuple[str, SegmentRecord]], list[str]]:
    """Read the intact records of a damaged head, with their addresses, and every problem."""
    try:
        head = load_json(data)
    except DecodeError as error:
        return [], [str(error)]
    if not isinstance(head, dict):
        return [], ["it is not a state of segctl"]
    records: list[tuple[str, SegmentRecord]] = []
    problems: list[str] = []
    for address, document in _record_documents(head):
        try:
            record = from_plain(SegmentRecord, document)
            _check_record(address, record)
        except DecodeError as error:
            problem = str(error)
            problems.append(
                problem if problem.startswith(f"{address} ") else f"{address}: {problem}"
            )
        else:
            records.append((address, record))
    try:
        _decode_head({**head, "segments": {}, "tombstones": []})
    except DecodeError as error:
        problems.append(str(error))
    except StateDamaged as error:
        problems.append(error.message)
    return records, problems


def _record_documents(head: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the address and the undecoded value of each record."""
    segments, tombstones = head.get("segments"), head.get("tombstones")
    if isinstance(segments, dict):
        yield from segments.items()
    for index, tombstone in enumerate(tombstones if isinstance(tombstones, list) else ()):
        fields = tombstone if isinstance(tombstone, dict) else {}
        yield str(fields.get("address", f"tombstones[{index}]")), fields.get("record")


def _decode_head(head: Any) -> State:
    if not isinstance(head, dict) or "version" not in head:
        raise DecodeError('it has no "version", so it is not a state of segctl')
    fields = dict(head)
    checksum = fields.pop("checksum", None)
    version, writer = fields.pop("version"), fields.pop("segctl_version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DecodeError("expected a whole number of 1 or more", path=".version")
    if version > VERSION:
        raise StateDamaged(
            f"the state was written by segctl {writer} in format {version}; "
            f"this is segctl {__version__}, which reads format {VERSION}",
            hint=f"Upgrade segctl to {writer} or newer.",
        )
    if not isinstance(writer, str):
        raise DecodeError("expected text", path=".segctl_version")
    if version >= CHECKSUM_VERSION and not isinstance(checksum, str):
        raise DecodeError("expected text", path=".checksum")
    state = from_plain(State, fields)
    if state.member_key and not is_key(state.member_key):
        raise DecodeError("expected 64 hexadecimal digits", path=".member_key")
    for address, _ in state.records():
        if not is_address(address):
            raise DecodeError(f'"{address}" is not an address such as segment.gold')
    for address, record in state.records():
        _check_record(address, record)
    return state


def _check_record(address: str, record: SegmentRecord) -> None:
    """Raise ``DecodeError`` for file names outside the state's folder and for impossible counts."""
    members, pairs = record.members, record.pairs
    for ref in record.files():
        if not FILE_NAME.fullmatch(ref.name):
            raise DecodeError(
                f"the name of a file of {address} is not 64 hexadecimal digits and .parquet"
            )
    base = members.base.rows if members.base else 0
    changed = sum(ref.rows for ref in members.changes)
    count = members.digest.count
    # Each row of a change file adds one member or removes one.
    if abs(count - base) > changed or (count - base - changed) % 2:
        rows = f"{base:,} and {changed:,} changes" if members.changes else f"{base:,}"
        raise DecodeError(f"{address} cannot have {count:,} members: its files contain {rows}")
    if not count and members.digest != SetDigest():
        raise DecodeError(f"{address} has no members, but its digest is not that of an empty set")
    pair_count, pair_rows = pairs.uncertain + pairs.refused, pairs.file.rows if pairs.file else 0
    if pair_count != pair_rows:
        raise DecodeError(
            f"{address} cannot have {pair_count:,} uncertain and refused pairs: "
            f"its file contains {pair_rows:,}"
        )
