"""Whatever the service does where its pages are silent, a probe finds it out or says it cannot."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from segctl.core.errors import CredentialsRefused
from segctl.emulator.settings import CAMPAIGN_SWITCHES, READING_SWITCHES, Settings, alternatives
from segctl.probing.report import LIKELY, MOST, QUESTIONS, UNASKABLE, Certainty, Cost, ProbeReport
from tests.probing.probe_kit import Bench, account_of, answers, bench

NO_QUESTION = {"unknown_accounts", *READING_SWITCHES, *CAMPAIGN_SWITCHES}
"""A switch for tests with several accounts, which the service does not have, those of the calls
that read, whose questions are for a client that reads what is there, and those of campaigns and
of segments of other kinds, which segctl does not touch."""

UNSEEN = {*UNASKABLE, *NO_QUESTION}

ACCESS = "api_segments"
"""The switch whose alternatives leave nothing to ask."""

ALTERNATIVES = [(name, choice) for name, choice in alternatives() if name != ACCESS]

COMBINED: list[dict[str, Any]] = [
    {"create_body": "wrapped", "duplicate_name_in_account": "refuse"},
    {"create_body": "array", "duplicate_name_in_account": "refuse", "duplicate_status": 400},
    {"create_answer": "success_only", "create_status": 201, "create_body": "array"},
    {"create_answer": "success_only", "create_processing": "partial"},
    {"create_answer": "success_only", "duplicate_customer_id": "return_existing"},
    {"create_answer": "wrapped", "create_processing": "partial"},
    {"create_answer": "wrapped", "create_id_field": "segment_id", "create_id_type": "string"},
    {"create_processing": "partial", "duplicate_name_in_request": "accept"},
    {"create_answer": "success_only", "numeric_string_id": "not_found"},
    {"limit_scope": "entry", "limit_counts": "distinct"},
    {"limit_scope": "entry", "limit_counts": "distinct", "code_100_status": 200},
    {"noop_changes": "event", "remove_unknown_user": "create_profile"},
    {"noop_changes": "event", "conflict_order": "removes_first"},
    {"noop_changes": "event", "conflict_order": "adds_first"},
    {"both_ids": "guid", "remove_unknown_user": "create_profile"},
    {"rate_limit_body": "html", "rate_limit_retry_after": 7},
    {"missing_customer_id": "refuse", "duplicate_customer_id": "return_existing"},
    {"profile_updates": "pairs", "limit_scope": "entry"},
    {"profile_updates": "pairs", "limit_counts": "distinct", "empty_entry": "refuse"},
    {"profile_updates": "users", "limit_scope": "entry"},
    {"profile_updates": "users", "limit_counts": "distinct", "limit_scope": "entry"},
    {"profile_updates": "users", "empty_entry": "refuse"},
    {"empty_entry": "refuse", "limit_scope": "entry", "limit_counts": "distinct"},
    {"code_100_status": 200, "profile_updates": "pairs"},
]


def in_words(settings: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in settings.items())


def wrong(report: ProbeReport, settings: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give the settings that the probe has otherwise than they are."""
    truth = Settings().changed(settings).document()
    found = report.emulator_settings()
    return {name: (value, truth[name]) for name, value in found.items() if truth[name] != value}


def fits(used: Cost, announced: Cost) -> bool:
    return all(getattr(used, name) <= getattr(announced, name) for name in vars(announced))


def check(settings: dict[str, Any], at: Bench, report: ProbeReport) -> None:
    """What holds whatever the service does."""
    assert wrong(report, settings) == {}
    assert report.problem == ""
    assert at.members() == 0
    assert report.left_behind == ()
    made = [each.name for each in account_of(at).segments.values()]
    assert Counter(shell.name for shell in report.shells if shell.sure) <= Counter(made)
    assert Counter(made) <= Counter(shell.name for shell in report.shells)
    assert fits(at.used(), MOST)


def test_a_probe_of_the_default_service_answers_all_that_can_be_told() -> None:
    with bench() as at:
        report = at.probe()
        check({}, at, report)
        assert fits(at.used(), LIKELY)
    untold = {each.key for each in report.findings if each.certainty is Certainty.CANNOT_TELL}
    assert untold == set(UNASKABLE)
    assert [each.key for each in report.findings] == list(QUESTIONS)


@pytest.mark.parametrize(("name", "choice"), [(n, c) for n, c in ALTERNATIVES if n not in UNSEEN])
def test_a_probe_finds_a_switch_out(name: str, choice: Any) -> None:
    with bench(**{name: choice}) as at:
        report = at.probe()
        check({name: choice}, at, report)
    assert report.emulator_settings()[name] == choice


@pytest.mark.parametrize(("name", "choice"), [(n, c) for n, c in ALTERNATIVES if n in UNSEEN])
def test_a_probe_says_what_it_cannot_tell(name: str, choice: Any) -> None:
    with bench(**{name: choice}) as at:
        report = at.probe()
        check({name: choice}, at, report)
    assert name not in report.emulator_settings()
    assert answers(report).get(name, "cannot tell") == "cannot tell"


@pytest.mark.parametrize("settings", COMBINED, ids=in_words)
def test_a_probe_is_never_wrong_about_several_switches_at_once(settings: dict[str, Any]) -> None:
    with bench(**settings) as at:
        check(settings, at, at.probe())


@pytest.mark.parametrize(
    "settings", [{name: choice} for name, choice in ALTERNATIVES] + COMBINED, ids=in_words
)
def test_an_emulator_with_a_probes_settings_answers_a_probe_alike(settings: dict[str, Any]) -> None:
    with bench(**settings) as at:
        report = at.probe()
    with bench(**report.emulator_settings()) as other:
        again = answers(other.probe())
    told = {key: said for key, said in answers(report).items() if said != "cannot tell"}
    assert {key: again[key] for key in told} == told


def test_every_switch_is_a_question_or_has_a_reason_not_to_be() -> None:
    switches = {name for name, _ in alternatives()}
    assert switches - set(QUESTIONS) == NO_QUESTION


@pytest.mark.parametrize(
    ("settings", "counting"),
    [
        ({}, "strict"),
        ({"limit_counts": "distinct"}, "distinct"),
        ({"limit_scope": "entry"}, "strict"),
        ({"profile_updates": "users"}, "strict"),
        ({"profile_updates": "pairs"}, "pairs"),
        ({"profile_updates": "pairs", "limit_counts": "distinct"}, "pairs"),
    ],
    ids=["all", "distinct", "per entry", "users", "pairs", "pairs, distinct"],
)
def test_how_the_service_counts_is_the_clients_setting(
    settings: dict[str, Any], counting: str
) -> None:
    with bench(**settings) as at:
        assert at.probe().client_settings() == {"createBody": "array", "counting": counting}


@pytest.mark.parametrize("status", ["403", "404"])
def test_an_account_without_api_segments_ends_a_probe_with_what_to_do(status: str) -> None:
    with bench(api_segments=status) as at:
        report = at.probe()
    assert (report.shells, report.emulator_settings()) == ((), {ACCESS: status})
    assert f"refused: HTTP {status}, API Segments are not enabled" in report.problem
    assert "private beta for the plans Advanced and Cutting Edge" in report.problem


def test_a_401_of_a_probe_may_mean_that_the_account_has_no_api_segments() -> None:
    with bench(api_segments="401") as at, pytest.raises(CredentialsRefused) as caught:
        at.probe()
    assert "private beta for the plans Advanced and Cutting Edge" in caught.value.hint


def test_a_service_that_segctl_cannot_create_in_is_pointed_out() -> None:
    with bench() as at:
        assert at.probe().obstacle() == ""
    with bench(create_body="wrapped") as at:
        assert at.probe().obstacle().startswith("This service refuses the bare array")


@pytest.mark.parametrize("what", ["segments", "profiles", "events", "errors"])
def test_the_page_says_what_the_announcement_says(what: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "probe.md").read_text("utf-8")
    rows = {"segments": "segments", "profiles": "junk profiles", "events": "billable events"}
    row = f"| {getattr(MOST, what)} | {getattr(LIKELY, what)} | {rows.get(what, 'entries')}"
    assert row in page
