"""Which pull request a job is for, and from which one a commit was merged."""

import json
from pathlib import Path

import pytest

from segctl.core.errors import CredentialsRefused, OperationError, WrongUsage
from segctl.forges.base import Forge
from tests.forges.conftest import Open
from tests.forges.stand_ins import PROJECT, GitHubStandIn, GitLabStandIn

MERGE = "c" * 40

StandIn = GitHubStandIn | GitLabStandIn


def test_a_job_for_a_request_finds_it(forge: Forge) -> None:
    request = forge.find_pull_request()
    assert (request.number, request.state, request.head) == (7, "open", "a" * 40)
    assert forge.run_head() == "a" * 40


def test_a_job_for_a_push_finds_the_open_request_with_its_commit(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    forge = open_for(stand_in.push_job(tmp_path, "b" * 40, "branch-8"))
    assert forge.find_pull_request().number == 8


def test_a_job_for_another_push_is_for_no_request(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    forge = open_for(stand_in.push_job(tmp_path, "d" * 40))
    with pytest.raises(WrongUsage, match="for no pull or merge request"):
        forge.find_pull_request()


def test_two_open_requests_with_the_commit_are_refused(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    stand_in.push(8, "a" * 40)
    forge = open_for(stand_in.push_job(tmp_path, "a" * 40))
    with pytest.raises(WrongUsage, match=r"several pull or merge requests: .*7, .*8"):
        forge.find_pull_request()


def test_a_merge_commit_leads_to_its_request(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    stand_in.close(7, merged_as=MERGE)
    request = open_for(stand_in.push_job(tmp_path, MERGE)).find_merged_pull_request()
    assert (request.number, request.state) == (7, "merged")


def test_a_branch_that_was_moved_forward_leads_to_its_request(
    gitlab: GitLabStandIn, open_for: Open, tmp_path: Path
) -> None:
    gitlab.requests[7]["state"] = "merged"
    assert open_for(gitlab.push_job(tmp_path, "a" * 40)).find_merged_pull_request().number == 7


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_commit_of_a_request_that_was_not_merged_is_refused(
    state: str, stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    if state == "closed":
        stand_in.close(7)
    with pytest.raises(OperationError, match="was not merged from a pull or merge request"):
        open_for(stand_in.push_job(tmp_path, "a" * 40)).find_merged_pull_request()


def test_a_merge_into_another_branch_is_refused(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    stand_in.add_request(9, base="develop")
    stand_in.close(9, merged_as=MERGE)
    with pytest.raises(OperationError, match="not into main"):
        open_for(stand_in.push_job(tmp_path, MERGE)).find_merged_pull_request()


def test_a_commit_merged_from_several_requests_is_refused(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    stand_in.close(7, merged_as=MERGE)
    stand_in.close(8, merged_as=MERGE)
    with pytest.raises(OperationError, match=r"from several pull or merge requests: .*7, .*8"):
        open_for(stand_in.push_job(tmp_path, MERGE)).find_merged_pull_request()


def test_an_open_request_has_no_merged_one(forge: Forge) -> None:
    with pytest.raises(WrongUsage, match="is open"):
        forge.find_merged_pull_request()


def test_the_event_of_a_merged_pull_request_names_it(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    github.close(7, merged_as=MERGE)
    assert open_for(github.job(tmp_path, 7)).find_merged_pull_request().number == 7


def test_a_pull_request_that_was_merged_elsewhere_is_refused(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    github.close(7, merged_as=MERGE)
    github.requests[7]["base"]["ref"] = "feature"
    with pytest.raises(WrongUsage, match="merged into feature, not into the default branch"):
        open_for(github.job(tmp_path, 7)).find_merged_pull_request()


def test_a_comment_on_a_merged_pull_request_does_not_choose_it(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    github.close(7, merged_as=MERGE)
    environment = github.push_job(tmp_path, "d" * 40)
    event = {"issue": {"number": 7, "pull_request": {}}}
    Path(environment["GITHUB_EVENT_PATH"]).write_text(json.dumps(event))
    with pytest.raises(OperationError, match="was not merged from"):
        open_for(environment).find_merged_pull_request()


@pytest.mark.parametrize(
    "event",
    [
        {"pull_request": {"number": 7}},
        {"issue": {"number": 7, "pull_request": {}}},
        {"issue": {"number": 7, "pull_request": {"url": "x"}}},
        {"workflow_run": {"pull_requests": [{"number": 7}]}},
        {},
        [],
    ],
)
def test_each_event_for_a_pull_request_names_it(
    event: object, github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    environment = github.job(tmp_path, 7)
    Path(environment["GITHUB_EVENT_PATH"]).write_text(json.dumps(event))
    assert open_for(environment).find_pull_request().number == 7


def test_an_issue_is_no_pull_request(github: GitHubStandIn, open_for: Open, tmp_path: Path) -> None:
    environment = github.push_job(tmp_path, "d" * 40)
    Path(environment["GITHUB_EVENT_PATH"]).write_text('{"issue": {"number": 7}}')
    with pytest.raises(WrongUsage, match="for no pull or merge request"):
        open_for(environment).find_pull_request()


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000])
def test_an_event_that_is_no_json_is_refused(
    content: str, github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    environment = github.job(tmp_path, 7)
    Path(environment["GITHUB_EVENT_PATH"]).write_text(content)
    with pytest.raises(OperationError, match="GITHUB_EVENT_PATH cannot be read"):
        open_for(environment)


def test_the_pipeline_of_a_fork_asks_the_project_of_the_request(
    gitlab: GitLabStandIn, open_for: Open, tmp_path: Path
) -> None:
    environment = gitlab.job(tmp_path, 7, CI_PROJECT_ID="999")
    assert environment["CI_MERGE_REQUEST_PROJECT_ID"] == PROJECT
    assert open_for(environment).find_pull_request().number == 7


def test_a_pipeline_for_merged_results_has_the_head_of_the_branch(
    gitlab: GitLabStandIn, open_for: Open, tmp_path: Path
) -> None:
    environment = gitlab.job(tmp_path, 7, CI_COMMIT_SHA="e" * 40)
    environment["CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"] = "a" * 40
    assert open_for(environment).run_head() == "a" * 40


def test_outside_of_a_job_there_is_no_forge(open_for: Open) -> None:
    with pytest.raises(WrongUsage, match="no CI job of GitHub or GitLab"):
        open_for({"HOME": "x"})


@pytest.mark.parametrize("repository", ["", "acme", "acme/../x", "acme/x/y", "a b/c", "acme/x?y"])
def test_a_name_that_is_no_repository_is_refused(repository: str, open_for: Open) -> None:
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": repository, "GITHUB_TOKEN": "x"}
    with pytest.raises(WrongUsage):
        open_for(environment)


def test_a_missing_token_says_how_to_set_it(open_for: Open) -> None:
    with pytest.raises(CredentialsRefused, match="GITHUB_TOKEN is not set") as error:
        open_for({"GITHUB_REPOSITORY": "acme/segments"})
    assert "${{ github.token }}" in error.value.hint


def test_the_token_of_a_job_of_gitlab_is_not_enough(open_for: Open) -> None:
    with pytest.raises(CredentialsRefused, match="CI_JOB_TOKEN cannot write notes"):
        open_for({"CI_PROJECT_ID": "42", "CI_JOB_TOKEN": "x"})
