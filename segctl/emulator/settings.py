"""The settings: limits, latency, and a switch for each open question about the service.

The vendor's pages leave much unsaid, for example what a create answers or whether
a repeated ADD raises an event.  Each such question is a field of ``Settings``.  The
default is the behaviour we consider most likely; a client can be tested against
every alternative.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, tzinfo
from typing import Any, Literal, NamedTuple, get_args, get_origin
from zoneinfo import ZoneInfo

from segctl.emulator.errors import InvalidSettingsError

UTC_NAME = "UTC"

RefuseOrAccept = Literal["refuse", "accept"]


class Limit(NamedTuple):
    """The numbers that a setting accepts."""

    least: float
    most: float
    is_whole: bool


def _switch(default: str | int, question: str) -> Any:
    """Declare a switch. Its choices are those of its type, the default first."""
    return field(default=default, metadata={"question": question})


def _limit(default: float, least: float, most: float, question: str) -> Any:
    return field(default=default, metadata={"question": question, "least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the emulated service behaves: its limits and its answers to open questions."""

    latency_ms: float = _limit(0, 0, 600_000, "Time added to each vendor call")
    latency_jitter_ms: float = _limit(0, 0, 600_000, "Largest random time added to latency_ms")
    visibility_lag_ms: float = _limit(
        0, 0, 600_000, "How long a change stays invisible after its 200"
    )
    max_in_flight: int = _limit(
        3, 1, 10_000, "Requests in flight per account for each segment call"
    )
    get_events_in_flight: int = _limit(
        3, 1, 10_000, "Requests in flight per account for Get Events"
    )
    get_profile_in_flight: int = _limit(
        3, 1, 10_000, "Requests in flight per account for Get User Profiles"
    )
    counts_in_flight: int = _limit(
        3, 1, 10_000, "Requests in flight per account for each count, the schema and the estimate"
    )
    upload_in_flight: int = _limit(15, 1, 10_000, "Requests in flight per account for upload")
    max_segments: int = _limit(2500, 0, 1_000_000, "Segments per account")
    max_create_entries: int = _limit(100, 1, 100_000, "Segments in one create request")
    max_users: int = _limit(100, 1, 100_000, "User ids in one update request")
    max_lines: int = _limit(100, 1, 100_000, "Segment lines in one update request")
    max_entries: int = _limit(100, 1, 100_000, "Profile updates in one update request")
    max_upload_records: int = _limit(1000, 1, 100_000, "Records in one upload request")
    max_body_bytes: int = _limit(5 << 20, 1024, 1 << 30, "Bytes in a request body")
    max_json_depth: int = _limit(32, 8, 200, "Levels of nesting in a request body")
    data_points_per_event: int = _limit(
        5, 0, 1000, "Data points for one event: itself and its four properties"
    )
    data_points_per_profile_field: int = _limit(
        1, 0, 1000, "Data points for setting one profile field"
    )
    cursor_seconds: int = _limit(14_400, 1, 10_000_000, "Seconds until a Get Events cursor expires")
    cursor_idle_seconds: int = _limit(
        3600, 1, 10_000_000, "Seconds until a Get Events cursor that nobody uses expires"
    )
    profile_cursor_seconds: int = _limit(
        345_600, 1, 10_000_000, "Seconds until a cursor of profiles by event expires"
    )
    search_events: int = _limit(
        250_000,
        1,
        1_000_000_000,
        "Events that one call of a search reads; a longer search is still in progress then",
    )

    webhook_retry_seconds: float = _limit(1, 0, 86_400, "Seconds between two attempts of a webhook")
    webhook_profiles: int = _limit(
        100, 1, 1000, "Profiles in one webhook request of an offline campaign"
    )

    create_body: Literal["either", "array", "wrapped"] = _switch(
        "either", "Does create take a bare array or a segments array?"
    )
    create_answer: Literal["array", "wrapped", "success_only"] = _switch(
        "array", "What does a successful create answer?"
    )
    create_id_field: Literal["id", "ct_segment_id", "segment_id"] = _switch(
        "id", "Under which name does create return the id?"
    )
    create_id_type: Literal["integer", "string"] = _switch(
        "integer", "Is the id that create returns a number?"
    )
    create_status: Literal[200, 201] = _switch(
        200, "What is the HTTP status of a successful create?"
    )
    create_processing: Literal["all_or_nothing", "partial"] = _switch(
        "all_or_nothing", "Does one invalid entry refuse a whole create?"
    )
    duplicate_customer_id: Literal["refuse", "return_existing"] = _switch(
        "refuse", "What happens if a create uses a customer_segment_id that exists?"
    )
    duplicate_status: Literal[409, 400] = _switch(
        409, "Which HTTP status refuses a customer_segment_id that exists?"
    )
    missing_customer_id: Literal["accept", "refuse"] = _switch(
        "accept", "Can a create leave out customer_segment_id?"
    )
    duplicate_name_in_request: RefuseOrAccept = _switch(
        "refuse", "What happens if a create has the same segment_name twice?"
    )
    duplicate_name_in_account: Literal["accept", "refuse"] = _switch(
        "accept", "What happens if a create uses another segment's segment_name?"
    )
    reuse_deleted_customer_id: RefuseOrAccept = _switch(
        "refuse", "Can the customer_segment_id of a deleted segment be used again?"
    )
    segment_cap_counts: Literal["live", "ever_created"] = _switch(
        "live", "Do deleted segments count towards the limit?"
    )
    code_100_status: Literal[400, 200] = _switch(400, "Which HTTP status goes with error code 100?")
    profile_updates: Literal["entries", "users", "pairs"] = _switch(
        "entries",
        "What are the 100 profile updates of a request: entries, users, or users × segments?",
    )
    empty_entry: Literal["error_stream", "refuse"] = _switch(
        "error_stream",
        "What happens to an entry without users or segments, or a null, if others are valid?",
    )
    limit_scope: Literal["request", "entry"] = _switch(
        "request", "Are users and segments counted per request or per entry?"
    )
    limit_counts: Literal["all", "distinct"] = _switch(
        "all", "Do repeated users and segments count again?"
    )
    both_ids: Literal["identity", "guid", "link"] = _switch(
        "identity",
        "Which one is used if a user has both identity and guid, or are they linked?",
    )
    numeric_identity: RefuseOrAccept = _switch("refuse", "What happens if an identity is a number?")
    numeric_string_id: Literal["accept", "not_found"] = _switch(
        "accept", "Is a ct_segment_id accepted as a string?"
    )
    noop_changes: Literal["silent", "event"] = _switch(
        "silent", "Does adding a member, or removing a non-member, raise an event?"
    )
    remove_unknown_user: Literal["ignore", "create_profile"] = _switch(
        "ignore", "Does removing an unknown user create a profile?"
    )
    conflict_order: Literal["as_sent", "adds_first", "removes_first"] = _switch(
        "as_sent", "In which order are ADD and REMOVE of one request processed?"
    )
    rate_limit_body: Literal["json", "empty", "html"] = _switch(
        "json", "What is the body of a 429?"
    )
    rate_limit_retry_after: int = _limit(
        0, 0, 86_400, "Seconds in the Retry-After header of a 429; 0 sends no header"
    )
    export_object_id: Literal["absent", "present"] = _switch(
        "absent", "Does the event export contain objectId?"
    )
    time_zone: str = field(
        default=UTC_NAME,
        metadata={
            "question": "The project's time zone, an IANA name: of the days and times of events"
        },
    )
    event_export: Literal["allow", "refuse"] = _switch(
        "allow", "Can Segment Membership Change be read with Get Events and profiles by event?"
    )
    search_answer: Literal["at_once", "in_progress"] = _switch(
        "at_once", "Is a quick search or count answered at once, or at first still in progress?"
    )
    request_id_type: Literal["integer", "string"] = _switch(
        "integer", "Is the req_id of a count in progress a number?"
    )
    encoded_cursor: RefuseOrAccept = _switch(
        "refuse", "What happens if a client percent-encodes a cursor once more?"
    )
    small_batch: Literal["as_asked", "unlimited"] = _switch(
        "as_asked", "What does a batch_size below 23 mean?"
    )
    empty_records: Literal["empty", "absent"] = _switch(
        "empty", "Does a batch without records have the key records?"
    )
    unknown_event: Literal["accept", "refuse"] = _switch(
        "accept", "What happens if a query names an event that the account does not have?"
    )
    filter_case: Literal["sensitive", "ignore"] = _switch(
        "sensitive", "Do filters of a query tell upper from lower case?"
    )
    filter_number_text: Literal["accept", "no_match"] = _switch(
        "accept", "Does a number in a filter equal the same number as text, and the reverse?"
    )
    top_numbers: Literal["values", "ranges"] = _switch(
        "values", "Does top count the values of a number, or ten ranges of them as its sample does?"
    )
    trend_weeks: Literal["sunday", "iso"] = _switch(
        "sunday", "Do the weeks of trends begin on Sunday and at each year, or are they ISO weeks?"
    )
    profile_segment_filter: RefuseOrAccept = _switch(
        "refuse", "Can profiles be read by segment, in a shape of ours: segment and an id?"
    )
    other_category_error: Literal["not_found", "invalid_action"] = _switch(
        "not_found", "Under which type is an update of a dashboard or partner segment logged?"
    )
    segment_cap_scope: Literal["api_segments", "all"] = _switch(
        "api_segments", "Do dashboard and partner segments count towards the limit?"
    )
    webhook_payload: Literal["lower_case", "capitalized"] = _switch(
        "lower_case", "How does a webhook's payload spell the keys of a profile?"
    )
    webhook_limits: Literal["5_seconds_2_retries", "3_seconds_1_retry"] = _switch(
        "5_seconds_2_retries", "How long does a webhook wait, and how often is it repeated?"
    )
    journey_entry: Literal["once", "each_time"] = _switch(
        "once", "Does a user enter a journey once or with each event?"
    )
    unknown_accounts: Literal["refuse", "adopt"] = _switch(
        "refuse", "Is an unknown account accepted at its first call?"
    )
    webhook_hosts: tuple[str, ...] = field(
        default=(),
        metadata={"question": "Hosts beyond this machine that webhooks may be sent to"},
    )
    api_segments: Literal["on", "403", "401", "404"] = _switch(
        "on", "Does an account have API Segments, or which HTTP status refuses both calls?"
    )
    account_regions: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"question": "Region of an account; a call to another region's host is a 401"},
    )
    account_api_segments: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"question": "Value of api_segments for single accounts"},
    )

    def document(self) -> dict[str, Any]:
        """Return all settings by name, as JSON values."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in HOST_LISTS}}

    def changed(self, document: object) -> "Settings":
        """Return these settings with the values of ``document`` instead of their own.

        Raises InvalidSettingsError, which names every invalid setting.
        """
        if not isinstance(document, dict):
            raise InvalidSettingsError("settings must be a JSON object")
        values: dict[str, Any] = {name: whole_number(value) for name, value in document.items()}
        problems = [
            f"{name}: {problem}"
            for name, value in values.items()
            if (problem := _problem(name, value)) is not None
        ]
        if problems:
            raise InvalidSettingsError(*problems)
        hosts = {name: tuple(values[name]) for name in HOST_LISTS if name in values}
        return replace(self, **{**values, **hosts})


QUESTIONS: Mapping[str, str] = {each.name: each.metadata["question"] for each in fields(Settings)}
"""The question, or the meaning, of every setting."""

SWITCHES: Mapping[str, tuple[str | int, ...]] = {
    each.name: get_args(each.type) for each in fields(Settings) if get_origin(each.type) is Literal
}
"""The choices of every switch, the default first."""

LIMITS: Mapping[str, Limit] = {
    each.name: Limit(each.metadata["least"], each.metadata["most"], each.type is int)
    for each in fields(Settings)
    if "least" in each.metadata
}

READING_SWITCHES = frozenset(
    {
        "request_id_type",
        "encoded_cursor",
        "small_batch",
        "empty_records",
        "unknown_event",
        "filter_case",
        "filter_number_text",
        "top_numbers",
        "trend_weeks",
        "profile_segment_filter",
        "event_export",
        "search_answer",
    }
)
"""The switches of calls that only read: a client that only creates and updates meets none."""

CAMPAIGN_SWITCHES = frozenset(
    {
        "other_category_error",
        "segment_cap_scope",
        "webhook_payload",
        "webhook_limits",
        "journey_entry",
    }
)
"""The switches of campaigns and of segments of other kinds, which segctl does not touch."""

BY_ACCOUNT = ("account_regions", "account_api_segments")
"""The settings that are objects of account ids and values."""

HOST_LISTS = ("webhook_hosts",)
"""The settings that are arrays of host names."""


def alternatives() -> list[tuple[str, str | int]]:
    """Return every choice of every switch that is not its default, with the switch's name.

    A client that works with all of them works with each answer that the pages allow.
    """
    return [(name, choice) for name, choices in SWITCHES.items() for choice in choices[1:]]


def find_zone(name: str) -> tzinfo | None:
    """Return a time zone by its IANA name, or None if this machine has none of that name."""
    if name == UTC_NAME:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        # ZoneInfoNotFoundError is a KeyError; a name of a folder is an OSError.
        return None


def whole_number(value: Any) -> Any:
    """Return a float without a fraction as an int: 1.0 and 1 are the same number in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_number(value: Any, least: float, most: float, *, is_whole: bool = False) -> bool:
    """Whether a JSON value is a number, or an integer, from ``least`` to ``most``."""
    is_kind = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
    return is_kind and least <= value <= most


def _problem(name: str, value: object) -> str | None:
    if name in SWITCHES:
        # True equals 1 and would pass for a status.
        if isinstance(value, bool) or value not in SWITCHES[name]:
            return f"must be one of {', '.join(map(str, SWITCHES[name]))}"
    elif name in LIMITS:
        least, most, is_whole = LIMITS[name]
        if not is_number(value, least, most, is_whole=is_whole):
            return f"must be a {'whole ' * is_whole}number from {least} to {most}"
    elif name not in QUESTIONS:
        return "unknown setting"
    else:
        return _problem_of_text(name, value)
    return None


def _problem_of_text(name: str, value: object) -> str | None:
    """Return what is wrong with a setting that is neither a switch nor a number."""
    if name == "time_zone":
        if not isinstance(value, str) or find_zone(value) is None:
            return "must be the name of a time zone that this machine knows, as Europe/Berlin"
    elif name in HOST_LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            return "must be an array of host names"
    else:
        return _mapping_problem(name, value)
    return None


def _mapping_problem(name: str, value: object) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        return "must be an object of account ids and strings"
    choices = SWITCHES["api_segments"]
    if name == "account_api_segments" and not set(value.values()) <= set(choices):
        return f"each value must be one of {', '.join(map(str, choices))}"
    return None
