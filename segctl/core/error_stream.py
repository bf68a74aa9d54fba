"""The Error Stream as text: entries that CleverTap skipped after it had accepted their request.

The dashboard is the only place that shows them, and people copy from it as they can:
CSV, tabs or semicolons, a JSON array, an object around one, JSON lines; columns are
known by their names, however these are spelled.  A stream may be long, so its rows
are held as columns, and what repeats in them once.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import InvalidInput
from segctl.core.rejects import EMPTY_IDENTITY, ERROR_TYPES, NO_SEGMENT_ID, RejectDetails, Rejects

LISTED_PROBLEMS = 100
"""How many unusable rows are told one by one; the others are counted."""

LONGEST_TYPE = 100
"""Characters kept of an error type that is none of ``ERROR_TYPES``."""

Role = Literal["user", "ct_segment_id", "customer_segment_id", "type", "time", "account"]

_NAMES: Mapping[Role, str] = {
    "user": "useridentity identity guid identityguid identityorguid useridentityorguid userid "
    "clevertapid",
    "ct_segment_id": "segmentid ctsegmentid clevertapsegmentid",
    "customer_segment_id": "customersegmentid",
    "type": "errortype type error errorcode reason",
    "time": "time timestamp errortime datetime date ts createdat loggedat",
    "account": "accountid account",
}
_ROLES: Mapping[str, Role] = {
    name: role for role, names in _NAMES.items() for name in names.split()
}
"""What a column is by its name in lower case, without spaces and signs."""

_DELIMITERS = "\t,;|"
_HEADER_WITHIN = 20
"""Lines in which the header must stand: a paste may begin with a title."""

_ABSENT = frozenset(("", "-", "–", "—", "n/a", "null"))
"""How an empty cell may look."""

_SPACES = " \t\r\n\xa0\u200b\ufeff"
_WHOLE = re.compile(r"([0-9]+)(?:\.0+)?")
_MANGLED = re.compile(r"[-+0-9.,eE\s]+")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_DEEPEST = 4


def parse_error_stream(data: bytes, *, file: str) -> Rejects:
    """Read a stream; ``file`` is its name for messages.

    Raises ``InvalidInput`` with a diagnostic for each unusable row, by its line; none
    of them quotes a row, which holds an identity.
    """
    rows = _Rows(file)
    try:
        text = _text(data)
        begin = text.lstrip(_SPACES)[:1]
        for line, cells in _objects(text) if begin in ("[", "{") else _records(text):
            rows.add(line, cells)
    except _Unreadable as error:
        rows.problem(error.line, error.summary, error.detail)
    return rows.finish()


class _Unreadable(Exception):
    """The stream cannot be read from ``line`` on."""

    def __init__(self, line: int, summary: str, detail: str = "") -> None:
        super().__init__(summary)
        self.line = line
        self.summary = summary
        self.detail = detail


Cells = Mapping[Role, str] | str
"""The first value of each role in one row; or what is wrong with the row."""


class _Rows:
    """Columns being filled, and problems being collected."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Diagnostic] = []
        self._more = 0
        self._known: dict[tuple[str, str, str, str], int | str] = {}
        self._labels: list[RejectDetails] = []
        self._label: list[int] = []
        self._users: list[str] = []
        self._times: list[float | None] = []

    def add(self, line: int, cells: Cells) -> None:
        """Take one row."""
        if isinstance(cells, str):
            self.problem(line, cells)
            return
        key = (
            cells.get("ct_segment_id", ""),
            cells.get("customer_segment_id", ""),
            cells.get("type", ""),
            cells.get("account", ""),
        )
        label = self._known.get(key)
        if label is None:
            label = self._known[key] = self._labelled(*key)
        if isinstance(label, str):
            self.problem(line, label)
            return
        user = cells.get("user", "").strip(_SPACES)
        if not user and self._labels[label].type != EMPTY_IDENTITY:
            self.problem(line, "the row names no user")
            return
        self._label.append(label)
        self._users.append(user)
        self._times.append(_time(cells.get("time", "")))

    def _labelled(self, ct: str, customer: str, type_: str, account: str) -> int | str:
        """Give the index of a label, or what is wrong with it."""
        ct, customer = _present(ct), _present(customer)
        if found := _WHOLE.fullmatch(ct):
            ct = found[1]
        elif ct and _MANGLED.fullmatch(ct):
            return "its Segment ID is no whole number; a spreadsheet may have changed it"
        label = RejectDetails(
            ct_segment_id=ct or None,
            customer_segment_id=customer or None,
            type=_canonical_type(type_),
            account=account.strip(_SPACES),
        )
        if not ct and not customer and label.type != NO_SEGMENT_ID:
            return "the row names no segment"
        self._labels.append(label)
        return len(self._labels) - 1

    def problem(self, line: int, summary: str, detail: str = "") -> None:
        """Note what is wrong with a row."""
        if len(self._problems) >= LISTED_PROBLEMS:
            self._more += 1
            return
        self._problems.append(
            Diagnostic(
                code="unusable-reject",
                summary=summary,
                detail=detail,
                location=Location(file=self._file, line=line),
            )
        )

    def finish(self) -> Rejects:
        """Give the columns; raises ``InvalidInput`` where a row could not be used."""
        if self._more:
            self._problems.append(
                Diagnostic(
                    code="unusable-reject",
                    summary=f"{self._more:,} more rows cannot be used",
                    location=Location(file=self._file),
                )
            )
        if self._problems:
            raise InvalidInput(self._problems)
        return Rejects(
            details=tuple(self._labels),
            detail_indexes=self._label,
            users=self._users,
            times=self._times,
        )


def _present(text: str) -> str:
    text = text.strip(_SPACES)
    return "" if text.lower() in _ABSENT else text


def _canonical_type(text: str) -> str:
    """Give the vendor's spelling of a type, or what stands there, shortened."""
    text = text.strip(_SPACES)
    word = re.sub("[^A-Za-z0-9]+", "_", text).upper()
    return next(
        (t for t in ERROR_TYPES if word in (t, t.removeprefix("API_"))), text[:LONGEST_TYPE]
    )


@lru_cache(maxsize=1024)
def _time(text: str) -> float | None:
    """Read ISO 8601 with a zone, or seconds or milliseconds since 1970."""
    text = text.strip(_SPACES)
    try:
        if text.isdecimal():
            return int(text) / {10: 1, 13: 1000}[len(text)]
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (LookupError, ValueError, OverflowError):
        return None


@lru_cache(maxsize=1024)
def _role(name: str) -> Role | None:
    return _ROLES.get(re.sub("[^a-z0-9]+", "", name.lower()))


def _text(data: bytes) -> str:
    """Decode UTF-8, or the UTF-16 that spreadsheets call Unicode text."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Unreadable(line, "the file is not UTF-8", "Save it as UTF-8.") from error


# Delimited text


def _records(text: str) -> Iterator[tuple[int, Cells]]:
    """Give the rows of delimited text, each with the number of its first line."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = _lines(text)
    number, delimiter, roles = _header(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    end = number
    try:
        for values in reader:
            begin, end = end + 1, number + reader.line_num
            if any(map(str.strip, values)):
                yield begin, _cells(roles, values)
    except csv.Error as error:
        raise _Unreadable(
            end + 1, "a quoted value does not end where it should", 'Write a quote inside as "".'
        ) from error


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        # Not splitlines(), which also splits where no line of a file ends.
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _header(lines: Iterator[str]) -> tuple[int, str, list[Role | None]]:
    """Find the header; give its line's number, the delimiter, and what each column is."""
    first = 0
    for number, line in enumerate(lines, start=1):
        first = first or (number if line.strip() else 0)
        for delimiter in _DELIMITERS:
            roles = [_role(name) for name in line.split(delimiter)]
            if "user" in roles and {"ct_segment_id", "customer_segment_id"} & set(roles):
                return number, delimiter, roles
        if number == _HEADER_WITHIN:
            break
    raise _Unreadable(
        first or 1,
        "there is no header line that names a column of users and one of segments"
        if first
        else "the file is empty",
        "The columns are Segment ID, Customer Segment ID, User Identity and type.",
    )


def _cells(roles: Sequence[Role | None], values: Sequence[str]) -> Cells:
    if any(map(str.strip, values[len(roles) :])):
        return "the row has more values than the header has columns"
    return _first(zip(roles, values, strict=False))


def _first(pairs: Iterable[tuple[Role | None, str]]) -> Mapping[Role, str]:
    """Give the first value that is there for each role."""
    cells: dict[Role, str] = {}
    for role, value in pairs:
        if role is not None and value and not cells.get(role):
            cells[role] = value
    return cells


# JSON


def _objects(text: str) -> Iterator[tuple[int, Cells]]:
    """Give the objects of an array, in an object or not, or of JSON lines."""
    try:
        yield from _values(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        summary = "the file ends in the middle" if cut else f"this is not JSON ({error.msg})"
        raise _Unreadable(error.lineno, summary) from error
    except RecursionError as error:
        raise _Unreadable(1, "the JSON is nested too deep") from error


def _values(text: str) -> Iterator[tuple[int, Cells]]:
    at = _skip(text, len(text) - len(text.lstrip(_SPACES)))
    start = at + 1 if text[at] == "[" else _array_in(text, at)
    at = at if start is None else start
    line, counted = 1, 0
    while (at := _skip(text, at)) < len(text):
        if start is not None and text[at] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        value, at = _DECODER.raw_decode(text, at)
        yield line, _object(value)
    if start is not None:
        raise json.JSONDecodeError("Expecting ']'", text, len(text))


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _array_in(text: str, at: int) -> int | None:
    """Give where the entries of the array in an object begin; ``None`` where it is a row itself.

    The first array of objects counts, else the first empty one.
    """
    found = list(_arrays(text, at, depth=1))
    return next((place for place, filled in found if filled), found[0][0] if found else None)


def _arrays(text: str, at: int, *, depth: int) -> Iterator[tuple[int, bool]]:
    at = _skip(text, at + 1)
    while text[at : at + 1] == '"':
        key, at = _DECODER.raw_decode(text, at)
        if _role(key) == "user":
            return
        at = _BETWEEN_KEY.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing too
        opening = text[at : at + 1]
        if opening == "[" and text.startswith(("{", "]"), _skip(text, at + 1)):
            yield at + 1, text.startswith("{", _skip(text, at + 1))
        if opening == "{" and depth < _DEEPEST:
            yield from _arrays(text, at, depth=depth + 1)
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)


_BETWEEN_KEY = re.compile(r"[ \t\r\n:]*")


def _object(value: Any) -> Cells:
    if not isinstance(value, dict):
        return "the entry is no JSON object"
    pairs = [(role, v) for name, v in value.items() if (role := _role(name)) and v is not None]
    if not all(isinstance(text, str) for _, text in pairs):
        return "the entry has a value that is neither text nor a number"
    if not all(text.isascii() or _is_unicode(text) for _, text in pairs):
        return "the entry has a value that is not Unicode text"
    return _first(pairs)


def _is_unicode(text: str) -> bool:
    r"""Tell whether text can be written as UTF-8; JSON's ``\\ud800`` cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
