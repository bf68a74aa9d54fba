"""What the environment of a CI job says."""

import pytest

from segctl.core.ci import is_pull_request


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GITHUB_EVENT_NAME", "pull_request", True),
        ("GITHUB_EVENT_NAME", "pull_request_target", True),
        ("GITHUB_EVENT_NAME", "pull_request_review", True),
        ("GITHUB_EVENT_NAME", "merge_group", False),
        ("GITHUB_REF", "refs/pull/7/merge", True),
        ("GITHUB_REF", "refs/heads/main", False),
        ("GITHUB_HEAD_REF", "topic", True),
        ("GITHUB_EVENT_NAME", "push", False),
        ("CI_PIPELINE_SOURCE", "merge_request_event", True),
        ("CI_PIPELINE_SOURCE", "push", False),
        ("BITBUCKET_PR_ID", "7", True),
        ("BUILDKITE_PULL_REQUEST", "7", True),
        ("BUILDKITE_PULL_REQUEST", "false", False),
        ("BUILD_REASON", "PullRequest", True),
        ("CHANGE_ID", "7", True),
        ("DRONE_PULL_REQUEST", "", False),
    ],
)
def test_the_job_of_a_pull_request_is_recognised(name: str, value: str, expected: bool) -> None:
    assert is_pull_request({name: value}) == expected
    assert not is_pull_request({})
