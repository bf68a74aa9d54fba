"""What the environment of a CI job says about the run."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from segctl.core.disk import read_file

_PULL_REQUEST_EVENTS = {
    "GITHUB_EVENT_NAME": (
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "pull_request_review_comment",
    ),
    "CI_PIPELINE_SOURCE": ("merge_request_event", "external_pull_request_event"),
    "BUILD_REASON": ("PullRequest",),
}
"""Variables of GitHub, GitLab and Azure, with the values that they have for a pull request.

A merge queue runs what was approved, so ``merge_group`` is none.
"""

_PULL_REQUEST_IDS = (
    "GITHUB_HEAD_REF",
    "CI_MERGE_REQUEST_IID",
    "BITBUCKET_PR_ID",
    "BUILDKITE_PULL_REQUEST",
    "CIRCLE_PULL_REQUEST",
    "SYSTEM_PULLREQUEST_PULLREQUESTID",
    "CHANGE_ID",
    "DRONE_PULL_REQUEST",
    "TRAVIS_PULL_REQUEST",
)
"""Variables that are set only for a pull request; ``false`` counts as unset."""


_COMMITS = (
    # A pipeline of merged results runs on a commit that GitLab made, and names that of the branch.
    *(
        "GITHUB_SHA",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA",
        "CI_COMMIT_SHA",
        "BITBUCKET_COMMIT",
        "BUILDKITE_COMMIT",
        "CIRCLE_SHA1",
    ),
    *("BUILD_SOURCEVERSION", "GIT_COMMIT", "DRONE_COMMIT_SHA", "TRAVIS_COMMIT"),
)
"""The variables in which CI services name the commit of a job."""


def read_event(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the event of a job of GitHub, empty if there is none.

    Raises ``OSError``, ``ValueError`` or ``RecursionError`` if it cannot be read.
    """
    path = environment.get("GITHUB_EVENT_PATH")
    event = json.loads(read_file(Path(path))) if path else None
    return event if isinstance(event, dict) else {}


def commit_of(environment: Mapping[str, str]) -> str:
    """Return the commit of a CI job, empty outside of CI.

    For a pull request it is the last one of its branch, if the service names it.
    """
    found = [_head_of_pull_request(environment)]
    found += [environment.get(name, "") for name in _COMMITS]
    return next((commit for commit in found if re.fullmatch("[0-9a-fA-F]{7,64}", commit)), "")


def _head_of_pull_request(environment: Mapping[str, str]) -> str:
    """Return the last commit of the branch, empty if the event has none.

    For an open pull request, ``GITHUB_SHA`` is a trial merge that nobody finds in the history.
    """
    if not environment.get("GITHUB_REF", "").startswith("refs/pull/"):
        return ""
    event: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        event = read_event(environment)
    request = event.get("pull_request")
    head = request.get("head") if isinstance(request, dict) else None
    commit = head.get("sha") if isinstance(head, dict) else None
    return commit if isinstance(commit, str) else ""


_RUN_URLS = (
    "CI_JOB_URL",
    "BUILDKITE_BUILD_URL",
    "CIRCLE_BUILD_URL",
    "BUILD_URL",
    "DRONE_BUILD_LINK",
)
"""The variables in which CI services name the address of a job."""


def run_url(environment: Mapping[str, str]) -> str:
    """Return the address of a CI job, empty outside of CI or if there is none."""
    server, repository, run = (
        environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
    )
    found = [environment.get(name, "") for name in _RUN_URLS]
    if server and repository and run:
        found.insert(0, f"{server}/{repository}/actions/runs/{run}")
    return next((url for url in found if re.fullmatch(r"https?://[!-~]{1,500}", url)), "")


def is_pull_request(environment: Mapping[str, str]) -> bool:
    """Whether a CI job runs for a pull request, whose files nobody may have reviewed yet."""
    if environment.get("GITHUB_REF", "").startswith("refs/pull/"):
        return True
    return any(
        environment.get(name) in values for name, values in _PULL_REQUEST_EVENTS.items()
    ) or any(environment.get(name, "") not in ("", "false") for name in _PULL_REQUEST_IDS)
