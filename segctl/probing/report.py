"""The report of a probe: questions, answers, and their evidence. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Certainty(StrEnum):
    """Whether an answer was observed."""

    OBSERVED = "observed"
    CANNOT_TELL = "cannot tell"


QUESTIONS: Mapping[str, str] = {
    "api_segments": "Does an account have API Segments, or which HTTP status refuses both calls?",
    "create_body": "Does create take a bare array or a segments array?",
    "create_answer": "What does a successful create answer?",
    "create_id_field": "Under which name does create return the id?",
    "create_id_type": "Is the id that create returns a number?",
    "create_status": "What is the HTTP status of a successful create?",
    "create_processing": "Does one invalid entry refuse a whole create?",
    "create_empty": "What does a create without any segment answer?",
    "duplicate_customer_id": "What happens if a create uses a customer_segment_id that exists?",
    "duplicate_status": "Which HTTP status refuses a customer_segment_id that exists?",
    "missing_customer_id": "Can a create leave out customer_segment_id?",
    "duplicate_name_in_request": "What happens if a create has the same segment_name twice?",
    "duplicate_name_in_account": "What happens if a create uses another segment's segment_name?",
    "reuse_deleted_customer_id": "Can the customer_segment_id of a deleted segment be used again?",
    "segment_cap_counts": "Do deleted segments count towards the limit?",
    "code_100_status": "Which HTTP status goes with error code 100?",
    "empty_entry": (
        "What happens to an entry without users or segments, or a null, if others are valid?"
    ),
    "profile_updates": (
        "What are the 100 profile updates of a request: entries, users, or users × segments?"
    ),
    "limit_scope": "Are users and segments counted per request or per entry?",
    "limit_counts": "Do repeated users and segments count again?",
    "rate_limit_body": "What is the body of a 429?",
    "rate_limit_retry_after": "Does a 429 come with Retry-After?",
    "visibility_lag_ms": "How soon does Get Events show a membership change?",
    "noop_changes": "Does adding a member, or removing a non-member, raise an event?",
    "remove_unknown_user": "Does removing an unknown user create a profile?",
    "both_ids": "Which one is used if a user has both identity and guid, or are they linked?",
    "numeric_identity": "What happens if an identity is a number?",
    "numeric_string_id": "Is a ct_segment_id accepted as a string?",
    "lower_case_action": "Is an action accepted in lower case?",
    "conflict_order": "In which order are ADD and REMOVE of one request processed?",
    "export_object_id": "Does the event export contain objectId?",
}
"""The open questions by key. If the emulator has a setting for one, the key is its name."""

UNASKABLE: Mapping[str, str] = {
    "reuse_deleted_customer_id": "segments are deleted by hand in the dashboard",
    "segment_cap_counts": "it would take 2,500 segments",
    "export_object_id": "exports are set up by hand in the dashboard",
}
"""Questions that API calls cannot answer, and why."""


@dataclass(frozen=True, kw_only=True)
class ProbeFinding:
    """The answer to one question. ``evidence`` has the numbers of the exchanges that support it.

    ``settings`` make the emulator behave the same. An observed answer can have none: the
    service may do something that no setting describes.
    """

    key: str
    certainty: Certainty
    answer: str
    settings: Mapping[str, str | int] = field(default_factory=dict)
    evidence: tuple[int, ...] = ()

    @property
    def question(self) -> str:
        """The text of the question."""
        return QUESTIONS[self.key]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its answer, with credentials and identities masked."""

    number: int
    purpose: str
    request: str
    body: str
    status: str
    headers: Mapping[str, str]
    reply: str


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A segment that was created or, unless ``sure``, may have been created."""

    name: str
    customer_id: str | None
    ct_id: int | None
    sure: bool


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The most that a write can consume. ``errors`` are entries in the Error Stream."""

    segments: int = 0
    profiles: int = 0
    events: int = 0
    errors: int = 0


LIKELY = Cost(segments=3, profiles=6, events=14, errors=114)
"""What a probe consumes if the service behaves as its pages say."""

MOST = Cost(segments=9, profiles=12, events=20, errors=780)
"""The most that a probe can consume."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """A request that changes something, or several concurrent ones, before it is sent."""

    purpose: str
    cost: Cost
    requests: int = 1


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """Everything one probe learned, and what it left in the account.

    ``stem`` starts every name that the probe used. ``left_behind`` lists members that could
    not be removed. ``problem`` says why the probe ended early, if it did.
    """

    host: str
    stem: str
    findings: tuple[ProbeFinding, ...]
    exchanges: tuple[Exchange, ...]
    shells: tuple[Shell, ...]
    left_behind: tuple[str, ...] = ()
    interrupted: bool = False
    problem: str = ""

    def emulator_settings(self) -> dict[str, str | int]:
        """Return the settings that make an emulator behave as observed."""
        return {name: value for each in self.findings for name, value in each.settings.items()}

    def client_settings(self) -> dict[str, str]:
        """Return the findings that belong in ``spec.provider`` of ``segctl.yaml``."""
        found = self.emulator_settings()
        settings: dict[str, str] = {}
        if (body := found.get("create_body")) is not None:
            settings["createBody"] = "wrapped" if body == "wrapped" else "array"
        if (counts := found.get("limit_counts")) is not None:
            settings["counting"] = "distinct" if counts == "distinct" else "strict"
        if found.get("profile_updates") == "pairs":
            settings["counting"] = "pairs"
        return settings

    def obstacle(self) -> str:
        """Return what keeps segctl from working with this service as it is, or an empty string."""
        if self.emulator_settings().get("create_body") != "wrapped":
            return ""
        return (
            "This service refuses the bare array that segctl sends to createSegment by default: "
            "write createBody: wrapped into spec.provider of segctl.yaml."
        )
