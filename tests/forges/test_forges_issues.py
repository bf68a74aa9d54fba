"""One open issue for each workspace and environment, of our own account, updated and closed."""

from collections.abc import Callable

import pytest

from segctl.core.errors import ForgeFailed
from segctl.forges.base import Forge
from segctl.forges.issues import IssueUpdate, close_issues, find_holding, post_issue
from segctl.forges.marker import IssueMarker, comment_key
from tests.clocks import SwiftClock
from tests.forges.stand_ins import TOKEN, GitHubStandIn, GitLabStandIn

StandIn = GitHubStandIn | GitLabStandIn
Post = Callable[..., IssueUpdate]

KEY = comment_key("growth", "")
HEADING = "segctl: segments are not applied: growth"
MALLORY = {"id": 666, "login": "mallory", "username": "mallory"}


@pytest.fixture
def post(forge: Forge, clock: SwiftClock) -> Post:
    """Report a problem."""

    def post_it(text: str = "one", *, key: str = KEY, holds: bool = False) -> IssueUpdate:
        marker = IssueMarker(key=key, holds=holds)
        return post_issue(forge, marker, HEADING, text, sleep=clock.wait)

    return post_it


def test_an_issue_is_opened_updated_and_closed(post: Post, forge: Forge, stand_in: StandIn) -> None:
    assert [post("one").action, post("two").action] == ["opened", "updated"]
    [body] = stand_in.open_issues()
    assert body.endswith("\ntwo")
    closed = close_issues(forge, KEY, HEADING, "done")
    assert (closed.action, stand_in.open_issues()) == ("closed", [])
    assert close_issues(forge, KEY, HEADING, "done").action == "none"
    assert post("three").action == "opened"


def test_two_workspaces_have_two_issues(post: Post, forge: Forge, stand_in: StandIn) -> None:
    post()
    post(key=comment_key("crm", ""))
    close_issues(forge, KEY, HEADING, "done")
    assert len(stand_in.open_issues()) == 1


def test_an_issue_of_somebody_else_does_not_count(
    post: Post, forge: Forge, stand_in: StandIn
) -> None:
    forged = f"{IssueMarker(key=KEY, holds=True)}\nforged"
    stand_in.add_issue("x", forged, MALLORY)
    assert find_holding(forge, KEY, HEADING) is None
    assert post().action == "opened"
    close_issues(forge, KEY, HEADING, "done")
    assert stand_in.open_issues() == [forged]


def test_a_forge_that_lists_issues_of_others_all_the_same_is_not_trusted(
    forge: Forge, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "choose", lambda items, _: items)
    stand_in.add_issue(HEADING, str(IssueMarker(key=KEY, holds=True)), MALLORY)
    assert find_holding(forge, KEY, HEADING) is None


def test_only_the_first_line_counts(post: Post, forge: Forge, stand_in: StandIn) -> None:
    account = stand_in.accounts[TOKEN]
    stand_in.add_issue("x", f"Look:\n{IssueMarker(key=KEY, holds=True)}", account)
    assert find_holding(forge, KEY, HEADING) is None
    assert post().action == "opened"


def test_an_issue_whose_first_line_was_edited_is_known_by_its_heading_and_holds(
    post: Post, forge: Forge, stand_in: StandIn
) -> None:
    account = stand_in.accounts[TOKEN]
    stand_in.add_issue(HEADING, "**Read this first**", account)
    stand_in.add_issue(HEADING, str(IssueMarker(key=comment_key("crm", ""), holds=True)), account)
    assert find_holding(forge, KEY, HEADING)
    assert find_holding(forge, KEY, "another") is None
    assert post(holds=False).action == "updated"
    assert find_holding(forge, KEY, HEADING) is None
    close_issues(forge, KEY, HEADING, "done")
    assert len(stand_in.open_issues()) == 1


def test_any_number_of_issues_of_others_is_in_nobody_s_way(
    post: Post, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segctl.forges.http.MAX_PAGES", 1)
    for number in range(120):
        stand_in.add_issue(f"problem {number}", "", MALLORY)
    assert [post().action, post().action] == ["opened", "updated"]


def test_doubled_issues_become_one(post: Post, stand_in: StandIn) -> None:
    for _ in range(2):
        stand_in.add_issue("x", str(IssueMarker(key=KEY, holds=False)), stand_in.accounts[TOKEN])
    update = post("new")
    assert (update.action, len(update.others)) == ("updated", 1)
    assert [body.endswith("new") for body in stand_in.open_issues()] == [True]


def test_an_issue_that_was_opened_without_an_answer_is_not_opened_again(
    post: Post, stand_in: StandIn
) -> None:
    stand_in.fail("POST", "/issues", 502, "bad gateway", does_it=True)
    assert post().action == "updated"
    assert len(stand_in.open_issues()) == 1


def test_an_issue_that_is_closed_by_hand_holds_nothing(
    post: Post, forge: Forge, stand_in: StandIn
) -> None:
    opened = post(holds=True).issue
    assert opened
    holding = find_holding(forge, KEY, HEADING)
    assert holding
    assert holding.number == opened.number
    stand_in.close_issue(opened.number)
    assert find_holding(forge, KEY, HEADING) is None


@pytest.mark.parametrize("status", [403, 404, 410, 422])
def test_a_refusal_is_said(post: Post, stand_in: StandIn, status: int) -> None:
    stand_in.fail("POST", "/issues", status, {"message": "No."})
    with pytest.raises(ForgeFailed):
        post()
