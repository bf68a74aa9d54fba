"""Faults to inject: what may go wrong on the way, by rules and by seed.

A rule names a call, a fault and the share of the requests it strikes.  One random
generator, seeded, is asked in the order in which requests arrive, so a sequential
client meets the same faults each time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from random import Random
from typing import Any

from segctl.emulator.errors import InvalidSettingsError
from segctl.emulator.membership import ERROR_TYPES, NOT_FOUND_OR_DELETED
from segctl.emulator.settings import whole_number

CALLS = ("createSegment", "updateSegment", "getEvents", "getProfile", "upload")
BODIES = ("html", "fail", "truncated", "array")

FAULTS = {
    "latency": "the answer takes ms longer, and up to jitter_ms more",
    "too_many_requests": "429; with Retry-After if retry_after is given",
    "server_error": "500 or 503; committed: the change was made all the same",
    "cut_before": "the connection ends before the change is made",
    "cut_after": "the connection ends after the change was made",
    "empty_body": "200 without a body; committed: false leaves the change out",
    "wrong_body": "200 with a body that is no answer: html, fail, truncated or array",
    "slow_body": "the body comes byte by byte over ms",
    "refuse_entries": "a share of the valid entries goes to the Error Stream as error_type",
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a fault plan."""

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


@dataclass(kw_only=True)
class Drawn:
    """What happens to one request."""

    delay_ms: float = 0
    slow_ms: float = 0
    status: int | None = None
    retry_after: int | None = None
    cut: bool = False
    body: str | None = None
    committed: bool = True
    refuse: Callable[[], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Rules and the seed of the chance they depend on."""

    seed: int = 0
    rules: tuple[Rule, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON values, as it can be put again."""
        return {"seed": self.seed, "rules": [asdict(rule) for rule in self.rules]}


def parse_plan(document: object, *, seed: int = 0) -> FaultPlan:
    """Read a fault plan; raises InvalidSettingsError with every problem."""
    if not isinstance(document, dict):
        raise InvalidSettingsError(problems=("faults are a JSON object",))
    problems = [f"{name}: no such field" for name in document if name not in {"seed", "rules"}]
    given_seed = whole_number(document.get("seed", seed))
    if not isinstance(given_seed, int) or isinstance(given_seed, bool):
        problems.append("seed: a whole number")
    rules = document.get("rules", [])
    if not isinstance(rules, list):
        problems.append("rules: an array")
        rules = []
    known = {each.name for each in fields(Rule)}
    parsed: list[dict[str, Any]] = []
    for index, given in enumerate(rules):
        if not isinstance(given, dict):
            problems.append(f"rules[{index}]: an object")
            continue
        rule = {name: whole_number(value) for name, value in given.items()}
        parsed.append(rule)
        problems.extend(f"rules[{index}].{name}: no such field" for name in rule.keys() - known)
        problems.extend(
            f"rules[{index}].{name}: {what}" for name, what in _rule_problems(rule).items()
        )
    if problems:
        raise InvalidSettingsError(problems=tuple(problems))
    return FaultPlan(seed=given_seed, rules=tuple(Rule(**rule) for rule in parsed))


def _rule_problems(rule: dict[str, Any]) -> dict[str, str]:
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "fault": (lambda v: v in FAULTS, f"one of {', '.join(FAULTS)}"),
        "call": (lambda v: v in {"*", *CALLS}, f"* or one of {', '.join(CALLS)}"),
        "share": (lambda v: _number(v) and 0 <= v <= 1, "a number from 0 to 1"),
        "skip": (lambda v: _whole(v) and v >= 0, "a whole number from 0"),
        "times": (lambda v: v is None or (_whole(v) and v >= 0), "a whole number from 0, or null"),
        "ms": (lambda v: _number(v) and 0 <= v <= 600_000, "a number from 0 to 600000"),
        "jitter_ms": (lambda v: _number(v) and 0 <= v <= 600_000, "a number from 0 to 600000"),
        "status": (lambda v: v in {500, 502, 503, 504}, "500, 502, 503 or 504"),
        "retry_after": (lambda v: v is None or (_whole(v) and v >= 0), "whole seconds, or null"),
        "committed": (lambda v: v is None or isinstance(v, bool), "true, false or null"),
        "body": (lambda v: v in BODIES, f"one of {', '.join(BODIES)}"),
        "error_type": (lambda v: v in ERROR_TYPES, f"one of {', '.join(ERROR_TYPES)}"),
    }
    found = {}
    for name, (is_right, what) in checks.items():
        if name not in rule:
            if name == "fault":
                found[name] = what
            continue
        value = rule[name]
        hashable = not isinstance(value, (dict, list))
        if not hashable or not is_right(value):
            found[name] = what
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(kw_only=True)
class Faults:
    """A plan at work: its random generator and what it has done so far."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    injected: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.restart(self.plan)

    def restart(self, plan: FaultPlan) -> None:
        """Begin a plan from its seed."""
        self.plan = plan
        self.injected.clear()
        self._chance = Random(plan.seed)  # noqa: S311 - repeatable by purpose, guards nothing
        self._met = [0] * len(plan.rules)
        self._struck = [0] * len(plan.rules)

    def jitter(self, most: float) -> float:
        """Return a random number from 0 to ``most``."""
        return self._chance.uniform(0, most) if most else 0.0

    def draw(self, call: str) -> Drawn:
        """Decide what happens to the next request of this call."""
        drawn = Drawn()
        for index, rule in enumerate(self.plan.rules):
            if rule.call not in {"*", call}:
                continue
            if rule.fault == "refuse_entries":
                drawn.refuse = self._refuser(rule)
                continue
            self._met[index] += 1
            spent = rule.times is not None and self._struck[index] >= rule.times
            if self._met[index] <= rule.skip or spent:
                continue
            if rule.share < 1 and self._chance.random() >= rule.share:
                continue
            self._struck[index] += 1
            self.injected[rule.fault] += 1
            self._strike(drawn, rule)
        return drawn

    def _strike(self, drawn: Drawn, rule: Rule) -> None:
        if rule.fault == "latency":
            drawn.delay_ms += rule.ms + self.jitter(rule.jitter_ms)
        elif rule.fault == "slow_body":
            drawn.slow_ms += rule.ms
        elif rule.fault == "too_many_requests":
            drawn.status, drawn.retry_after, drawn.committed = 429, rule.retry_after, False
        elif rule.fault == "server_error":
            drawn.status, drawn.committed = rule.status, bool(rule.committed)
        elif rule.fault in {"cut_before", "cut_after"}:
            drawn.cut, drawn.committed = True, rule.fault == "cut_after"
        else:
            drawn.body = "empty" if rule.fault == "empty_body" else rule.body
            drawn.committed = rule.committed is not False

    def _refuser(self, rule: Rule) -> Callable[[], str | None]:
        def refuse() -> str | None:
            if self._chance.random() >= rule.share:
                return None
            self.injected[rule.fault] += 1
            return rule.error_type

        return refuse
