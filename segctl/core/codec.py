"""Frozen values to plain JSON values and back, strictly and without loss.

State and plan are nests of dataclasses; their type hints say all that a codec
needs, so there is one for both.  Reading takes nothing for granted: every field
is there, no other is, each has its type.  A field that may be left out would
let a head cut by hand forget that a request went unanswered.  But for those that
are ``OPTIONAL``: what they say saves work, and nothing else hangs on it.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar

from segctl.core.identity import SetDigest

T = TypeVar("T")

OPTIONAL: Mapping[str, Any] = {"optional": True}
"""The ``metadata`` of a field that is left out where it is empty; it needs a default."""


class DecodeError(ValueError):
    """Data that is not what it should be: ``place`` is a path such as ``changes[0].action``.

    ``problem`` never quotes the data, which may hold identities.
    """

    def __init__(self, problem: str, *, place: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place

    def __str__(self) -> str:
        """Give ``place: problem``."""
        return f"{self.place.removeprefix('.')}: {self.problem}" if self.place else self.problem


def dump_json(value: object) -> bytes:
    """Write plain values as canonical JSON: sorted keys, indented, one newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # A lone surrogate has no UTF-8; Python's escape for it happens to be JSON's.
    return (text + "\n").encode("utf-8", "backslashreplace")


def load_json(data: bytes) -> Any:
    """Read strict JSON: UTF-8, no key twice, no NaN; raises ``DecodeError``."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"byte {error.start + 1:,} is not UTF-8") from error
    if not text.strip():
        raise DecodeError("the file is empty")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise DecodeError(f"the file ends in the middle of line {error.lineno}") from error
        if any(line.startswith("<<<<<<< ") for line in text.splitlines()):
            raise DecodeError("the file holds the marks of a merge conflict") from error
        raise DecodeError(
            f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from error
    except RecursionError as error:
        raise DecodeError("the JSON is nested too deep") from error
    except DecodeError:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise DecodeError("the JSON holds a number that is too long") from error


def to_plain(value: object) -> Any:
    """Turn a value into JSON's: dataclasses to objects, tuples to arrays, digests to text."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case SetDigest():
            return str(value)
        case Mapping():
            return {str(key): to_plain(item) for key, item in value.items()}
        case Sequence():
            return [to_plain(item) for item in value]
    held = [(f, getattr(value, f.name)) for f in dataclasses.fields(typing.cast("Any", value))]
    return {f.name: to_plain(item) for f, item in held if item or not f.metadata.get("optional")}


def from_plain(kind: type[T], data: object) -> T:
    """Read what ``to_plain`` wrote of a dataclass; raises ``DecodeError`` naming the place."""
    return typing.cast("T", _read(kind, data))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DecodeError(f'the key "{twice}" stands twice in one object')
    return result


def _no_constant(name: str) -> NoReturn:
    raise DecodeError(f"{name} is not JSON")


def _read(kind: Any, data: object) -> Any:
    if kind is object:
        return data
    if kind in _SCALARS:
        return _SCALARS[kind](data)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _choice(data, {str(member): member for member in kind})
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data)
    return _GENERICS[typing.get_origin(kind)](typing.get_args(kind), data)


def _within(step: str, kind: Any, data: object) -> Any:
    try:
        return _read(kind, data)
    except DecodeError as misfit:
        misfit.place = step + misfit.place
        raise


@cache
def _optional_fields(kind: type) -> frozenset[str]:
    fields = dataclasses.fields(typing.cast("Any", kind))
    return frozenset(field.name for field in fields if field.metadata.get("optional"))


@cache
def _fields(kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(typing.cast("Any", kind))}


def _dataclass(kind: Any, data: object) -> Any:
    fields = _fields(kind)
    values = _expect(data, dict, "an object")
    if missing := sorted(fields.keys() - values.keys() - _optional_fields(kind)):
        raise DecodeError(f'"{missing[0]}" is missing')
    if unknown := sorted(values.keys() - fields.keys()):
        raise DecodeError(f'unknown field "{unknown[0]}"')
    return kind(
        **{
            name: _within(f".{name}", fields[name], values[name])
            for name in fields
            if name in values
        }
    )


def _optional(arguments: tuple[Any, ...], data: object) -> Any:
    (inner,) = (argument for argument in arguments if argument is not types.NoneType)
    return None if data is None else _read(inner, data)


def _literal(arguments: tuple[Any, ...], data: object) -> Any:
    return _choice(data, {name: name for name in arguments})


def _mapping(arguments: tuple[Any, ...], data: object) -> Any:
    items = _expect(data, dict, "an object").items()
    return {key: _within(f'["{key}"]', arguments[1], item) for key, item in items}


def _tuple(arguments: tuple[Any, ...], data: object) -> tuple[Any, ...]:
    items = _expect(data, list, "an array")
    if arguments[-1] is Ellipsis:
        kinds = [arguments[0]] * len(items)
    elif len(arguments) == len(items):
        kinds = list(arguments)
    else:
        raise DecodeError(f"expected {len(arguments)} values, found {len(items)}")
    return tuple(
        _within(f"[{index}]", kind, item)
        for index, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


def _expect(data: object, kind: type[T], words: str) -> T:
    if isinstance(data, kind):
        return data
    raise DecodeError(f"expected {words}, found {_found(data)}")


def _found(data: object) -> str:
    match data:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "another number"
        case str():
            return "text"
        case dict():
            return "an object"
    return "an array"


def _choice(data: object, choices: Mapping[str, Any]) -> Any:
    if isinstance(data, str) and data in choices:
        return choices[data]
    raise DecodeError(f"expected one of {', '.join(choices)}")


def _text(data: object) -> str:
    return _expect(data, str, "text")


def _flag(data: object) -> bool:
    return _expect(data, bool, "true or false")


def _whole(data: object) -> int:
    # Every whole number kept counts, orders or names something: none is negative.
    if isinstance(data, int) and not isinstance(data, bool) and data >= 0:
        return data
    raise DecodeError(f"expected a whole number from 0 up, found {_found(data)}")


def _number(data: object) -> float:
    if isinstance(data, int | float) and not isinstance(data, bool):
        try:
            if math.isfinite(number := float(data)):
                return number
        except OverflowError:
            pass
    raise DecodeError(f"expected a number, found {_found(data)}")


def _digest(data: object) -> SetDigest:
    text = _text(data)
    try:
        digest = SetDigest.parse(text)
    except ValueError:
        digest = None
    if digest is None or str(digest) != text:
        raise DecodeError("expected a digest: a count, a colon and 32 hexadecimal digits")
    return digest


_SCALARS: Mapping[Any, Any] = {
    str: _text,
    bool: _flag,
    int: _whole,
    float: _number,
    SetDigest: _digest,
}

_GENERICS: Mapping[Any, Any] = {
    types.UnionType: _optional,
    Literal: _literal,
    Mapping: _mapping,
    tuple: _tuple,
}
