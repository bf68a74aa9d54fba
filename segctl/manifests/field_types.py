"""How one value of a manifest is read: text as written, numbers, booleans, names.

A field's type decides what an unquoted scalar means, never YAML: ``0012345`` is
text where text is asked for, and a number only where a number is.
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

from segctl.core.address import NAME_PATTERN
from segctl.manifests.yaml_tree import Unquoted

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DIGITS = re.compile("-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_INVISIBLE = re.compile("[\\u200b\\u2060\\ufeff\\u202a-\\u202e\\u2066-\\u2069]")
"""Without width, or turning the direction of text: names that differ would look alike."""
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]")


class _AsWritten:
    """Tells editors that an unquoted number or word is fine where text is asked for."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        json = handler(schema)
        json["type"] = ["string", "number", "boolean"]
        return json


class _NotNull:
    """Lets a field be left out, and not be there without a value."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        (inner,) = (kind for kind in get_args(source) if kind is not NoneType)
        return handler.generate_schema(inner)


def problem(code: str, summary: str, detail: str = "") -> PydanticCustomError:
    """Give an error that ``explain.py`` shows in these words; ``{name}`` is the field's."""
    return PydanticCustomError(code, "{summary}", {"summary": summary, "detail": detail})


def _whole(value: Any) -> Any:
    if isinstance(value, Unquoted) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, Unquoted) and _DIGITS.fullmatch(value):
        raise problem("wrong-type", "{name} has too many digits.", "Write at most 18.")
    raise problem("wrong-type", "{name} must be a whole number.", _found(value))


def _decimal(value: Any) -> Any:
    if isinstance(value, Unquoted) and _DECIMAL.fullmatch(value):
        return float(value)
    raise problem("wrong-type", "{name} must be a number.", _found(value))


def _boolean(value: Any) -> Any:
    if isinstance(value, Unquoted) and value in ("true", "false"):
        return value == "true"
    raise problem("wrong-type", "{name} must be true or false.", _found(value))


def _found(value: Any) -> str:
    """Say what stands there instead, in a sentence."""
    if isinstance(value, Unquoted):
        return f'Here it is "{value}".' if len(value) < 40 else ""
    if isinstance(value, str):
        return "Write it without quotes."
    return f"Here it is {shape(value)}."


def shape(value: object) -> str:
    """Name the shape of a value, for messages."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else "a single value"


def _line(value: str) -> str:
    if not value.strip():
        raise problem("blank", "{name} is blank.", "Write some text.")
    if _CONTROL.search(value):
        raise problem("control-character", "{name} has a control character in it.", "Remove it.")
    if found := _INVISIBLE.search(value):
        summary = f"{{name}} has the invisible character U+{ord(found[0]):04X} in it."
        raise problem("invisible-character", summary, "Remove it.")
    if value != value.strip():
        advice = "Remove it; it would become part of the name."
        raise problem("white-space", "{name} has white space around it.", advice)
    return value


def _environment_name(value: str) -> str:
    # The value is not shown: it may be what belongs into the environment, a password in it.
    if not re.fullmatch(ENVIRONMENT_NAME, value):
        summary = "{name} must be the name of an environment variable."
        raise problem("bad-name", summary, "Write one such as WAREHOUSE_URL.")
    return value


def _table_name(value: str) -> str:
    if not re.fullmatch(TABLE_NAME, value):
        summary = "{name} must be the name of a table, with or without its schema."
        advice = "Write public.users; for a name with other characters, use sql."
        raise problem("bad-name", summary, advice)
    return value


_T = TypeVar("_T")

Given = Annotated[_T | None, _NotNull()]
"""A field that may be left out (``None`` then); a null in its place is an error."""

Text = Annotated[str, _AsWritten()]
"""Any text, taken as written."""

Line = Annotated[Text, AfterValidator(_line)]
"""Text of one line, not blank, without white space around it."""

Name = Annotated[Text, Field(pattern=f"^{NAME_PATTERN}$")]
"""The name of an object."""

VariableName = Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")]

ENVIRONMENT_NAME = "[A-Za-z_][A-Za-z0-9_]*"
EnvironmentName = Annotated[
    str,
    AfterValidator(_environment_name),
    WithJsonSchema({"type": "string", "pattern": f"^{ENVIRONMENT_NAME}$"}),
]
"""The name of an environment variable, never its value."""

TABLE_NAME = r"[^\s.\"]+(?:\.[^\s.\"]+)?"
TableName = Annotated[
    str,
    AfterValidator(_table_name),
    WithJsonSchema({"type": "string", "pattern": f"^{TABLE_NAME}$"}),
]
"""The name of a table in a database, in its own case, with or without its schema."""

_Whole = BeforeValidator(_whole)
_Decimal = BeforeValidator(_decimal)

Count = Annotated[int, Field(ge=0), _Whole]
Concurrency = Annotated[int, Field(ge=1, le=100), _Whole]
Percent = Annotated[float, Field(ge=0, le=100), _Decimal]
TimeLimit = Annotated[float, Field(ge=1, le=86_400), _Decimal]
Seconds = Annotated[float, Field(ge=0, le=86_400), _Decimal]
Days = Annotated[float, Field(ge=0, le=36_500), _Decimal]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
