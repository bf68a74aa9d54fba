"""Fault injection: rules that make some requests fail, repeatable by their seed.

A rule names a fault, a call and the share of its requests to affect.  A single random
generator is used in the order in which requests arrive, so a sequential client meets
the same faults in every run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Any

from segctl.emulator.errors import ERROR_TYPES, NOT_FOUND_OR_DELETED, InvalidSettingsError
from segctl.emulator.settings import is_number, whole_number

CALLS = (
    "createSegment",
    "updateSegment",
    "getEvents",
    "getProfile",
    "upload",
    "getEventCount",
    "getProfileCount",
    "getTopCounts",
    "getTrends",
    "getRealTimeCounts",
    "getSchema",
    "createCampaign",
)
BODIES = ("html", "fail", "truncated", "array")
STATUSES = (500, 502, 503, 504)
MAX_MS = 600_000
MAX_MEMBERS = 10_000
OTHER_WRITER = frozenset({"change_members", "rename_segment", "delete_segment"})
"""The faults that are changes by somebody else, made after the request."""

FAULTS = {
    "latency": "the answer takes ms longer, and up to jitter_ms more",
    "too_many_requests": "429, with Retry-After if retry_after is set",
    "server_error": "500, 502, 503 or 504; with committed, the change is made all the same",
    "cut_before": "the connection is closed before the change is made",
    "cut_after": "the connection is closed after the change is made",
    "empty_body": "200 without a body; with committed: false, the change is not made",
    "wrong_body": "200 with a body that is not an answer: html, fail, truncated or array",
    "slow_body": "the body is sent in pieces over ms",
    "change_members": "somebody else adds and removes members, add and remove of them",
    "rename_segment": "somebody renames a segment in the dashboard",
    "delete_segment": "somebody deletes a segment in the dashboard",
    "refuse_entries": "a share of the valid entries goes to the Error Stream as error_type",
}
"""What each fault does."""

COMMON_FIELDS = ("call", "share", "skip", "times")
FAULT_FIELDS = {
    "latency": (*COMMON_FIELDS, "ms", "jitter_ms"),
    "too_many_requests": (*COMMON_FIELDS, "retry_after"),
    "server_error": (*COMMON_FIELDS, "status", "committed"),
    "cut_before": COMMON_FIELDS,
    "cut_after": COMMON_FIELDS,
    "empty_body": (*COMMON_FIELDS, "committed"),
    "wrong_body": (*COMMON_FIELDS, "body", "committed"),
    "slow_body": (*COMMON_FIELDS, "ms"),
    "change_members": (*COMMON_FIELDS, "segment", "add", "remove"),
    "rename_segment": (*COMMON_FIELDS, "segment"),
    "delete_segment": (*COMMON_FIELDS, "segment"),
    "refuse_entries": (*COMMON_FIELDS, "error_type"),
}
"""The fields that each fault uses."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a fault plan."""

    fault: str
    call: str = "*"
    share: float = 1.0
    skip: int = 0
    times: int | None = None
    ms: float = 0
    jitter_ms: float = 0
    status: int = 500
    retry_after: int | None = None
    committed: bool | None = None
    body: str = "html"
    error_type: str = NOT_FOUND_OR_DELETED
    segment: int | str | None = None
    """CleverTap's id (a number) or the customer id. None: a random one."""
    add: int = 1
    remove: int = 1


@dataclass(frozen=True)
class Check:
    """A check of one field: whether a value is valid, and what it must be."""

    is_valid: Callable[[Any], bool]
    requirement: str


def _one_of(choices: Iterable[str | int]) -> Check:
    valid = tuple(choices)
    return Check(lambda value: value in valid, f"must be one of {', '.join(map(str, valid))}")


def _number(most: float) -> Check:
    return Check(lambda value: is_number(value, 0, most), f"must be a number from 0 to {most}")


def _is_count(value: Any) -> bool:
    return is_number(value, 0, inf, is_whole=True)


def _names_segment(value: Any) -> bool:
    return value is None or (isinstance(value, int | str) and not isinstance(value, bool))


SEGMENT = Check(
    _names_segment, "must be a ct_segment_id, a customer_segment_id, or null for a random segment"
)
MEMBERS = Check(
    lambda value: is_number(value, 0, MAX_MEMBERS, is_whole=True),
    f"must be a whole number from 0 to {MAX_MEMBERS}",
)
COUNT = Check(_is_count, "must be a whole number, 0 or more")
COUNT_OR_NULL = Check(
    lambda value: value is None or _is_count(value), "must be a whole number, 0 or more, or null"
)

RULE_FIELDS: Mapping[str, Check] = {
    "fault": _one_of(FAULTS),
    "call": _one_of(("*", *CALLS)),
    "share": _number(1),
    "skip": COUNT,
    "times": COUNT_OR_NULL,
    "ms": _number(MAX_MS),
    "jitter_ms": _number(MAX_MS),
    "status": _one_of(STATUSES),
    "retry_after": COUNT_OR_NULL,
    "committed": Check(
        lambda value: value is None or isinstance(value, bool), "must be true, false or null"
    ),
    "body": _one_of(BODIES),
    "error_type": _one_of(ERROR_TYPES),
    "segment": SEGMENT,
    "add": MEMBERS,
    "remove": MEMBERS,
}


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Rules and the seed of their random generator."""

    seed: int = 0
    rules: tuple[Rule, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON values that ``parse_plan`` reads."""
        return {"seed": self.seed, "rules": [asdict(rule) for rule in self.rules]}


def parse_plan(document: object, *, seed: int = 0) -> FaultPlan:
    """Read a fault plan; ``seed`` is the default of its seed.

    Raises InvalidSettingsError with all problems.
    """
    if not isinstance(document, dict):
        raise InvalidSettingsError("faults must be a JSON object")
    problems = [f"{name}: unknown field" for name in document if name not in {"seed", "rules"}]
    seed = whole_number(document.get("seed", seed))
    if not is_number(seed, -inf, inf, is_whole=True):
        problems.append("seed: must be a whole number")
    rules = document.get("rules", [])
    if not isinstance(rules, list):
        problems.append("rules: must be an array")
        rules = []
    parsed: list[dict[str, Any]] = []
    for index, item in enumerate(rules):
        if not isinstance(item, dict):
            problems.append(f"rules[{index}]: must be an object")
            continue
        rule = {name: whole_number(value) for name, value in item.items()}
        parsed.append(rule)
        problems += [f"rules[{index}].{problem}" for problem in _rule_problems(rule)]
    if problems:
        raise InvalidSettingsError(*problems)
    return FaultPlan(seed=seed, rules=tuple(Rule(**rule) for rule in parsed))


def _rule_problems(rule: dict[str, Any]) -> list[str]:
    problems = [f"{name}: unknown field" for name in rule if name not in RULE_FIELDS]
    problems += [
        f"{name}: {check.requirement}"
        for name, check in RULE_FIELDS.items()
        if (name in rule or name == "fault") and not check.is_valid(rule.get(name))
    ]
    return problems


@dataclass(kw_only=True)
class RequestFaults:
    """The faults to inject into one request."""

    delay_ms: float = 0
    slow_ms: float = 0
    status: int | None = None
    retry_after: int | None = None
    cut: bool = False
    body: str | None = None
    committed: bool = True
    """Whether the request's change is made."""
    names: list[str] = field(default_factory=list)
    """The faults, in the order of their rules."""
    other_changes: list["OtherChange"] = field(default_factory=list)
    """Changes by somebody else, to make after the request."""
    refusers: list[Callable[[], str | None]] = field(default_factory=list)
    """Each returns for a valid entry the error type to refuse it with, or None."""

    def refuse_entry(self) -> str | None:
        """Return the error type to refuse the next valid entry with, or None."""
        return next((each for refuse in self.refusers if (each := refuse()) is not None), None)


@dataclass(kw_only=True)
class RuleUse:
    """A rule in force, and how often it was used."""

    rule: Rule
    requests: int = 0
    """The requests of its call."""
    injections: int = 0

    @property
    def is_used_up(self) -> bool:
        """Whether the fault was injected as often as the rule says."""
        return self.rule.times is not None and self.injections >= self.rule.times


@dataclass(frozen=True, kw_only=True)
class OtherChange:
    """A change by somebody else that a rule asks for. It is counted if anything changed."""

    use: RuleUse
    random: Random


class FaultInjector:
    """A fault plan in force, with its random generator and the faults injected so far."""

    def __init__(self, plan: FaultPlan) -> None:
        self.restart(plan)

    def restart(self, plan: FaultPlan) -> None:
        """Start a plan from its seed."""
        self.plan = plan
        self._random = Random(plan.seed)  # noqa: S311 - repeatable on purpose, guards nothing
        # New objects: a request that is still served may count in the old ones.
        self._uses = [RuleUse(rule=rule) for rule in plan.rules]

    @property
    def injected(self) -> Counter[str]:
        """How often each fault was injected; entries of refuse_entries count one by one."""
        counts: Counter[str] = Counter()
        for use in self._uses:
            counts[use.rule.fault] += use.injections
        return counts

    def jitter(self, most: float) -> float:
        """Return a random number from 0 to ``most``."""
        return self._random.uniform(0, most) if most else 0.0

    def next_request(self, call: str) -> RequestFaults:
        """Choose the faults of the next request of this call."""
        faults = RequestFaults()
        for use in self._uses:
            rule = use.rule
            if rule.call not in {"*", call}:
                continue
            use.requests += 1
            if use.requests <= rule.skip or use.is_used_up:
                continue
            if rule.fault == "refuse_entries":
                faults.refusers.append(partial(self._refuse_entry, use, faults))
            elif rule.share == 1 or self._random.random() < rule.share:
                self._inject(use, faults)
        return faults

    def _inject(self, use: RuleUse, faults: RequestFaults) -> None:
        rule = use.rule
        faults.names.append(rule.fault)
        if rule.fault in OTHER_WRITER:
            faults.other_changes.append(OtherChange(use=use, random=self._random))
            return
        use.injections += 1
        is_committed = True
        match rule.fault:
            case "latency":
                faults.delay_ms += rule.ms + self.jitter(rule.jitter_ms)
            case "slow_body":
                faults.slow_ms += rule.ms
            case "too_many_requests":
                faults.status, faults.retry_after = 429, rule.retry_after
                is_committed = False
            case "server_error":
                faults.status, is_committed = rule.status, bool(rule.committed)
            case "cut_before" | "cut_after":
                faults.cut, is_committed = True, rule.fault == "cut_after"
            case _:
                faults.body = "empty" if rule.fault == "empty_body" else rule.body
                is_committed = rule.committed is not False
        # A request with several faults makes its change only if each of them says so.
        faults.committed &= is_committed

    def _refuse_entry(self, use: RuleUse, faults: RequestFaults) -> str | None:
        rule = use.rule
        if use.is_used_up or self._random.random() >= rule.share:
            return None
        use.injections += 1
        if rule.fault not in faults.names:
            faults.names.append(rule.fault)
        return rule.error_type
