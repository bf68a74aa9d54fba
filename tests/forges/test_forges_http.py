"""Every answer of a forge that is no success: what is tried again, and what is said."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.core.errors import CredentialsRefused, ForgeFailed, OperationError
from segctl.forges.base import Forge
from tests.clocks import SwiftClock
from tests.forges.conftest import Open
from tests.forges.stand_ins import (
    NOT_ACCESSIBLE,
    REPOSITORY,
    TOKEN,
    GitHubStandIn,
    GitLabStandIn,
    running_github,
)

StandIn = GitHubStandIn | GitLabStandIn
COMMENTS = "/comments"
USED_UP = {"message": "API rate limit exceeded for installation."}
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}


@pytest.fixture(autouse=True)
def _no_token_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text


@pytest.fixture
def hub(github: GitHubStandIn, open_for: Open, tmp_path: Path) -> Forge:
    """The forge of a job of GitHub for request 7."""
    return open_for(github.job(tmp_path, 7))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_reading_is_repeated_after_a_passing_error(
    status: int, stand_in: StandIn, forge: Forge
) -> None:
    stand_in.fail("GET", "/7", status, "Bad Gateway", times=3)
    assert forge.find_pull_request().number == 7


@pytest.mark.parametrize("status", [500, 503])
def test_errors_that_stay_are_reported(status: int, stand_in: StandIn, forge: Forge) -> None:
    stand_in.fail("GET", "/7", status, "<html>", times=99)
    with pytest.raises(ForgeFailed, match=f"with {status}"):
        forge.find_pull_request()
    assert len(stand_in.calls("GET")) == 5


def test_no_answer_at_all_is_reported(stand_in: StandIn, forge: Forge) -> None:
    stand_in.fail("GET", "/7", 0, times=99)
    with pytest.raises(ForgeFailed, match="no answer from Git"):
        forge.find_pull_request()


@pytest.mark.parametrize("status", [500, 0])
def test_a_comment_is_not_created_a_second_time_blindly(
    status: int, stand_in: StandIn, forge: Forge
) -> None:
    stand_in.fail("POST", "/7/", status, "", does_it=True)
    with pytest.raises(ForgeFailed) as error:
        forge.create_comment(7, "text")
    assert error.value.uncertain
    assert stand_in.bodies(7) == ["text"]


def test_nothing_that_listens_is_reported(open_for: Open, tmp_path: Path) -> None:
    with running_github() as gone:
        gone.add_request(7)
        forge = open_for(gone.job(tmp_path, 7))
    with pytest.raises(ForgeFailed, match="connection refused") as error:
        forge.create_comment(7, "text")
    assert not error.value.uncertain


def test_a_token_that_is_not_accepted_is_named_by_its_variable(
    stand_in: StandIn, open_for: Open, tmp_path: Path
) -> None:
    environment = stand_in.job(tmp_path, 7)
    variable = next(name for name in environment if name.endswith("_TOKEN"))
    forge = open_for(environment | {variable: "expired-token"})
    with pytest.raises(CredentialsRefused, match=f"token in {variable} \\(401") as error:
        forge.find_pull_request()
    assert "expired-token" not in f"{error.value}{error.value.hint}"


def test_a_token_without_permission_says_which_it_needs(github: GitHubStandIn, hub: Forge) -> None:
    github.fail("POST", COMMENTS, 403, NOT_ACCESSIBLE)
    with pytest.raises(ForgeFailed, match="Resource not accessible by integration") as error:
        hub.create_comment(7, "text")
    assert "pull-requests: write" in error.value.hint
    assert "fork" in error.value.hint


def test_a_token_without_scope_says_which_it_needs(
    gitlab: GitLabStandIn, open_for: Open, tmp_path: Path
) -> None:
    gitlab.fail("POST", "/notes", 403, {"error": "insufficient_scope", "scope": "api read_api"})
    with pytest.raises(ForgeFailed, match="insufficient_scope") as error:
        open_for(gitlab.job(tmp_path, 7)).create_comment(7, "text")
    assert "scope `api`" in error.value.hint


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_said(status: int, stand_in: StandIn, forge: Forge) -> None:
    stand_in.fail("GET", "/7", status, {"message": "Gone away"})
    with pytest.raises(ForgeFailed, match=f"with {status}: Gone away"):
        forge.find_pull_request()


def test_a_comment_that_is_too_long_names_the_option(forge: Forge) -> None:
    with pytest.raises(ForgeFailed, match="too long") as error:
        forge.create_comment(7, "x" * 1_000_001)
    assert "--max-bytes" in error.value.hint


@pytest.mark.parametrize("body", [{"message": "Validation Failed"}, {"errors": ["x"]}, {}, [], "x"])
def test_a_request_that_is_refused_is_said(body: object, github: GitHubStandIn, hub: Forge) -> None:
    github.fail("POST", COMMENTS, 422, body)
    with pytest.raises(ForgeFailed, match="with 422"):
        hub.create_comment(7, "text")


@pytest.mark.parametrize(
    ("answer", "waited"),
    [
        ((429, "Retry later", {"Retry-After": "7"}), 7),
        ((403, SECONDARY, {"Retry-After": "30"}), 30),
        ((403, SECONDARY, {}), 60),
        ((403, USED_UP, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000050"}), 50),
        ((429, "Retry later", {"RateLimit-Reset": "1800000040"}), 40),
        ((429, "", {"Retry-After": "Fri, 15 Jan 2027 08:00:20 GMT"}), 20),
        ((429, "", {"Retry-After": "soon"}), 60),
    ],
)
def test_a_limit_is_waited_for(
    answer: tuple[int, object, dict[str, str]],
    waited: int,
    github: GitHubStandIn,
    hub: Forge,
    clock: SwiftClock,
) -> None:
    status, body, headers = answer
    github.fail("POST", COMMENTS, status, body, headers=headers)
    hub.create_comment(7, "text")
    assert github.bodies(7) == ["text"]
    assert clock.time == waited


def test_a_limit_that_lasts_is_not_waited_for(
    github: GitHubStandIn, hub: Forge, clock: SwiftClock
) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800003600"}
    github.fail("GET", "/7", 403, {"message": "API rate limit exceeded"}, headers=headers)
    with pytest.raises(ForgeFailed, match="limits requests until 09:00:00 UTC"):
        hub.find_pull_request()
    assert clock.time == 0


def test_a_limit_that_comes_again_and_again_ends(stand_in: StandIn, forge: Forge) -> None:
    stand_in.fail("GET", "/7", 429, "Retry later", headers={"Retry-After": "1"}, times=99)
    with pytest.raises(ForgeFailed, match="limits requests"):
        forge.find_pull_request()


def test_a_repository_that_was_renamed_is_found(github: GitHubStandIn, hub: Forge) -> None:
    target = f"{github.url}/repos/{REPOSITORY}/issues/7/comments"
    github.fail("POST", COMMENTS, 301, "", headers={"Location": f"{target}?moved=1"})
    hub.create_comment(7, "text")
    assert github.bodies(7) == ["text"]


def test_another_host_never_gets_the_token(github: GitHubStandIn, hub: Forge) -> None:
    with running_github() as other:
        for location in (f"{other.url}/x", other.url.replace("http://", "//")):
            github.fail("GET", "/7", 302, "", headers={"Location": location})
            with pytest.raises(ForgeFailed, match="redirects to another host"):
                hub.find_pull_request()
        assert other.log == []


@pytest.mark.parametrize("location", ["", "/loop/7", "http://[", "ftp://x/"])
def test_a_redirect_that_leads_nowhere_ends(
    location: str, github: GitHubStandIn, hub: Forge
) -> None:
    github.fail("GET", "/7", 302, "", headers={"Location": location}, times=99)
    with pytest.raises(ForgeFailed, match="redirects"):
        hub.find_pull_request()


@pytest.mark.parametrize(
    "body", ["", "<html>", '{"number": "7"}', "[]", "null", '{"number": true}']
)
def test_an_answer_of_another_shape_is_refused(
    body: str, github: GitHubStandIn, hub: Forge
) -> None:
    github.fail("GET", "/7", 200, body)
    with pytest.raises(ForgeFailed):
        hub.find_pull_request()


@pytest.mark.parametrize("body", ["{}", "null", "<html>"])
def test_a_list_of_another_shape_is_refused(body: str, github: GitHubStandIn, hub: Forge) -> None:
    github.fail("GET", COMMENTS, 200, body)
    with pytest.raises(ForgeFailed, match="without a list"):
        hub.list_comments(7)


def test_an_answer_that_repeats_the_token_is_not_quoted(github: GitHubStandIn, hub: Forge) -> None:
    github.fail("GET", "/7", 418, {"message": f"what is {TOKEN}?"})
    with pytest.raises(ForgeFailed) as error:
        hub.find_pull_request()
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://api.github.test", "ftp://x", "api.github.com", "https://u:p@x", "https://x?y"]
)
def test_an_address_that_would_show_the_token_is_refused(url: str, open_for: Open) -> None:
    environment = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": url}
    with pytest.raises(OperationError, match="GITHUB_API_URL"):
        open_for(environment)


@pytest.mark.parametrize("token", ["a b", "a\n", "ä", "\x00"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str, open_for: Open) -> None:
    with pytest.raises(CredentialsRefused, match="GITHUB_TOKEN contains") as error:
        open_for({"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token})
    assert token not in str(error.value)


def test_a_proxy_that_cannot_be_used_is_not_quoted(
    open_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://user:secret@proxy")
    with pytest.raises(OperationError, match="no connection to GitHub") as error:
        open_for({"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN})
    assert "secret" not in f"{error.value}{error.value.hint}"


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    open_for: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@127.0.0.1:9")
    hub = open_for({"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN})
    with pytest.raises(ForgeFailed) as error:
        hub.account()
    assert error.value.message == (
        "could not connect to the proxy 127.0.0.1:9 (HTTPS_PROXY): connection refused"
    )


def test_an_address_with_a_line_break_is_said_to_have_one(open_for: Open) -> None:
    url = "https://api.github.com\n"
    environment = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": url}
    with pytest.raises(OperationError, match="GITHUB_API_URL ends in a line break"):
        open_for(environment)
