"""Parse an Error Stream: the dashboard's list of entries that CleverTap skipped.

The stream has no fixed format, because people export it or copy it from the page: CSV, tabs or
semicolons, a JSON array, an object around an array, JSON Lines. Columns are recognized by their
names, in any spelling. A stream can be long, so the result is columns, not objects.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from segctl.core.codec import is_truncated
from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import InvalidInput
from segctl.core.rejects import EMPTY_IDENTITY, ERROR_TYPES, NO_SEGMENT_ID, RejectDetails, Rejects

LISTED_PROBLEMS = 100
"""How many unusable rows get a diagnostic of their own. The others are only counted."""

MAX_TYPE_LENGTH = 100
"""The length, in characters, to which an error type that is not in ``ERROR_TYPES`` is cut."""

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
"""The role of a column by its name in lower case, without spaces and punctuation."""

_DELIMITERS = "\t,;|"
_MAX_HEADER_LINE = 20
"""The header is one of the first lines; text copied from a page can begin with a title."""

_ABSENT = frozenset(("", "-", "–", "—", "n/a", "null"))
"""How an empty cell can be written."""

_SPACES = " \t\r\n\xa0\u200b\ufeff"
_WHOLE_NUMBER = re.compile(r"([0-9]+)(?:\.0+)?")
_OTHER_NUMBER = re.compile(r"[-+0-9.,eE\s]+")
_BETWEEN_VALUES = re.compile(r"[ \t\r\n,]*")
_BETWEEN_KEY_AND_VALUE = re.compile(r"[ \t\r\n:]*")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_MAX_DEPTH = 4
"""How deep in an object the array of entries may be."""

Cells = Mapping[Role, str] | str
"""The first value of each role in a row, or the problem that makes the row unusable."""


def parse_error_stream(data: bytes, *, file: str) -> Rejects:
    """Parse a stream; ``file`` is its name for messages.

    Raises ``InvalidInput`` with a diagnostic for each unusable row, by its line. A diagnostic
    never quotes a row, because rows contain identities.
    """
    rows = _Rows(file)
    try:
        text = _decode(data)
        is_json = text.lstrip(_SPACES).startswith(("[", "{"))
        for line, cells in _json_rows(text) if is_json else _delimited_rows(text):
            rows.add(line, cells)
    except _Unreadable as error:
        rows.add_problem(error.line, error.summary, error.detail)
    return rows.finish()


class _Unreadable(Exception):
    """The stream cannot be read from ``line`` on."""

    def __init__(self, line: int, summary: str, detail: str = "") -> None:
        super().__init__(summary)
        self.line = line
        self.summary = summary
        self.detail = detail


class _Rows:
    """Collects the columns of a stream and its problems."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Diagnostic] = []
        self._unlisted_problems = 0
        # An index into ``_details``, or a problem, by the cells that ``RejectDetails`` is made of.
        self._known: dict[tuple[str, str, str, str], int | str] = {}
        self._details: list[RejectDetails] = []
        self._detail_indexes: list[int] = []
        self._users: list[str] = []
        self._times: list[float | None] = []

    def add(self, line: int, cells: Cells) -> None:
        """Add a row, or the problem that makes it unusable."""
        if isinstance(cells, str):
            self.add_problem(line, cells)
            return
        key = (
            cells.get("ct_segment_id", ""),
            cells.get("customer_segment_id", ""),
            cells.get("type", ""),
            cells.get("account", ""),
        )
        detail_index = self._known.get(key)
        if detail_index is None:
            detail_index = self._known[key] = self._add_details(*key)
        if isinstance(detail_index, str):
            self.add_problem(line, detail_index)
            return
        user = cells.get("user", "").strip(_SPACES)
        if not user and self._details[detail_index].type != EMPTY_IDENTITY:
            self.add_problem(line, "the row does not name a user")
            return
        self._detail_indexes.append(detail_index)
        self._users.append(user)
        self._times.append(_parse_time(cells.get("time", "")))

    def _add_details(self, ct: str, customer: str, type_: str, account: str) -> int | str:
        """Return the index of new details, or the problem that makes the row unusable."""
        ct, customer = _present(ct), _present(customer)
        if match := _WHOLE_NUMBER.fullmatch(ct):
            ct = match[1]
        elif ct and _OTHER_NUMBER.fullmatch(ct):
            return "the Segment ID is not a whole number; a spreadsheet may have reformatted it"
        details = RejectDetails(
            ct_segment_id=ct or None,
            customer_segment_id=customer or None,
            type=_canonical_type(type_),
            account=account.strip(_SPACES),
        )
        if not ct and not customer and details.type != NO_SEGMENT_ID:
            return "the row does not name a segment"
        self._details.append(details)
        return len(self._details) - 1

    def add_problem(self, line: int, summary: str, detail: str = "") -> None:
        """Add a diagnostic for a line, or count it if there are many."""
        if len(self._problems) >= LISTED_PROBLEMS:
            self._unlisted_problems += 1
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
        """Return the columns; raises ``InvalidInput`` if a row was unusable."""
        if self._unlisted_problems:
            self._problems.append(
                Diagnostic(
                    code="unusable-reject",
                    summary=f"{self._unlisted_problems:,} more rows cannot be used",
                    location=Location(file=self._file),
                )
            )
        if self._problems:
            raise InvalidInput(self._problems)
        return Rejects(
            details=tuple(self._details),
            detail_indexes=self._detail_indexes,
            users=self._users,
            times=self._times,
        )


def _present(text: str) -> str:
    text = text.strip(_SPACES)
    return "" if text.lower() in _ABSENT else text


def _canonical_type(text: str) -> str:
    """Return the vendor's spelling of an error type; an unknown type is cut."""
    text = text.strip(_SPACES)
    word = re.sub("[^A-Za-z0-9]+", "_", text).upper()
    known = (t for t in ERROR_TYPES if word in (t, t.removeprefix("API_")))
    return next(known, text[:MAX_TYPE_LENGTH])


@lru_cache(maxsize=1024)
def _parse_time(text: str) -> float | None:
    """Parse ISO 8601 with a zone, or seconds or milliseconds since 1970."""
    text = text.strip(_SPACES)
    try:
        if text.isdecimal():
            return int(text) / {10: 1, 13: 1000}[len(text)]
        time = datetime.fromisoformat(text)
        return time.timestamp() if time.tzinfo else None
    except (LookupError, ValueError, OverflowError):
        return None


@lru_cache(maxsize=1024)
def _role(name: str) -> Role | None:
    return _ROLES.get(re.sub("[^a-z0-9]+", "", name.lower()))


def _decode(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark, which spreadsheets call Unicode text."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Unreadable(line, "the file is not UTF-8", "Save it as UTF-8.") from error


# Delimited text


def _delimited_rows(text: str) -> Iterator[tuple[int, Cells]]:
    """Yield the rows of delimited text, each with the number of its first line."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = _lines(text)
    header_line, delimiter, roles = _find_header(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    last_line = header_line
    try:
        for values in reader:
            first_line, last_line = last_line + 1, header_line + reader.line_num
            if any(map(str.strip, values)):
                yield first_line, _cells(roles, values)
    except csv.Error as error:
        raise _Unreadable(
            last_line + 1,
            "a quoted value is not closed correctly",
            'Write a quote inside a quoted value as "".',
        ) from error


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        # Not splitlines(): it also splits at characters that do not end a line of a file.
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _find_header(lines: Iterator[str]) -> tuple[int, str, list[Role | None]]:
    """Find the header; return its line number, the delimiter and the role of each column."""
    first_line = 0
    for number, line in enumerate(lines, start=1):
        first_line = first_line or (number if line.strip() else 0)
        for delimiter in _DELIMITERS:
            roles = [_role(name) for name in line.split(delimiter)]
            if "user" in roles and {"ct_segment_id", "customer_segment_id"} & set(roles):
                return number, delimiter, roles
        if number == _MAX_HEADER_LINE:
            break
    raise _Unreadable(
        first_line or 1,
        "there is no header with a column of users and a column of segments"
        if first_line
        else "the file is empty",
        "The columns are Segment ID, Customer Segment ID, User Identity and type.",
    )


def _cells(roles: Sequence[Role | None], values: Sequence[str]) -> Cells:
    if any(map(str.strip, values[len(roles) :])):
        return "the row has more values than the header has columns"
    return _first_values(zip(roles, values, strict=False))


def _first_values(pairs: Iterable[tuple[Role | None, str]]) -> Mapping[Role, str]:
    """Return the first value of each role that is not empty."""
    cells: dict[Role, str] = {}
    for role, value in pairs:
        if role is not None and value and not cells.get(role):
            cells[role] = value
    return cells


# JSON


def _json_rows(text: str) -> Iterator[tuple[int, Cells]]:
    """Yield the rows of an array, of an object around an array, or of JSON Lines."""
    try:
        yield from _entries(text)
    except json.JSONDecodeError as error:
        summary = (
            "the file ends in the middle of an entry or an array"
            if is_truncated(text, error)
            else f"this is not JSON ({error.msg})"
        )
        raise _Unreadable(error.lineno, summary) from error
    except RecursionError as error:
        raise _Unreadable(1, "the JSON is nested too deeply") from error


def _entries(text: str) -> Iterator[tuple[int, Cells]]:
    # Entries are decoded one by one, so that each gets its line and little memory is used.
    position = _skip(text, len(text) - len(text.lstrip(_SPACES)))
    array = position + 1 if text[position] == "[" else _find_array(text, position)
    position = position if array is None else array
    line, counted = 1, 0
    while (position := _skip(text, position)) < len(text):
        if array is not None and text[position] == "]":
            return
        line, counted = line + text.count("\n", counted, position), position
        value, position = _DECODER.raw_decode(text, position)
        yield line, _object_cells(value)
    if array is not None:
        raise json.JSONDecodeError("Expecting ']'", text, len(text))


def _skip(text: str, position: int, between: re.Pattern[str] = _BETWEEN_VALUES) -> int:
    match = between.match(text, position)
    return match.end() if match else position


def _find_array(text: str, position: int) -> int | None:
    """Return where the entries of an array inside an object begin.

    That is the first array of objects, or else the first empty array. ``None`` means that the
    object is an entry itself.
    """
    # All of the object is read first, so that it is an error if its end is missing.
    arrays = list(_arrays(text, position, depth=1))
    first = arrays[0][0] if arrays else None
    return next((start for start, is_empty in arrays if not is_empty), first)


def _arrays(text: str, position: int, *, depth: int) -> Iterator[tuple[int, bool]]:
    """Yield where each empty array and each array of objects begins, and whether it is empty."""
    position = _skip(text, position + 1)
    while text[position : position + 1] == '"':
        key, position = _DECODER.raw_decode(text, position)
        if _role(key) == "user":
            return
        position = _skip(text, position, _BETWEEN_KEY_AND_VALUE)
        opening = text[position : position + 1]
        first = _skip(text, position + 1)
        if opening == "[" and text.startswith(("{", "]"), first):
            yield position + 1, text.startswith("]", first)
        if opening == "{" and depth < _MAX_DEPTH:
            yield from _arrays(text, position, depth=depth + 1)
        _, position = _DECODER.raw_decode(text, position)
        position = _skip(text, position)


def _object_cells(value: Any) -> Cells:
    if not isinstance(value, dict):
        return "the entry is not a JSON object"
    pairs = [(role, v) for name, v in value.items() if (role := _role(name)) and v is not None]
    if not all(isinstance(text, str) for _, text in pairs):
        return "the entry has a value that is neither text nor a number"
    if not all(text.isascii() or _is_unicode(text) for _, text in pairs):
        return "the entry has a value that is not Unicode text"
    return _first_values(pairs)


def _is_unicode(text: str) -> bool:
    r"""Return whether text can be encoded as UTF-8; JSON's ``\ud800`` cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
