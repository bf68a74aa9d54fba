"""The CleverTap Query Language (CQL): from a JSON query to conditions on events and profiles.

Documented by the page of that name and by the vendor's public samples of request bodies:
a base query (``event_name``, ``from``, ``to``), ``event_properties``,
``common_profile_properties`` and ``advanced_query`` with ``did_all``, ``did_any`` and
``did_none``; a filter is ``{name, operator, value}`` whose value is a number, a string or
an array of these; six operators for strings and five for numbers.  The samples leave the
operator out where it is ``equals``.

Inferred: an array means any of its values, a property that is absent differs from every
value, and the filters of a query must all match.  Filters on what the emulator does not
store (sessions, app, device, place) are refused: an answer that ignored them would be wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segctl.emulator.bodies import is_text
from segctl.emulator.errors import bad_request
from segctl.emulator.reading.events import EVENT_NAME
from segctl.emulator.settings import Settings

Scalar = str | int | float
Number = int | float

EVENT_PROPERTIES: Mapping[str, str] = {
    "Action": "String",
    "Segment Name": "String",
    "Segment ID": "Integer",
    "Customer_Segment_ID": "String",
}
"""The properties of Segment Membership Change, and the types of their values."""

TEXT_OPERATORS = ("equals", "not_equals", "contains", "does_not_contain")
PRESENCE_OPERATORS = ("exists", "does_not_exist")
COMPARISONS: Mapping[str, Callable[[Number, Number], bool]] = {
    "greater_than": lambda value, bound: value > bound,
    "greater_than_equals": lambda value, bound: value >= bound,
    "less_than": lambda value, bound: value < bound,
    "less_than_equals": lambda value, bound: value <= bound,
}
OPERATORS = (*TEXT_OPERATORS, *PRESENCE_OPERATORS, *COMPARISONS)

MAX_VALUES = 10_000
MAX_SUBSTRINGS = 100
MAX_CONDITIONS = 100
MAX_BEHAVIOURS = 20
"""Limits of the emulator, so that a query cannot occupy it; the vendor's are not published."""
MAX_PROBLEMS = 5

NOT_STORED = (
    "app_fields",
    "demographics",
    "technographics",
    "geo_fields",
    "geo_radius",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How values are compared, where the pages do not say."""

    ignores_case: bool
    text_equals_number: bool

    def key(self, value: Any) -> Scalar:
        """Return the value in the form in which equal values are the same."""
        if isinstance(value, bool):
            value = str(value)  # Documented: "True" and "False".
        if isinstance(value, int | float):
            return as_text(value) if self.text_equals_number else value
        text = str(value)
        return text.casefold() if self.ignores_case else text


def comparison(settings: Settings) -> Comparison:
    """Return how the service with these settings compares values."""
    return Comparison(
        ignores_case=settings.filter_case == "ignore",
        text_equals_number=settings.filter_number_text == "accept",
    )


def as_text(number: Number) -> str:
    """Return a number as text; 5 and 5.0 are the same number."""
    return str(int(number)) if isinstance(number, int) or number.is_integer() else str(number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A filter on one property. ``values`` has one value or several, of which any may match."""

    name: str
    operator: str
    values: tuple[Scalar, ...]

    def predicate(self, compare: Comparison) -> Callable[[Any], bool]:
        """Return a function that says whether a property's value matches; None is absent."""
        if self.operator in PRESENCE_OPERATORS:
            exists = self.operator == "exists"
            return lambda value: (value is not None) is exists
        if self.operator in COMPARISONS:
            holds = COMPARISONS[self.operator]
            bounds = [each for each in self.values if not isinstance(each, str)]
            return lambda value: (
                isinstance(value, int | float) and any(holds(value, each) for each in bounds)
            )
        keys = frozenset(map(compare.key, self.values))
        if self.operator == "equals":
            return lambda value: value is not None and compare.key(value) in keys
        if self.operator == "not_equals":
            return lambda value: value is None or compare.key(value) not in keys
        is_wanted = self.operator == "contains"
        return lambda value: (
            (value is not None and any(str(key) in str(compare.key(value)) for key in keys))
            is is_wanted
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EventQuery:
    """Events of one name, of a range of days (None: the past 365), whose properties match."""

    name: str
    days: tuple[int, int] | None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """What users did: any of ``events``, as often as ``count`` says (None: at least once)."""

    events: tuple[EventQuery, ...]
    count: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A whole query. Its events are those of users who meet all the other filters."""

    event: EventQuery
    fields: tuple[Condition, ...] = ()
    """Conditions on the uploaded fields of a profile."""
    did: tuple[Behaviour, ...] = ()
    did_not: tuple[Behaviour, ...] = ()

    @property
    def has_user_filters(self) -> bool:
        """Whether there are filters on users beyond the base query."""
        return bool(self.fields or self.did or self.did_not)


def parse_query(document: Any, *, settings: Settings, needs_base: bool = True) -> Query:
    """Parse a query.

    Without ``needs_base``, the base query may be left out if there are filters on users; it
    is all events of the past 365 days then (documented).  Raises RequestError 400, which
    names up to five problems, never a value: values can be keys of users.
    """
    parser = _Parser(settings)
    query = parser.query(document, needs_base=needs_base)
    if parser.problems:
        raise bad_request("; ".join(parser.problems[:MAX_PROBLEMS]))
    return query


def parse_event_conditions(
    document: Any, path: str, *, settings: Settings
) -> tuple[tuple[Condition, ...], list[str]]:
    """Return conditions on the properties of Segment Membership Change, and all problems.

    ``path`` is what the problems call the document.
    """
    parser = _Parser(settings)
    known = tuple(EVENT_PROPERTIES)
    return parser.conditions(document, path, known=known), parser.problems


def parse_day(value: Any) -> int | None:
    """Return a day as the vendor writes it, 20260131 as a number or string; None if it is none."""
    text = str(value)
    is_number = text.isascii() and text.isdecimal() and len(text) == 8
    try:
        datetime.strptime(text if is_number else "", "%Y%m%d")  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
    return int(text)


class _Parser:
    """Reads one query and collects what is wrong with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.problems: list[str] = []
        self.values_left = MAX_VALUES
        self.substrings_left = MAX_SUBSTRINGS
        self.conditions_left = MAX_CONDITIONS

    def query(self, document: Any, *, needs_base: bool) -> Query:
        if not isinstance(document, dict):
            raise bad_request("the query must be an object")
        if document.get("session_properties"):
            self._report("session_properties", "sessions are not emulated; leave it out")
        fields = self.profile_conditions(document.get("common_profile_properties"))
        did, did_not = self.behaviours(document.get("advanced_query"))
        has_base = any(document.get(key) is not None for key in ("event_name", "from", "to"))
        if has_base or needs_base or not (fields or did or did_not):
            event = self.event(document, "")
        else:
            conditions = self.event_conditions(document, "", is_ours=True)
            event = EventQuery(name=EVENT_NAME, days=None, conditions=conditions)
        return Query(event=event, fields=fields, did=did, did_not=did_not)

    def event(self, document: Mapping[str, Any], path: str) -> EventQuery:
        name = document.get("event_name")
        if not is_text(name):
            self._report(f"{path}event_name", "must be a string that is not blank")
            name = EVENT_NAME
        elif name != EVENT_NAME and self.settings.unknown_event == "refuse":
            self._report(f"{path}event_name", f"Invalid event; the account has only {EVENT_NAME}")
        days = []
        for key in ("from", "to"):
            day = parse_day(document.get(key))
            if day is None:
                self._report(f"{path}{key}", "must be a day, yyyymmdd")
            else:
                days.append(day)
        if len(days) == 2 and days[0] > days[1]:
            self._report(f"{path}from", "is later than to")
        conditions = self.event_conditions(document, path, is_ours=name == EVENT_NAME)
        first, last = (days[0], days[1]) if len(days) == 2 else (0, 0)
        return EventQuery(name=name, days=(first, last), conditions=conditions)

    def event_conditions(
        self, document: Mapping[str, Any], path: str, *, is_ours: bool
    ) -> tuple[Condition, ...]:
        known = tuple(EVENT_PROPERTIES) if is_ours else None
        where = f"{path}event_properties"
        return self.conditions(document.get("event_properties"), where, known=known)

    def profile_conditions(self, document: Any) -> tuple[Condition, ...]:
        path = "common_profile_properties"
        if document is None:
            return ()
        if not isinstance(document, dict):
            self._report(path, "must be an object")
            return ()
        for key in document:
            if key in NOT_STORED:
                self._report(f"{path}.{key}", "is not emulated; leave it out")
            elif key not in {"profile_fields", "reachability"}:
                self._report(path, "has a key that is not documented")
        fields = self.conditions(document.get("profile_fields"), f"{path}.profile_fields")
        return (*fields, *self.reachability(document.get("reachability"), f"{path}.reachability"))

    def reachability(self, document: Any, path: str) -> list[Condition]:
        """Return conditions on the stored tokens; documented: ``has_token``, "True" or "False"."""
        conditions = []
        for number, each in enumerate(self.conditions(document, path)):
            if each.name != "has_token" or each.values not in {("True",), ("False",)}:
                self._report(f"{path}[{number}]", 'only has_token is emulated, "True" or "False"')
                continue
            operator = "exists" if each.values == ("True",) else "does_not_exist"
            conditions.append(Condition(name="tokens", operator=operator, values=()))
        return conditions

    def behaviours(self, document: Any) -> tuple[tuple[Behaviour, ...], tuple[Behaviour, ...]]:
        path = "advanced_query"
        if document is None:
            return (), ()
        if not isinstance(document, dict) or not document.keys() <= {
            "did_all",
            "did_any",
            "did_none",
        }:
            self._report(path, "must be an object of did_all, did_any and did_none")
            return (), ()
        did = [
            Behaviour(events=(self.event(each, where),), count=self.count(each, where))
            for each, where in self._objects(document.get("did_all"), f"{path}.did_all")
        ]
        did_not = [
            Behaviour(events=(self.event(each, where),))
            for each, where in self._objects(document.get("did_none"), f"{path}.did_none")
        ]
        if (any_of := document.get("did_any")) is not None:
            where = f"{path}.did_any"
            if not isinstance(any_of, dict):
                self._report(where, "must be an object with any_events")
                any_of = {}
            events = tuple(
                self.event(each, place)
                for each, place in self._objects(any_of.get("any_events"), f"{where}.any_events")
            )
            did.append(Behaviour(events=events, count=self.count(any_of, f"{where}.")))
        return tuple(did), tuple(did_not)

    def count(self, document: Mapping[str, Any], path: str) -> Condition | None:
        """Return how often something must have been done; documented: operator and value."""
        if document.get("operator") is None and document.get("value") is None:
            return None
        condition = self.condition({**document, "name": "count"}, path.rstrip("."))
        if condition is not None and (
            condition.operator in PRESENCE_OPERATORS
            or any(isinstance(each, str) for each in condition.values)
        ):
            self._report(f"{path}value", "must be a number")
        return condition

    def conditions(
        self, document: Any, path: str, *, known: Sequence[str] | None = None
    ) -> tuple[Condition, ...]:
        return tuple(
            condition
            for each, where in self._objects(document, path, limit=MAX_CONDITIONS)
            if (condition := self.condition(each, where.rstrip("."), known=known)) is not None
        )

    def condition(
        self, document: Mapping[str, Any], path: str, *, known: Sequence[str] | None = None
    ) -> Condition | None:
        problems = len(self.problems)
        self.conditions_left -= 1
        if self.conditions_left < 0:
            self._report(path, f"the query has more than {MAX_CONDITIONS} filters; split it")
            return None
        name, operator = document.get("name"), document.get("operator") or "equals"
        if not isinstance(name, str) or not name:
            self._report(f"{path}.name", "must be a string that is not empty")
        elif known is not None and name not in known:
            self._report(f"{path}.name", f"is none of the event's: {', '.join(known)}")
        if operator not in OPERATORS:
            self._report(f"{path}.operator", f"must be one of {', '.join(OPERATORS)}")
        if operator in PRESENCE_OPERATORS:
            values: list[Any] = []
        else:
            values = self.condition_values(document.get("value"), path)
            if operator in OPERATORS:
                self._check_values(str(operator), values, path)
        if len(self.problems) > problems:
            return None
        return Condition(name=str(name), operator=str(operator), values=tuple(values))

    def condition_values(self, value: Any, path: str) -> list[Any]:
        values = value if isinstance(value, list) else [value]
        if values and all(_is_scalar(each) for each in values):
            return values
        self._report(
            f"{path}.value",
            'must be a number, a string, or an array of these; "True" and "False" are strings',
        )
        return []

    def _check_values(self, operator: str, values: Sequence[Scalar], path: str) -> None:
        """Check that the values are of the operator's kind, as documented, and not too many."""
        has_text = any(isinstance(each, str) for each in values)
        has_number = not all(isinstance(each, str) for each in values)
        if has_text and operator in COMPARISONS:
            self._report(f"{path}.value", f"must be a number for {operator}")
        if has_number and operator in TEXT_OPERATORS[1:]:
            self._report(f"{path}.value", f"must be a string for {operator}")
        self.values_left -= len(values)
        if operator not in {"equals", "not_equals"}:
            self.substrings_left -= len(values)
        if self.values_left < 0 or self.substrings_left < 0:
            self._report(path, "the query has too many values; split it")

    def _objects(
        self, document: Any, path: str, *, limit: int = MAX_BEHAVIOURS
    ) -> list[tuple[Mapping[str, Any], str]]:
        """Return the objects of an array, each with its path; absent is empty."""
        if document is None:
            return []
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            self._report(path, "must be an array of objects")
            return []
        if len(document) > limit:
            self._report(path, f"has more than {limit} entries")
            return []
        return [(each, f"{path}[{number}].") for number, each in enumerate(document)]

    def _report(self, path: str, problem: str) -> None:
        self.problems.append(f"{path}: {problem}")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
