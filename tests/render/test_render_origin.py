"""A plan says from what it was made, where it was made in CI or with variables."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segctl.core.ci import commit_of
from segctl.plan.model import Plan
from segctl.render import phrases

PLAN = Plan(
    lineage="",
    serial=0,
    account="ACC",
    host="h",
    workspace_digest="",
    digest="",
    segctl_version="1",
)


def test_a_plan_names_account_commit_time_and_variables() -> None:
    plan = replace(PLAN, commit="0123456789abcdef", made_at=0.5, variables={"day": "1\n2"})
    assert phrases.origin_line(plan) == (
        'Made for account ACC from commit 0123456789ab at 1970-01-01 00:00 UTC with day = "1\\n2".'
    )


def test_a_plan_of_a_person_without_variables_says_nothing() -> None:
    assert not phrases.origin_line(replace(PLAN, made_at=5.0))


def test_when_a_plan_was_made_does_not_count_in_a_comparison() -> None:
    assert replace(PLAN, made_at=5.0, commit="0123456") == PLAN


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"GITHUB_SHA": "0123456789abcdef"}, "0123456789abcdef"),
        ({"CI_COMMIT_SHA": "0123456"}, "0123456"),
        (
            {"CI_COMMIT_SHA": "0123456", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "89abcde"},
            "89abcde",
        ),
        ({"GIT_COMMIT": "::error::x"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_is_that_of_the_ci_job(variables: dict[str, str], expected: str) -> None:
    assert commit_of(variables) == expected


HEAD, TRIAL_MERGE = "a" * 40, "e" * 40


@pytest.mark.parametrize(
    ("event", "ref", "expected"),
    [
        ({"pull_request": {"head": {"sha": HEAD}}}, "refs/pull/7/merge", HEAD),
        ({"pull_request": {"head": {"sha": HEAD}}}, "refs/heads/main", TRIAL_MERGE),
        ({"pull_request": {"head": {"sha": "::x"}}}, "refs/pull/7/merge", TRIAL_MERGE),
        ({"pull_request": {"head": [1]}}, "refs/pull/7/merge", TRIAL_MERGE),
        ([], "refs/pull/7/merge", TRIAL_MERGE),
        (None, "refs/pull/7/merge", TRIAL_MERGE),
    ],
)
def test_the_commit_of_a_pull_request_is_the_last_one_of_its_branch(
    event: object, ref: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    if event is not None:
        path.write_text(json.dumps(event))
    job = {"GITHUB_SHA": TRIAL_MERGE, "GITHUB_REF": ref, "GITHUB_EVENT_PATH": str(path)}
    assert commit_of(job) == expected
