"""One open issue for each workspace and environment, of our own account, renewed and closed."""

from collections.abc import Callable

import pytest

from segctl.core.errors import ForgeFailed
from segctl.forges.base import Forge
from segctl.forges.issues import IssueRenewal, close_issues, find_holding, renew_issue
from segctl.forges.marker import IssueMarker, comment_key
from tests.clocks import SwiftClock
from tests.forges.stand_ins import TOKEN, GitHubStandIn, GitLabStandIn

StandIn = GitHubStandIn | GitLabStandIn
Renew = Callable[..., IssueRenewal]

KEY = comment_key("growth", "")
HEADING = "segctl: segments are not applied: growth"
MALLORY = {"id": 666, "login": "mallory", "username": "mallory"}


@pytest.fixture
def renew(forge: Forge, clock: SwiftClock) -> Renew:
    """Report a problem."""

    def renew_it(text: str = "one", *, key: str = KEY, holds: bool = False) -> IssueRenewal:
        marker = IssueMarker(key=key, holds=holds)
        return renew_issue(forge, marker, HEADING, text, sleep=clock.wait)

    return renew_it


def test_an_issue_is_opened_renewed_and_closed(
    renew: Renew, forge: Forge, stand_in: StandIn
) -> None:
    assert [renew("one").what, renew("two").what] == ["opened", "renewed"]
    [body] = stand_in.open_issues()
    assert body.endswith("\ntwo")
    closed = close_issues(forge, KEY, HEADING, "done")
    assert (closed.what, stand_in.open_issues()) == ("closed", [])
    assert close_issues(forge, KEY, HEADING, "done").what == "none"
    assert renew("three").what == "opened"


def test_two_workspaces_have_two_issues(renew: Renew, forge: Forge, stand_in: StandIn) -> None:
    renew()
    renew(key=comment_key("crm", ""))
    close_issues(forge, KEY, HEADING, "done")
    assert len(stand_in.open_issues()) == 1


def test_an_issue_of_somebody_else_does_not_count(
    renew: Renew, forge: Forge, stand_in: StandIn
) -> None:
    forged = f"{IssueMarker(key=KEY, holds=True)}\nforged"
    stand_in.add_issue("x", forged, MALLORY)
    assert find_holding(forge, KEY, HEADING) is None
    assert renew().what == "opened"
    close_issues(forge, KEY, HEADING, "done")
    assert stand_in.open_issues() == [forged]


def test_only_the_first_line_counts(renew: Renew, forge: Forge, stand_in: StandIn) -> None:
    account = stand_in.accounts[TOKEN]
    stand_in.add_issue("x", f"Look:\n{IssueMarker(key=KEY, holds=True)}", account)
    assert find_holding(forge, KEY, HEADING) is None
    assert renew().what == "opened"


def test_an_issue_whose_first_line_was_edited_is_known_by_its_heading_and_holds(
    renew: Renew, forge: Forge, stand_in: StandIn
) -> None:
    account = stand_in.accounts[TOKEN]
    stand_in.add_issue(HEADING, "**Read this first**", account)
    stand_in.add_issue(HEADING, str(IssueMarker(key=comment_key("crm", ""), holds=True)), account)
    assert find_holding(forge, KEY, HEADING)
    assert find_holding(forge, KEY, "another") is None
    assert renew(holds=False).what == "renewed"
    assert find_holding(forge, KEY, HEADING) is None
    close_issues(forge, KEY, HEADING, "done")
    assert len(stand_in.open_issues()) == 1


def test_any_number_of_issues_of_others_is_in_nobody_s_way(
    renew: Renew, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segctl.forges.http.MAX_PAGES", 1)
    for number in range(120):
        stand_in.add_issue(f"problem {number}", "", MALLORY)
    assert [renew().what, renew().what] == ["opened", "renewed"]


def test_doubled_issues_become_one(renew: Renew, stand_in: StandIn) -> None:
    for _ in range(2):
        stand_in.add_issue("x", str(IssueMarker(key=KEY, holds=False)), stand_in.accounts[TOKEN])
    renewal = renew("new")
    assert (renewal.what, len(renewal.others)) == ("renewed", 1)
    assert [body.endswith("new") for body in stand_in.open_issues()] == [True]


def test_an_issue_that_was_opened_without_an_answer_is_not_opened_again(
    renew: Renew, stand_in: StandIn
) -> None:
    stand_in.fail("POST", "/issues", 502, "bad gateway", does_it=True)
    assert renew().what == "renewed"
    assert len(stand_in.open_issues()) == 1


def test_an_issue_that_is_closed_by_hand_holds_nothing(
    renew: Renew, forge: Forge, stand_in: StandIn
) -> None:
    opened = renew(holds=True).issue
    assert opened
    holding = find_holding(forge, KEY, HEADING)
    assert holding
    assert holding.number == opened.number
    stand_in.close_issue(opened.number)
    assert find_holding(forge, KEY, HEADING) is None


@pytest.mark.parametrize("status", [403, 404, 410, 422])
def test_a_refusal_is_said(renew: Renew, stand_in: StandIn, status: int) -> None:
    stand_in.fail("POST", "/issues", status, {"message": "No."})
    with pytest.raises(ForgeFailed):
        renew()
