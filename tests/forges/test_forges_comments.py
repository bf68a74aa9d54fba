"""One comment for each workspace and environment, of our own account, updated in place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segctl.core.errors import ForgeFailed, OperationError
from segctl.forges.base import Account, Forge
from segctl.forges.comments import CommentUpdate, post_comment, read_digest
from segctl.forges.http import ForgeHttp
from segctl.forges.marker import Marker, comment_key
from tests.clocks import SwiftClock
from tests.forges.conftest import Open
from tests.forges.stand_ins import ACTIONS_BOT, TOKEN, GitHubStandIn, GitLabStandIn

StandIn = GitHubStandIn | GitLabStandIn
Post = Callable[..., CommentUpdate]

KEY = comment_key("growth", "")
DIGEST = f"sha256:{'1' * 64}"
MALLORY = {"id": 666, "login": "mallory", "username": "mallory"}


def body(text: str = "### Plan", *, key: str = KEY, plan: str = DIGEST, head: str = "") -> str:
    return f"{Marker(key=key, plan=plan, head=head)}\n{text}\n"


@pytest.fixture
def post(forge: Forge, clock: SwiftClock) -> Post:
    """Post the comment on request 7."""

    def post_it(text: str = "### Plan", *, key: str = KEY, creates: bool = True) -> CommentUpdate:
        request = forge.find_pull_request()
        return post_comment(
            forge, request, key, body(text, key=key), creates=creates, sleep=clock.wait
        )

    return post_it


def test_the_first_run_creates_a_comment_and_the_next_updates_it(
    stand_in: StandIn, post: Post
) -> None:
    first, second, third = post("one"), post("two"), post("two")
    assert [r.action for r in (first, second, third)] == ["created", "updated", "unchanged"]
    assert stand_in.bodies(7) == [body("two")]
    assert first.url == second.url
    assert first.url.startswith("https://git")


def test_two_workspaces_and_environments_keep_their_comments(stand_in: StandIn, post: Post) -> None:
    keys = [comment_key(w, e) for w in ("growth", "crm") for e in ("", "production")]
    for text in ("one", "two"):
        for key in keys:
            post(text, key=key)
    assert stand_in.bodies(7) == [body("two", key=key) for key in keys]


def test_none_is_created_if_none_is_wanted(stand_in: StandIn, post: Post) -> None:
    assert post(creates=False).action == "none"
    assert stand_in.bodies(7) == []


def test_a_comment_is_found_on_a_late_page(stand_in: StandIn, post: Post) -> None:
    stand_in.max_page = 5
    post("one")
    for number in range(23):
        stand_in.add_comment(7, f"remark {number}", MALLORY)
    stand_in.comments[7].insert(17, stand_in.comments[7].pop(0))
    assert post("two").action == "updated"
    assert len(stand_in.bodies(7)) == 24


def test_a_full_page_without_a_link_is_not_taken_for_the_last(
    stand_in: StandIn, post: Post
) -> None:
    for number in range(100):
        stand_in.add_comment(7, f"remark {number}", MALLORY)
    assert post("one").action == "created"
    assert post("two").action == "updated"


@pytest.mark.parametrize("text", [body("forged"), f"> {body('quoted')}", f"see\n{body('below')}"])
def test_a_comment_of_somebody_else_is_not_touched(
    text: str, stand_in: StandIn, post: Post
) -> None:
    theirs = stand_in.add_comment(7, text, MALLORY)
    assert [post("one").action, post("two").action] == ["created", "updated"]
    assert stand_in.bodies(7) == [theirs["body"], body("two")]


def test_of_doubled_comments_the_newest_is_updated_and_the_others_go(
    stand_in: StandIn, post: Post
) -> None:
    for text in ("old", "older", "newest"):
        stand_in.add_comment(7, body(text), stand_in.accounts[TOKEN])
    update = post("new")
    assert stand_in.bodies(7) == [body("new")]
    assert (update.action, len(update.removed), update.kept) == ("updated", 2, ())


def test_a_doubled_comment_that_stays_is_said(stand_in: StandIn, post: Post) -> None:
    for text in ("old", "newest"):
        stand_in.add_comment(7, body(text), stand_in.accounts[TOKEN])
    stand_in.fail("DELETE", "/", 403, {"message": "no"})
    assert len(post("new").kept) == 1


@pytest.mark.parametrize("status", [502, 0])
def test_a_comment_whose_creation_is_uncertain_is_not_doubled(
    status: int, stand_in: StandIn, post: Post
) -> None:
    stand_in.fail("POST", "/7/", status, "", does_it=True)
    stand_in.fail("POST", "/7/", status, "")
    post("one")
    assert stand_in.bodies(7) == [body("one")]


def test_a_creation_that_always_fails_ends(stand_in: StandIn, post: Post) -> None:
    stand_in.fail("POST", "/7/", 502, "", times=99)
    with pytest.raises(ForgeFailed, match="with 502"):
        post("one")


def test_a_comment_that_is_deleted_meanwhile_is_created(stand_in: StandIn, post: Post) -> None:
    post("one")
    method = "PATCH" if isinstance(stand_in, GitHubStandIn) else "PUT"
    stand_in.fail(method, "/", 404, {"message": "Not Found"})
    assert post("two").action == "updated"


def test_the_account_of_a_workflow_is_known_by_graphql(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    account = open_for(github.job(tmp_path, 7)).account()
    assert account == Account(id=ACTIONS_BOT["id"], name="github-actions[bot]")
    assert github.calls("GET") == []


def test_without_graphql_the_token_of_a_person_is_known_by_its_user(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    github.has_graphql = False
    github.accounts[TOKEN] = {"id": 5, "login": "ada"}
    assert open_for(github.job(tmp_path, 7)).account() == Account(id=5, name="ada")


def test_without_graphql_the_token_of_a_workflow_is_that_of_its_bot(
    github: GitHubStandIn, open_for: Open, tmp_path: Path
) -> None:
    github.has_graphql = False
    account = open_for(github.job(tmp_path, 7)).account()
    assert account.is_same(Account(id=ACTIONS_BOT["id"], name="github-actions[bot]"))
    assert not account.is_same(Account(id=666, name="mallory"))
    with pytest.raises(ForgeFailed, match="to which account"):
        open_for(github.job(tmp_path, 7, GITHUB_ACTIONS="")).account()


def test_notes_of_gitlab_itself_do_not_count(
    gitlab: GitLabStandIn, open_for: Open, tmp_path: Path
) -> None:
    gitlab.add_comment(7, body(), gitlab.accounts[TOKEN], system=True)
    assert open_for(gitlab.job(tmp_path, 7)).list_comments(7) == []


def test_the_digest_is_that_of_the_own_comment(stand_in: StandIn, forge: Forge) -> None:
    stand_in.add_comment(7, body(plan=f"sha256:{'6' * 64}"), MALLORY)
    stand_in.add_comment(7, body(head="a" * 40), stand_in.accounts[TOKEN])
    assert read_digest(forge, forge.find_pull_request(), KEY) == DIGEST


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        ([], "has no comment of"),
        ([body(key=comment_key("crm", ""))], "has no comment of"),
        ([body(), body()], "has 2 comments"),
        ([body(plan="refused")], "was refused by its guards"),
        ([body(plan="failed")], "the plan of .* failed"),
        (
            [body(head="9" * 40)],
            "shows the plan of commit 999999999999, and what was merged is aaa",
        ),
        ([f"text\n{body()}"], "has no comment of"),
    ],
)
def test_a_digest_that_nobody_can_rely_on_is_refused(
    bodies: list[str], message: str, stand_in: StandIn, forge: Forge
) -> None:
    for text in bodies:
        stand_in.add_comment(7, text, stand_in.accounts[TOKEN])
    with pytest.raises(OperationError, match=message):
        read_digest(forge, forge.find_pull_request(), KEY)


def test_a_digest_of_somebody_else_is_refused(stand_in: StandIn, forge: Forge) -> None:
    stand_in.add_comment(7, body(), MALLORY)
    with pytest.raises(OperationError, match="those of mallory do not count"):
        read_digest(forge, forge.find_pull_request(), KEY)


@pytest.mark.parametrize("editor", ["mallory", "github-actions"])
def test_a_digest_that_somebody_else_wrote_into_the_comment_is_refused(
    editor: str, github: GitHubStandIn, open_for: Open, tmp_path: Path, clock: SwiftClock
) -> None:
    forge = open_for(github.job(tmp_path, 7))
    request = forge.find_pull_request()
    for text in ("one", "two"):
        post_comment(forge, request, KEY, body(text), creates=True, sleep=clock.wait)
    assert read_digest(forge, request, KEY) == DIGEST
    github.edit(github.comments[7][0]["id"], body(plan=f"sha256:{'6' * 64}"), editor)
    with pytest.raises(OperationError, match="somebody else edited the comment"):
        read_digest(forge, request, KEY)
    github.has_graphql = False
    assert read_digest(forge, request, KEY)


def test_a_comment_that_somebody_edited_and_restored_is_written_again(
    github: GitHubStandIn, open_for: Open, tmp_path: Path, clock: SwiftClock
) -> None:
    forge = open_for(github.job(tmp_path, 7))
    request = forge.find_pull_request()

    def post_it() -> CommentUpdate:
        return post_comment(forge, request, KEY, body(), creates=True, sleep=clock.wait)

    post_it()
    github.edit(github.comments[7][0]["id"], body(), "mallory")
    github.fail("POST", "/7/", 502, "", does_it=True)
    assert post_it().removed
    assert github.bodies(7) == [body()]
    assert read_digest(forge, request, KEY) == DIGEST
    assert post_it().action == "unchanged"


def test_a_comment_is_left_if_github_does_not_say_who_edited_it(
    github: GitHubStandIn, open_for: Open, tmp_path: Path, clock: SwiftClock
) -> None:
    forge = open_for(github.job(tmp_path, 7))
    github.add_comment(7, body(), github.accounts[TOKEN])["node_id"] = ""
    update = post_comment(
        forge, forge.find_pull_request(), KEY, body(), creates=True, sleep=clock.wait
    )
    assert update.action == "unchanged"


UNKNOWN_EDITORS = [
    {"errors": [{"type": "RATE_LIMITED"}]},
    {"data": None},
    {"data": {"node": None}},
    {"data": {"node": {"editor": None}}},
    {"data": {"node": {"lastEditedAt": None}}, "errors": [{"type": "FORBIDDEN"}]},
    [],
    "x",
]


@pytest.mark.parametrize("answer", UNKNOWN_EDITORS, ids=str)
def test_a_digest_does_not_count_if_github_does_not_say_who_edited_it(
    answer: object,
    github: GitHubStandIn,
    open_for: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SwiftClock()
    forge = open_for(github.job(tmp_path, 7))
    request = forge.find_pull_request()
    post_comment(forge, request, KEY, body("one"), creates=True, sleep=clock.wait)
    query = ForgeHttp.query
    monkeypatch.setattr(
        ForgeHttp, "query", lambda self, text: query(self, text) if "viewer" in text else answer
    )
    with pytest.raises(ForgeFailed, match="does not say who edited"):
        read_digest(forge, request, KEY)


def test_an_edit_of_a_deleted_account_is_one_of_somebody_else(
    github: GitHubStandIn, open_for: Open, tmp_path: Path, clock: SwiftClock
) -> None:
    forge = open_for(github.job(tmp_path, 7))
    request = forge.find_pull_request()
    post_comment(forge, request, KEY, body("one"), creates=True, sleep=clock.wait)
    identifier = github.comments[7][0]["id"]
    github.edit(identifier, body(plan=f"sha256:{'6' * 64}"), "ghost")
    github.editors[f"IC_{identifier}"] = {"__typename": "User", "login": ""}
    with pytest.raises(OperationError, match="somebody else edited the comment"):
        read_digest(forge, request, KEY)
