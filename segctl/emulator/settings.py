"""The settings: limits, latency, and one switch for each open question of the service.

The vendor's pages leave much unsaid (what a create answers, whether a repeated
ADD raises an event).  Each such question is one field here, with the behaviour we
think likeliest as its default and the alternatives beside it, so that a client
can be tested against all of them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, cast

from segctl.emulator.errors import InvalidSettingsError

SWITCH = "switch"
LIMIT = "limit"


def _switch(default: str | int, *alternatives: str | int, question: str) -> Any:
    return field(
        default=default,
        metadata={
            "kind": SWITCH,
            "choices": (default, *alternatives),
            "question": question,
        },
    )


def _limit(default: float, *, least: float, most: float, question: str) -> Any:
    return field(
        default=default,
        metadata={"kind": LIMIT, "range": (least, most), "question": question},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the emulated service behaves where its vendor's pages leave room."""

    latency_ms: float = _limit(0, least=0, most=600_000, question="Time added to each vendor call")
    latency_jitter_ms: float = _limit(
        0, least=0, most=600_000, question="Random time added to that, at most"
    )
    visibility_lag_ms: float = _limit(
        0,
        least=0,
        most=600_000,
        question="How long after its 200 a change stays out of sight",
    )
    max_in_flight: int = _limit(
        3, least=1, most=10_000, question="Requests in flight per account for each segment call"
    )
    get_events_in_flight: int = _limit(3, least=1, most=10_000, question="The same for Get Events")
    get_profile_in_flight: int = _limit(
        3, least=1, most=10_000, question="The same for Get User Profiles"
    )
    upload_in_flight: int = _limit(15, least=1, most=10_000, question="The same for upload")
    max_segments: int = _limit(2500, least=0, most=1_000_000, question="Segments per account")
    max_create_entries: int = _limit(
        100, least=1, most=100_000, question="Segments in one create request"
    )
    max_users: int = _limit(100, least=1, most=100_000, question="User ids in one update request")
    max_lines: int = _limit(
        100, least=1, most=100_000, question="Segment lines in one update request"
    )
    max_entries: int = _limit(
        100, least=1, most=100_000, question="bulk_profiles entries in one update request"
    )
    max_upload_records: int = _limit(
        1000, least=1, most=100_000, question="Records in one upload request"
    )
    max_body_bytes: int = _limit(
        5 << 20, least=1024, most=1 << 30, question="Bytes of one request's body"
    )
    max_json_depth: int = _limit(
        32, least=8, most=200, question="Levels of nesting in one request's body"
    )
    data_points_per_event: int = _limit(
        5,
        least=0,
        most=1000,
        question="Data points for one event: itself and its four properties",
    )
    data_points_per_profile_field: int = _limit(
        1, least=0, most=1000, question="Data points for one profile field that is set"
    )
    cursor_seconds: int = _limit(
        14_400, least=1, most=10_000_000, question="How long a Get Events cursor lives"
    )

    create_body: Literal["either", "array", "wrapped"] = _switch(
        "either", "array", "wrapped", question="Does create take a bare array or a segments array?"
    )
    create_answer: Literal["array", "wrapped", "success_only"] = _switch(
        "array", "wrapped", "success_only", question="What does a successful create answer?"
    )
    create_id_field: Literal["id", "ct_segment_id", "segment_id"] = _switch(
        "id", "ct_segment_id", "segment_id", question="Under which name does create return the id?"
    )
    create_id_type: Literal["integer", "string"] = _switch(
        "integer", "string", question="Is the id that create returns a number?"
    )
    create_status: Literal[200, 201] = _switch(200, 201, question="Which status has a create?")
    create_processing: Literal["all_or_nothing", "partial"] = _switch(
        "all_or_nothing",
        "partial",
        question="Does one bad entry of a create refuse the whole request?",
    )
    duplicate_customer_id: Literal["refuse", "return_existing"] = _switch(
        "refuse",
        "return_existing",
        question="What does creating a customer_segment_id that is taken do?",
    )
    duplicate_status: Literal[409, 400] = _switch(
        409, 400, question="Which status refuses a customer_segment_id that is taken?"
    )
    missing_customer_id: Literal["refuse", "accept"] = _switch(
        "refuse", "accept", question="May a create leave out customer_segment_id?"
    )
    duplicate_name_in_request: Literal["refuse", "accept"] = _switch(
        "refuse", "accept", question="What does a segment_name twice in one create do?"
    )
    duplicate_name_in_account: Literal["accept", "refuse"] = _switch(
        "accept", "refuse", question="What does a segment_name that another segment has do?"
    )
    reuse_deleted_customer_id: Literal["refuse", "accept"] = _switch(
        "refuse", "accept", question="May a deleted segment's customer_segment_id be used again?"
    )
    segment_cap_counts: Literal["live", "ever_created"] = _switch(
        "live", "ever_created", question="Do deleted segments count towards the limit?"
    )
    code_100_status: Literal[400, 200] = _switch(
        400, 200, question="Which HTTP status goes with error code 100?"
    )
    limit_scope: Literal["request", "entry"] = _switch(
        "request", "entry", question="Are users and segments counted per request or per entry?"
    )
    limit_counts: Literal["all", "distinct"] = _switch(
        "all", "distinct", question="Do repeated users and segments count again?"
    )
    both_ids: Literal["identity", "guid"] = _switch(
        "identity", "guid", question="Which one is used when a user has identity and guid?"
    )
    numeric_identity: Literal["refuse", "accept"] = _switch(
        "refuse", "accept", question="What does a number in place of an identity do?"
    )
    numeric_string_id: Literal["accept", "not_found"] = _switch(
        "accept", "not_found", question="Is a ct_segment_id in quotes understood?"
    )
    noop_changes: Literal["silent", "event"] = _switch(
        "silent", "event", question="Does adding a member or removing a stranger raise an event?"
    )
    remove_unknown_user: Literal["ignore", "create_profile"] = _switch(
        "ignore", "create_profile", question="Does removing an unknown user make a profile?"
    )
    conflict_order: Literal["as_sent", "adds_first", "removes_first"] = _switch(
        "as_sent",
        "adds_first",
        "removes_first",
        question="In which order are ADD and REMOVE of one request processed?",
    )
    rate_limit_body: Literal["json", "empty", "html"] = _switch(
        "json", "empty", "html", question="What is the body of a 429?"
    )
    rate_limit_retry_after: int = _limit(
        0, least=0, most=86_400, question="Seconds in a 429's Retry-After; 0 sends no such header"
    )
    export_object_id: Literal["absent", "present"] = _switch(
        "absent", "present", question="Does the event export carry objectId?"
    )
    unknown_accounts: Literal["refuse", "adopt"] = _switch(
        "refuse", "adopt", question="Is an account seen for the first time taken on?"
    )
    account_regions: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "kind": "regions",
            "question": "Region of an account; a call to another region's host is a 401",
        },
    )

    def document(self) -> dict[str, Any]:
        """Return all fields by name, as JSON values."""
        return asdict(self)

    def changed(self, document: object) -> "Settings":
        """Return these settings with the named ones replaced.

        Raises InvalidSettingsError, which names every field that is wrong.
        """
        if not isinstance(document, dict):
            raise InvalidSettingsError(problems=("settings are a JSON object",))
        document = {name: whole_number(value) for name, value in document.items()}
        known = {each.name: each for each in fields(self)}
        problems = [
            f"{name}: no such setting" if name not in known else problem
            for name, value in document.items()
            if name not in known
            or (problem := _problem(name=name, value=value, metadata=known[name].metadata))
        ]
        if problems:
            raise InvalidSettingsError(problems=tuple(problems))
        return replace(self, **document)


def alternatives() -> list[tuple[str, str | int]]:
    """Return every choice of every switch that is not its default, by name.

    A client that works with each of them works whatever the real service does.
    """
    return [
        (each.name, choice)
        for each in fields(Settings)
        if each.metadata["kind"] == SWITCH
        for choice in each.metadata["choices"]
        if choice != each.default
    ]


def whole_number(value: Any) -> Any:
    """Return a number without a fraction as an integer: JSON does not tell 1.0 from 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _problem(*, name: str, value: object, metadata: Mapping[str, Any]) -> str:
    if metadata["kind"] == SWITCH:
        choices = metadata["choices"]
        if isinstance(value, bool) or value not in choices:
            return f"{name}: one of {', '.join(map(str, choices))}"
        return ""
    if metadata["kind"] == LIMIT:
        least, most = metadata["range"]
        whole = not name.endswith("_ms")
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number or not least <= cast("float", value) <= most:
            return f"{name}: a {'whole ' if whole else ''}number from {least} to {most}"
        return ""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        return f"{name}: an object of account id and region"
    return ""
