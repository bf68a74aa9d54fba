"""A probe that is declined, interrupted or ill-served says so, and leaves no member behind."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from segctl.core.errors import CredentialsRefused
from segctl.emulator.faults import parse_plan
from segctl.emulator.settings import Settings
from segctl.probing.member_questions import EVENT_KEYS
from segctl.probing.report import UNASKABLE, ProbeReport, Write
from tests.probing.probe_kit import Bench, account_of, answers, bench

WRITES = 28
"""How many writes a probe of the default service asks for; a test counts them."""


def without(app: ASGIApp, *paths: str) -> ASGIApp:
    """Put a service before the emulator that has no right to these calls."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in paths:
            response = JSONResponse({"status": "fail", "error": "No access", "code": 403}, 403)
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return front


def never_wrong(at: Bench, report: ProbeReport, **settings: Any) -> None:
    truth = Settings().changed(settings).document()
    found = report.emulator_settings()
    assert {name: truth[name] for name in found} == found
    assert at.members() == 0
    made = {each.customer_id for each in account_of(at).segments.values()}
    assert made <= {shell.customer_id for shell in report.shells}


def at_write(number: int, answer: Callable[[], bool]) -> Callable[[Write], bool]:
    """Say yes to all writes but one."""
    count = iter(range(1, 1000))
    return lambda _: answer() if next(count) == number else True


def interrupt() -> bool:
    raise KeyboardInterrupt


def test_a_probe_asks_for_as_many_writes_as_these_tests_break() -> None:
    with bench() as at:
        at.probe()
    assert len(at.writes) == WRITES


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_an_interrupted_probe_takes_its_members_out_and_names_its_segments(number: int) -> None:
    with bench() as at:
        report = at.probe(approve=at_write(number, interrupt))
        never_wrong(at, report)
    assert report.interrupted


@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_a_question_that_is_declined_is_one_that_cannot_be_told(number: int) -> None:
    with bench() as at:
        report = at.probe(approve=at_write(number, lambda: False))
        never_wrong(at, report)
    untold = {key for key, said in answers(report).items() if said == "cannot tell"}
    assert untold > set(UNASKABLE)


def test_a_probe_that_may_write_nothing_makes_nothing() -> None:
    with bench() as at:
        report = at.probe(approve=lambda _: False)
        assert account_of(at).segments == {}
    assert report.problem == "without a segment nothing can be asked"


def test_an_interrupted_clean_up_names_the_members_that_may_be_left() -> None:
    with bench() as at:
        report = at.probe(note=lambda text: interrupt() if text.startswith("Removing") else None)
        assert at.members() == 3
    assert report.interrupted
    assert len(report.left_behind) == 5
    assert all("segctl-probe-k3x9-identity-u" in each for each in report.left_behind)


def test_without_get_events_only_what_needs_them_cannot_be_told() -> None:
    with bench() as at:
        at.front = without(at.app, "/1/events.json")
        report = at.probe()
        never_wrong(at, report)
    said = answers(report)
    untold = {key for key, each in said.items() if each == "cannot tell"}
    assert untold == {*UNASKABLE, *EVENT_KEYS, "visibility_lag_ms"}
    reasons = {each.answer for each in report.findings if each.key in EVENT_KEYS}
    assert reasons == {"Get Events answered HTTP 403, No access"}


def test_events_that_do_not_come_in_time_are_waited_for_so_long_only() -> None:
    with bench(visibility_lag_ms=60_000) as at:
        report = at.probe(patience=20.0)
        never_wrong(at, report, visibility_lag_ms=60_000)
        assert at.clock.time < 60
    lag = next(each for each in report.findings if each.key == "visibility_lag_ms")
    assert lag.answer == "Get Events did not show the change within 20 seconds"


@pytest.mark.parametrize("lag", [4_000, 25_000])
def test_how_late_events_are_seen_is_measured(lag: int) -> None:
    with bench(visibility_lag_ms=lag) as at:
        report = at.probe(patience=120.0)
        assert at.members() == 0
    found = report.emulator_settings()
    assert lag <= int(found["visibility_lag_ms"]) <= lag + 10_000
    assert found["conflict_order"] == "as_sent"
    assert found["noop_changes"] == "silent"


@pytest.mark.parametrize("choice", ["ignore", "create_profile"])
@pytest.mark.parametrize("noops", ["silent", "event"])
@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ((), {"silent", "event"}),
        (("/1/events.json",), {"silent", "event"}),
        (("/1/profile.json",), {"event"}),
        (("/1/events.json", "/1/profile.json"), set()),
    ],
    ids=["both calls", "no events", "no profiles", "neither"],
)
def test_events_or_profiles_tell_whether_a_remove_made_one(
    choice: str, noops: str, hidden: tuple[str, ...], told: set[str]
) -> None:
    with bench(remove_unknown_user=choice, noop_changes=noops) as at:
        at.front = without(at.app, *hidden)
        report = at.probe()
        never_wrong(at, report, remove_unknown_user=choice, noop_changes=noops)
    found = report.emulator_settings().get("remove_unknown_user")
    # An event shows a profile that was made; that none was made shows only beside another's.
    assert found == (choice if noops in told else None)


FAULTS: list[dict[str, Any]] = [
    {"fault": "server_error", "status": 503},
    {"fault": "server_error", "status": 500, "committed": True},
    {"fault": "cut_before"},
    {"fault": "cut_after"},
    {"fault": "empty_body", "committed": True},
    {"fault": "wrong_body", "body": "html", "committed": True},
    {"fault": "wrong_body", "body": "array", "committed": True},
    {"fault": "too_many_requests", "retry_after": 1},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize("seed", range(6))
def test_a_faulty_service_leads_to_no_wrong_answer(fault: dict[str, Any], seed: int) -> None:
    with bench() as at:
        rule = {**fault, "share": 0.15, "call": "*"}
        at.service.faults.restart(parse_plan({"seed": seed, "rules": [rule]}))
        report = at.probe(patience=200.0)
        truth = Settings().document()
        found = {**report.emulator_settings(), "visibility_lag_ms": 0}
        retry_after = found.pop("rate_limit_retry_after", 0)
        assert {name: truth[name] for name in found} == found
        assert retry_after in {0, fault.get("retry_after", 0)}
        left = at.members()
        made = {each.customer_id for each in account_of(at).segments.values()}
    assert made <= {shell.customer_id for shell in report.shells}
    assert left <= len(report.left_behind)


def test_refused_credentials_end_a_probe_before_it_made_anything() -> None:
    with bench() as at:
        at.service.store.accounts["ACC-PROBE-1"].passcode = "another"
        with pytest.raises(CredentialsRefused, match="Passcode is not valid"):
            at.probe()


def test_a_service_that_refuses_every_create_is_told_of() -> None:
    with bench(max_segments=0) as at:
        report = at.probe()
    assert report.problem.startswith("createSegment refused both bodies: HTTP 400")
    assert report.shells == ()


def test_a_full_account_ends_a_probe_with_the_segment_that_was_made() -> None:
    with bench(max_segments=1) as at:
        report = at.probe()
        never_wrong(at, report, max_segments=1)
    assert [shell.customer_id for shell in report.shells] == ["segctl-probe-k3x9-1"]
    assert answers(report)["create_body"] == "cannot tell"
