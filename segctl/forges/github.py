"""GitHub: pull requests, their comments, and issues, over the REST API.

https://docs.github.com/en/rest/issues/comments: a comment on a pull request is one on its issue.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from segctl.core.errors import CredentialsRefused, ForgeFailed, WrongUsage
from segctl.forges.base import (
    Account,
    Comment,
    Fields,
    Issue,
    PullRequest,
    choose_merged,
    choose_open,
)
from segctl.forges.http import Access, ForgeHttp

_LOG = logging.getLogger(__name__)

TOKEN = "GITHUB_TOKEN"  # noqa: S105 - the name of a variable
API_URL = "GITHUB_API_URL"
PERMISSION = (
    "Commenting needs `permissions: {pull-requests: write}`, finding a merged pull request "
    "needs `contents: read`, and an issue needs `issues: write`. A workflow for a pull request of "
    "a fork gets a token that cannot write."
)
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

_ACTIONS_BOT = "github-actions[bot]"
"""The account of the token that GitHub makes for a workflow."""

_NOT_FOUND = 404
_NOT_FOR_THIS_TOKEN = (403, _NOT_FOUND)
_ACTOR = "__typename login"
_NO_REQUEST = "Run it in a workflow `on: pull_request`."


def github_access(environment: Mapping[str, str]) -> Access:
    """Return where GitHub's API is, and the token. Raises ``CredentialsRefused`` without one."""
    token = environment.get(TOKEN, "")
    if not token:
        raise CredentialsRefused(
            f"{TOKEN} is not set",
            hint=f"Add `{TOKEN}: ${{{{ github.token }}}}` to the `env` of the step.",
        )
    return Access(
        forge="GitHub",
        base_url=environment.get(API_URL) or "https://api.github.com",
        url_variable=API_URL,
        variable=TOKEN,
        token=token,
        header="Authorization",
        prefix="Bearer ",
        permission=PERMISSION,
    )


class GitHub:
    """A repository of GitHub. ``event`` is the content of the job's event file."""

    name = "GitHub"
    max_bytes = 65_536
    """GitHub counts characters, of which there are never more than bytes."""

    def __init__(
        self, http: ForgeHttp, environment: Mapping[str, str], event: Mapping[str, Any]
    ) -> None:
        self._http = http
        self._environment = environment
        self._event = event
        self._repository = environment.get("GITHUB_REPOSITORY", "")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self._repository, re.ASCII):
            raise WrongUsage(
                "GITHUB_REPOSITORY is not the name of a repository",
                hint="It looks like acme/segments, and GitHub sets it.",
            )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def find_pull_request(self) -> PullRequest:
        """Return the pull request of the event, or else the one that the commit belongs to."""
        if number := self._event_number():
            return self._request(number)
        return choose_open(self._of_commit(), self._commit(), hint=_NO_REQUEST)

    def find_merged_pull_request(self) -> PullRequest:
        """Return the merged pull request of the commit, or of the event."""
        event = self._event.get("pull_request")
        if isinstance(event, dict) and (number := self._event_number()):
            return self._merged_request(self._request(number))
        ref = self._environment.get("GITHUB_REF", "")
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
        return choose_merged(self._of_commit(), self._commit(), branch)

    def _merged_request(self, request: PullRequest) -> PullRequest:
        """Return the pull request of an event if it was merged into the default branch."""
        if request.state != "merged":
            raise WrongUsage(
                f"{request.title} is {request.state}, not merged",
                hint="The digest is for the job that applies what was merged.",
            )
        branch = Fields(self.name, self._event).fields("repository").text("default_branch")
        if request.target != branch:
            raise WrongUsage(
                f"{request.title} was merged into {request.target}, not into the default branch",
                hint="Use a job for the push to that branch.",
            )
        return request

    def run_head(self) -> str:
        """Return the last commit of the event's pull request, or else the commit of the job."""
        request = self._event.get("pull_request")
        if isinstance(request, dict):
            return Fields(self.name, request).fields("head").text("sha")
        return "" if self._event_number() else self._environment.get("GITHUB_SHA", "")

    def account(self) -> Account:
        """Return the account of the token.

        The token of a workflow, as of any GitHub App, gets 403 for ``GET /user``; GraphQL's
        ``viewer`` answers for every kind of token. Where there is no GraphQL, the token of a
        workflow belongs to ``github-actions[bot]``.
        """
        account = self._viewer() or self._user()
        if account is None and self._environment.get("GITHUB_ACTIONS") == "true":
            return Account(id=None, name=_ACTIONS_BOT)
        if account is None:
            raise ForgeFailed(
                f"GitHub does not say to which account the token in {TOKEN} belongs",
                hint="Use the token of a workflow, or a personal access token.",
            )
        return account

    def _viewer(self) -> Account | None:
        try:
            answer = self._http.query("query { viewer { login databaseId } }")
        except ForgeFailed as error:
            if error.status not in _NOT_FOR_THIS_TOKEN:
                raise
            return None
        viewer = Fields(self.name, answer).fields("data").fields("viewer")
        login = viewer.text("login")
        return Account(id=viewer.number("databaseId"), name=login) if login else None

    def _user(self) -> Account | None:
        try:
            user = Fields(self.name, self._http.call("GET", "/user"))
        except ForgeFailed as error:
            if error.status not in _NOT_FOR_THIS_TOKEN:
                raise
            return None
        return Account(id=user.number("id"), name=user.text("login"))

    def list_comments(self, number: int) -> Sequence[Comment]:
        """Return all comments of a pull request, without those on lines of its changes."""
        path = f"/repos/{self._repository}/issues/{number}/comments"
        return [self._comment(item) for item in self._http.list_all(path)]

    def is_edited_by_others(self, comment: Comment, account: Account) -> bool:
        """Whether somebody else made the last edit: everybody who may push may edit any comment.

        Only GraphQL has the editor. It names a bot without the suffix ``[bot]``.
        """
        if not re.fullmatch(r"[\w=-]+", comment.node, re.ASCII):
            raise self._unknown_editor()
        fields = f"lastEditedAt editor {{ {_ACTOR} }}"
        query = f'node(id: "{comment.node}") {{ ... on IssueComment {{ {fields} }} }}'
        try:
            answer = self._http.query(f"query {{ {query} }}")
        except ForgeFailed as error:
            if error.status != _NOT_FOUND:
                raise
            _LOG.warning("this GitHub has no GraphQL, so nobody knows who edited the comment")
            return False
        found = answer if isinstance(answer, dict) else {}
        data = found.get("data")
        node = data.get("node") if isinstance(data, dict) else None
        if found.get("errors") or not isinstance(node, dict) or "lastEditedAt" not in node:
            raise self._unknown_editor()
        if node["lastEditedAt"] is None:
            return False
        editor = Fields(self.name, node).fields("editor")
        login = editor.text("login")
        name = f"{login}[bot]" if editor.text("__typename") == "Bot" else login
        return name != account.name

    def _unknown_editor(self) -> ForgeFailed:
        return ForgeFailed(
            "GitHub does not say who edited the comment, so its digest does not count",
            hint="Run the job again.",
        )

    def create_comment(self, number: int, body: str) -> Comment:
        """Add a comment."""
        path = f"/repos/{self._repository}/issues/{number}/comments"
        return self._comment(self._http.call("POST", path, json={"body": body}))

    def update_comment(self, number: int, comment_id: int, body: str) -> Comment:
        """Replace the text of a comment."""
        del number
        path = f"/repos/{self._repository}/issues/comments/{comment_id}"
        return self._comment(self._http.call("PATCH", path, json={"body": body}))

    def delete_comment(self, number: int, comment_id: int) -> None:
        """Remove a comment."""
        del number
        self._http.call("DELETE", f"/repos/{self._repository}/issues/comments/{comment_id}")

    def list_issues(self, creator: Account) -> Sequence[Issue]:
        """Return open issues, but not the pull requests that GitHub lists with them."""
        of_creator = f"creator={quote(creator.name, safe='')}"
        found = self._http.list_all(f"/repos/{self._repository}/issues?state=open&{of_creator}")
        return [
            self._issue(item)
            for item in found
            if not (isinstance(item, dict) and item.get("pull_request"))
        ]

    def create_issue(self, title: str, body: str) -> Issue:
        """Open an issue."""
        path = f"/repos/{self._repository}/issues"
        return self._issue(self._http.call("POST", path, json={"title": title, "body": body}))

    def update_issue(self, number: int, body: str, *, closes: bool = False) -> Issue:
        """Replace the text of an issue, and close it if ``closes``."""
        changes = {"body": body, **({"state": "closed"} if closes else {})}
        path = f"/repos/{self._repository}/issues/{number}"
        return self._issue(self._http.call("PATCH", path, json=changes))

    def _event_number(self) -> int | None:
        """Return the number of the pull request that the event is for."""
        event = self._event
        found = event.get("pull_request")
        if found is None and isinstance(issue := event.get("issue"), dict):
            found = issue if issue.get("pull_request") else None
        if found is None and isinstance(run := event.get("workflow_run"), dict):
            requests = run.get("pull_requests")
            found = requests[0] if isinstance(requests, list) and len(requests) == 1 else None
        number = found.get("number") if isinstance(found, dict) else None
        if isinstance(number, int):
            return number
        ref = re.match(r"refs/pull/([0-9]{1,9})/", self._environment.get("GITHUB_REF", ""))
        return int(ref[1]) if ref else None

    def _commit(self) -> str:
        commit = self._environment.get("GITHUB_SHA", "")
        if not re.fullmatch("[0-9a-f]{40,64}", commit):
            raise WrongUsage(
                "this job is for no pull request, and GITHUB_SHA is no commit", hint=_NO_REQUEST
            )
        return commit

    def _request(self, number: int) -> PullRequest:
        return self._pull(self._http.call("GET", f"/repos/{self._repository}/pulls/{number}"))

    def _of_commit(self) -> list[PullRequest]:
        path = f"/repos/{self._repository}/commits/{self._commit()}/pulls"
        return [self._pull(item) for item in self._http.list_all(path)]

    def _pull(self, item: Any) -> PullRequest:
        pull = Fields(self.name, item)
        number = pull.number("number")
        is_merged = bool(pull.text("merged_at")) or pull.flag("merged")
        merge_commit = pull.text("merge_commit_sha")
        return PullRequest(
            number=number,
            title=f"pull request #{number}",
            state="merged" if is_merged else pull.text("state"),
            head=pull.fields("head").text("sha"),
            target=pull.fields("base").text("ref"),
            # Of an open request, it is the commit of a trial merge.
            merged_as=(merge_commit,) if is_merged and merge_commit else (),
        )

    def _comment(self, item: Any) -> Comment:
        comment = Fields(self.name, item)
        return Comment(
            id=comment.number("id"),
            author=comment.account("user", login="login"),
            body=comment.text("body"),
            url=comment.text("html_url"),
            node=comment.text("node_id"),
        )

    def _issue(self, item: Any) -> Issue:
        issue = Fields(self.name, item)
        number = issue.number("number")
        return Issue(
            number=number,
            title=f"issue #{number}",
            heading=issue.text("title"),
            author=issue.account("user", login="login"),
            body=issue.text("body"),
            url=issue.text("html_url"),
        )
