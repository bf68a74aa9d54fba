"""The types of manifest fields: text, names, numbers, true and false.

The type of a field decides what an unquoted scalar means, not YAML: ``0012345`` is text in a text
field and a number only in a number field.
"""

import re
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from segctl.core.address import NAME_PATTERN, is_address, is_name
from segctl.core.resources import SizeTooSmall, parse_size
from segctl.manifests.yaml_tree import Unquoted

_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DIGITS = re.compile("-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_INVISIBLE = re.compile("[\\u200b\\u2060\\ufeff\\u202a-\\u202e\\u2066-\\u2069]")
"""Characters without width or that change the text direction: different names would look alike."""
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]")
_NOT_IN_RE2 = re.compile(r"\(\?(?:[=!>#(]|<[=!]|P=)|(?<!\\)(?:\\\\)*\\[1-9Z]|[*+?}]\+")
"""Lookarounds, atomic groups, conditions, references to groups, possessive repetition."""
_MAX_SHOWN = 40
"""Longer values are not shown in messages."""


class _AsWritten:
    """Declares in the JSON Schema that a text field accepts unquoted numbers and words."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        json = handler(schema)
        json["type"] = ["string", "number", "boolean"]
        return json


class _NotNull:
    """Removes ``None`` from the values that a field accepts; its default may be ``None``."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        (inner,) = (kind for kind in get_args(source) if kind is not NoneType)
        return handler.generate_schema(inner)


def field_error(code: str, summary: str, detail: str = "") -> PydanticCustomError:
    """Return an error that ``explain.py`` turns into a diagnostic with this code and text.

    ``{name}`` in the summary becomes the name of the field.
    """
    return PydanticCustomError(code, "{summary}", {"summary": summary, "detail": detail})


def _whole_number(value: Any) -> int:
    if isinstance(value, Unquoted) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, Unquoted) and _DIGITS.fullmatch(value):
        raise field_error("wrong-type", "{name} has too many digits.", "Write at most 18 digits.")
    raise _type_error("a whole number", value, "Write plain digits, such as 10.")


def _size(value: str) -> str:
    try:
        parse_size(value)
    except SizeTooSmall:
        raise field_error(
            "out-of-range", "{name} is too small.", "Write at least 128MiB."
        ) from None
    except ValueError:
        raise field_error(
            "wrong-type", "{name} is not a size.", "Write it as 512MB or 4GB."
        ) from None
    return value


def _time_zone(value: str) -> str:
    from segctl.core.local_time import is_time_zone  # noqa: PLC0415 - rarely needed

    if not is_time_zone(value):
        raise field_error(
            "unknown-time-zone",
            "{name} is not a time zone.",
            "Write the name of a zone, such as UTC, Asia/Kolkata or America/New_York.",
        )
    return value


def _regular_expression(value: str) -> str:
    """Refuse what RE2 cannot parse. DuckDB has it; Python's syntax is a superset."""
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        raise field_error(
            "bad-pattern", "{name} is not a regular expression.", "Check its brackets and escapes."
        ) from None
    if _NOT_IN_RE2.search(value):
        raise field_error(
            "bad-pattern",
            "{name} looks ahead or back, or refers to a group, which RE2 cannot do.",
            "Describe the whole value with plain parts, such as [0-9]{8,12}.",
        )
    return value


def _field_delimiter(value: str) -> str:
    value = "\t" if value == "\\t" else value
    if len(value) != 1 or value.isalnum() or value in ' "\r\n\0\ufeff':
        raise field_error(
            "bad-delimiter",
            "{name} is not one character that can separate values.",
            'Write a character such as ";" or "|", or "\\t" for a tab.',
        )
    return value


def _decimal(value: Any) -> float:
    if isinstance(value, Unquoted) and _DECIMAL.fullmatch(value):
        return float(value)
    raise _type_error("a number", value, "Write plain digits, such as 10 or 2.5.")


def _boolean(value: Any) -> bool:
    if isinstance(value, Unquoted) and value in ("true", "false"):
        return value == "true"
    raise _type_error("true or false", value, "Write true or false.")


def _type_error(wanted: str, value: object, advice: str) -> PydanticCustomError:
    if isinstance(value, Unquoted):
        but = f', but it is "{value}"' if len(value) < _MAX_SHOWN else ""
    elif isinstance(value, str):
        but, advice = ", but it is text in quotes", "Remove the quotes."
    else:
        but = f", but it is {shape(value)}"
    return field_error("wrong-type", f"{{name}} must be {wanted}{but}.", advice)


def shape(value: object) -> str:
    """Return the name of a value's shape, for messages."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else "a single value"


def _line(value: str) -> str:
    if not value.strip():
        raise field_error("blank", "{name} is blank.", "Write a value.")
    if _CONTROL.search(value):
        summary = "{name} contains a control character."
        raise field_error("control-character", summary, "Remove the character.")
    if invisible := _INVISIBLE.search(value):
        summary = f"{{name}} contains the invisible character U+{ord(invisible[0]):04X}."
        raise field_error("invisible-character", summary, "Remove the character.")
    if value != value.strip():
        summary = "{name} begins or ends with white space."
        raise field_error("white-space", summary, "Remove it; it would be part of the value.")
    return value


def _address(value: str) -> str:
    if not is_address(value):
        advice = f"Write segment.{value}." if is_name(value) else "An address reads segment.NAME."
        raise field_error("bad-address", "{name} is not an address.", advice)
    return value


def _environment_name(value: str) -> str:
    # The value is not shown: it may be the URL itself, with its password.
    if not re.fullmatch(ENVIRONMENT_NAME, value):
        summary = "{name} must be the name of an environment variable."
        raise field_error("bad-name", summary, "Write a name such as WAREHOUSE_URL.")
    return value


def _table_name(value: str) -> str:
    if not re.fullmatch(TABLE_NAME, value):
        summary = "{name} must be the name of a table, with or without its schema."
        advice = "Write it as in public.users. If the name has other characters, use sql."
        raise field_error("bad-name", summary, advice)
    return value


_T = TypeVar("_T")

Omittable = Annotated[_T | None, _NotNull()]
"""A field that may be left out, and is then ``None``. An explicit null is an error."""

Text = Annotated[str, _AsWritten()]
"""Any text, exactly as written."""

Line = Annotated[Text, AfterValidator(_line)]
"""One line of text, not blank, without white space at its ends."""

Size = Annotated[Text, AfterValidator(_size)]
"""An amount of memory or of disk space, such as 512MB."""

TimeZone = Annotated[Text, AfterValidator(_time_zone)]
"""The name of a time zone, such as Asia/Kolkata."""

RegularExpression = Annotated[Text, AfterValidator(_regular_expression)]
"""A regular expression of RE2 that whole values match."""

FieldDelimiter = Annotated[Text, AfterValidator(_field_delimiter)]
"""The character between two values of a line."""

Name = Annotated[Text, Field(pattern=f"^{NAME_PATTERN}$")]
"""The name of an object."""

Address = Annotated[
    Text,
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "pattern": rf"^segment\.{NAME_PATTERN}$"}),
]
"""The address of a segment, such as segment.gold."""

VariableName = Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")]

ENVIRONMENT_NAME = "[A-Za-z_][A-Za-z0-9_]*"
EnvironmentName = Annotated[
    str,
    AfterValidator(_environment_name),
    WithJsonSchema({"type": "string", "pattern": f"^{ENVIRONMENT_NAME}$"}),
]
"""The name of an environment variable."""

TABLE_NAME = r"[^\s.\"]+(?:\.[^\s.\"]+)?"
TableName = Annotated[
    str,
    AfterValidator(_table_name),
    WithJsonSchema({"type": "string", "pattern": f"^{TABLE_NAME}$"}),
]
"""The name of a database table, case-sensitive, with or without its schema."""

_WholeNumber = BeforeValidator(_whole_number)
_Decimal = BeforeValidator(_decimal)

Count = Annotated[int, Field(ge=0), _WholeNumber]
Positive = Annotated[int, Field(ge=1), _WholeNumber]
Concurrency = Annotated[int, Field(ge=1, le=100), _WholeNumber]
Percent = Annotated[float, Field(ge=0, le=100), _Decimal]
GrowthPercent = Annotated[float, Field(ge=0, le=1_000_000), _Decimal]
TimeLimit = Annotated[float, Field(ge=1, le=86_400), _Decimal]
Seconds = Annotated[float, Field(ge=0, le=86_400), _Decimal]
Days = Annotated[float, Field(ge=0, le=36_500), _Decimal]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
