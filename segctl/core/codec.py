"""Convert frozen dataclasses to JSON values and back, strictly and without loss.

State, plans and lock files are nested dataclasses, and their type hints define the format.
Decoding is strict: every field must be present, no other field may be, and each must have the
declared type. A missing field is an error because a default could hide a loss: a head without its
uncertain pairs would look like a head that has none. Fields marked ``OPTIONAL`` may be
missing; they only save work.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar

from segctl.core.identity import SetDigest

T = TypeVar("T")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_JSON_SCALARS = frozenset((str, int, float, bool, types.NoneType))

OPTIONAL: Mapping[str, Any] = {"optional": True}
"""``metadata`` of a field with a default that is left out while it has that default."""


class DecodeError(ValueError):
    """The data does not have the expected form.

    ``path`` is where, such as ``changes[0].action``. ``problem`` never quotes the data, which may
    contain identities.
    """

    def __init__(self, problem: str, *, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        """Return ``path: problem``."""
        return f"{self.path.removeprefix('.')}: {self.problem}" if self.path else self.problem


def dump_json(value: object) -> bytes:
    """Encode JSON values canonically: sorted keys, an indent of two, a newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # A lone surrogate cannot be encoded in UTF-8. The escape that Python writes is valid JSON.
    return (text + "\n").encode("utf-8", "backslashreplace")


def load_json(data: bytes) -> Any:
    """Decode strict JSON: UTF-8, no duplicate keys, no NaN; raises ``DecodeError``."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"byte {error.start + 1:,} is not UTF-8") from error
    if not text.strip():
        raise DecodeError("the file is empty")
    value = _parse_json(text)
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DecodeError("a text has half of a surrogate pair") from error
    return value


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if is_truncated(text, error):
            raise DecodeError(f"the file ends in the middle of line {error.lineno}") from error
        if any(line.startswith("<<<<<<< ") for line in text.splitlines()):
            raise DecodeError("the file contains the markers of a merge conflict") from error
        raise DecodeError(
            f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from error
    except RecursionError as error:
        raise DecodeError("the JSON is nested too deeply") from error
    except DecodeError:
        raise
    except ValueError as error:  # an integer with more digits than Python parses
        raise DecodeError("the JSON contains a number with too many digits") from error


def is_truncated(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether JSON text failed to parse because its end is missing."""
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise DecodeError(f'the key "{duplicate}" occurs twice in one object')
    return result


def _no_constant(name: str) -> NoReturn:
    raise DecodeError(f"{name} is not JSON")


def to_plain(value: object) -> Any:
    """Convert a value to JSON values: dataclasses to objects, tuples to arrays, enums to text."""
    kind: Any = type(value)
    if kind in _JSON_SCALARS:
        return value
    match value:
        case str() | SetDigest():
            return str(value)
        case dict() | Mapping():
            return {str(key): to_plain(item) for key, item in value.items()}
        case tuple() | list() | Sequence():
            if set(map(type, value)) <= _JSON_SCALARS:  # such as the members in a manifest
                return list(value)
            return [to_plain(item) for item in value]
    items = [(name, field, getattr(value, name)) for name, field in _optional_fields(kind)]
    return {
        name: to_plain(item)
        for name, field, item in items
        if field is None or not _is_omitted(field, item)
    }


@cache
def _optional_fields(kind: Any) -> tuple[tuple[str, "dataclasses.Field[Any] | None"], ...]:
    """Return the names of all fields, each with the field if it may be left out."""
    return tuple(
        (field.name, field if field.metadata.get("optional") else None)
        for field in dataclasses.fields(kind)
    )


def _is_omitted(field: "dataclasses.Field[Any]", value: object) -> bool:
    """Whether an optional field is left out. The limit 0 only looks empty, and is not."""
    if field.default is dataclasses.MISSING:
        return not value
    return type(value) is type(field.default) and value == field.default


def from_plain(kind: type[T], data: object) -> T:
    """Convert the result of ``to_plain`` back to the dataclass ``kind``.

    Raises ``DecodeError`` with the path of the first value that does not fit.
    """
    return typing.cast("T", _decode(kind, data))


def _decode(hint: Any, data: object) -> Any:
    """Return ``data`` as a value of the type that ``hint`` describes."""
    if decode_scalar := _SCALARS.get(hint):
        return decode_scalar(data)
    if dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, data)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(_decode_choice([str(member) for member in hint], data))
    return _decode_generic(typing.get_origin(hint), typing.get_args(hint), data)


def _decode_generic(origin: Any, arguments: tuple[Any, ...], data: object) -> Any:
    if origin is types.UnionType:  # always X | None
        return None if data is None else _decode(arguments[0], data)
    if origin is Literal:
        return _decode_choice(arguments, data)
    if origin is tuple:
        return _decode_tuple(arguments, data)
    items = _expect(data, dict, "an object").items()
    return {key: _decode_at(f'["{key}"]', arguments[1], item) for key, item in items}


def _decode_at(step: str, hint: Any, data: object) -> Any:
    """Decode the part of a value at ``step``, which an error adds to its path."""
    try:
        return _decode(hint, data)
    except DecodeError as error:
        error.path = step + error.path
        raise


@cache
def _field_hints(kind: Any) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@cache
def _required_fields(kind: Any) -> frozenset[str]:
    fields = dataclasses.fields(kind)
    return frozenset(field.name for field in fields if not field.metadata.get("optional"))


def _decode_dataclass(kind: Any, data: object) -> Any:
    hints = _field_hints(kind)
    values = _expect(data, dict, "an object")
    if missing := sorted(_required_fields(kind) - values.keys()):
        raise DecodeError(f'"{missing[0]}" is missing')
    if unknown := sorted(values.keys() - hints.keys()):
        raise DecodeError(f'unknown field "{unknown[0]}"')
    return kind(
        **{
            name: _decode_at(f".{name}", hint, values[name])
            for name, hint in hints.items()
            if name in values
        }
    )


def _decode_tuple(arguments: tuple[Any, ...], data: object) -> tuple[Any, ...]:
    items = _expect(data, list, "an array")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(items)
    if len(arguments) != len(items):
        raise DecodeError(f"expected {len(arguments)} values, found {len(items)}")
    return tuple(
        _decode_at(f"[{index}]", hint, item)
        for index, (hint, item) in enumerate(zip(arguments, items, strict=True))
    )


def _decode_choice(choices: Sequence[str], data: object) -> str:
    if isinstance(data, str) and data in choices:
        return data
    raise DecodeError(f"expected one of {', '.join(choices)}")


def _decode_text(data: object) -> str:
    return _expect(data, str, "text")


def _decode_flag(data: object) -> bool:
    return _expect(data, bool, "true or false")


def _decode_whole_number(data: object) -> int:
    if not isinstance(data, int) or isinstance(data, bool):
        raise DecodeError(f"expected a whole number, found {_describe(data)}")
    # Every whole number in the formats counts, orders or identifies something.
    if data < 0:
        raise DecodeError("expected a whole number, found a negative one")
    return data


def _decode_number(data: object) -> float:
    if not isinstance(data, int | float) or isinstance(data, bool):
        raise DecodeError(f"expected a number, found {_describe(data)}")
    try:
        number = float(data)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DecodeError("expected a number, found one that is too large")
    return number


def _decode_digest(data: object) -> SetDigest:
    text = _decode_text(data)
    try:
        digest = SetDigest.parse(text)
    except ValueError:
        digest = None
    if digest is None or str(digest) != text:
        raise DecodeError("expected a digest: a count, a colon and 32 hexadecimal digits")
    return digest


_SCALARS: Mapping[Any, Any] = {
    str: _decode_text,
    bool: _decode_flag,
    int: _decode_whole_number,
    float: _decode_number,
    SetDigest: _decode_digest,
    object: lambda data: data,
}


def _expect(data: object, kind: type[T], description: str) -> T:
    if isinstance(data, kind):
        return data
    raise DecodeError(f"expected {description}, found {_describe(data)}")


_DESCRIPTIONS = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a decimal number",
    str: "text",
    list: "an array",
    dict: "an object",
}


def _describe(data: object) -> str:
    return _DESCRIPTIONS[type(data)]
