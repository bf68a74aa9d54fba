"""Property filters of a trigger, in the form of the vendor's query language.

A filter is ``{"name", "operator", "value"}`` and is applied to the four properties of a
Segment Membership Change event.  The operators and lists of values are documented; case
and the comparison of a number with a numeric string are inferred.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segctl.emulator.errors import InvalidFieldError

PROPERTIES = ("Action", "Segment Name", "Segment ID", "Customer_Segment_ID")
"""The properties of the event, as the vendor spells them."""

ORDERED: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": lambda left, right: left > right,
    "greater_than_equals": lambda left, right: left >= right,
    "less_than": lambda left, right: left < right,
    "less_than_equals": lambda left, right: left <= right,
}
NEGATIVE = {"not_equals": "equals", "does_not_contain": "contains", "does_not_exist": "exists"}
OPERATORS = ("equals", "contains", "exists", *NEGATIVE, *ORDERED)
MAX_VALUES = 100

Primitive = str | int | float


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One property filter; several ``values`` are alternatives."""

    name: str
    operator: str
    values: tuple[Primitive, ...]

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Whether an event with these properties passes the filter."""
        found = properties[self.name]
        if self.operator in NEGATIVE:
            return not self._passes(NEGATIVE[self.operator], found)
        return self._passes(self.operator, found)

    def _passes(self, operator: str, found: Any) -> bool:
        if found is None or operator == "exists":
            return found is not None
        if operator in ORDERED:
            numbers = [value for value in self.values if not isinstance(value, str)]
            return any(ORDERED[operator](found, number) for number in numbers)
        texts = [str(value) for value in self.values]
        if operator == "contains":
            return any(text in str(found) for text in texts)
        return str(found) in texts

    def document(self) -> dict[str, Any]:
        """Return the filter as the request had it."""
        document: dict[str, Any] = {"name": self.name, "operator": self.operator}
        if self.values:
            document["value"] = self.values[0] if len(self.values) == 1 else list(self.values)
        return document


def parse_conditions(document: Any) -> tuple[Condition, ...]:
    """Read an array of property filters; raises InvalidFieldError with all that is wrong."""
    if document is None:
        return ()
    if not isinstance(document, list) or len(document) > MAX_VALUES:
        raise InvalidFieldError(f"trigger.where must be an array of at most {MAX_VALUES} filters")
    problems: list[str] = []
    conditions = []
    for number, item in enumerate(document):
        try:
            conditions.append(_parse_condition(item))
        except InvalidFieldError as error:
            problems.append(f"trigger.where[{number}]: {error}")
    if problems:
        raise InvalidFieldError("; ".join(problems))
    return tuple(conditions)


def _parse_condition(document: Any) -> Condition:
    if not isinstance(document, dict) or not set(document) <= {"name", "operator", "value"}:
        raise InvalidFieldError("a filter is an object with name, operator and value")
    name, operator = document.get("name"), document.get("operator")
    if name not in PROPERTIES:
        raise InvalidFieldError(f"name must be one of {', '.join(PROPERTIES)}")
    if operator not in OPERATORS:
        raise InvalidFieldError(f"operator must be one of {', '.join(OPERATORS)}")
    value = document.get("value")
    values: Sequence[Any] = value if isinstance(value, list) else [] if value is None else [value]
    is_existence = NEGATIVE.get(operator, operator) == "exists"
    if is_existence != (not values):
        raise InvalidFieldError(f"{operator} needs {'no' if is_existence else 'a'} value")
    if len(values) > MAX_VALUES or not all(map(_is_primitive, values)):
        raise InvalidFieldError(f"value must be text, a number, or at most {MAX_VALUES} of them")
    if operator in ORDERED and (name != "Segment ID" or any(isinstance(v, str) for v in values)):
        raise InvalidFieldError(f"{operator} compares Segment ID with a number")
    return Condition(name=name, operator=operator, values=tuple(values))


def _is_primitive(value: Any) -> bool:
    return isinstance(value, Primitive) and not isinstance(value, bool)
