"""GitLab: merge requests, their notes, and issues, over the REST API.

https://docs.gitlab.com/api/notes/
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from segctl.core.errors import CredentialsRefused, WrongUsage
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

TOKEN = "GITLAB_TOKEN"  # noqa: S105 - the name of a variable
API_URL = "CI_API_V4_URL"
PERMISSION = (
    "It needs a project access token with the scope `api` and the role Reporter or higher, of the "
    "project of the merge request."
)
HEADERS = {"Accept": "application/json"}

_NO_REQUEST = 'Run it in a job with `rules: [{if: $CI_PIPELINE_SOURCE == "merge_request_event"}]`.'
_STATES = {"opened": "open", "locked": "merged"}
"""GitLab locks a merge request while it is merged."""


def gitlab_access(environment: Mapping[str, str]) -> Access:
    """Return where GitLab's API is, and the token. Raises ``CredentialsRefused`` without one."""
    token = environment.get(TOKEN, "")
    if not token:
        has_job_token = bool(environment.get("CI_JOB_TOKEN"))
        raise CredentialsRefused(
            f"{TOKEN} is not set"
            + (", and CI_JOB_TOKEN cannot write notes" if has_job_token else ""),
            hint=f"{PERMISSION} Make it a masked variable of the project.",
        )
    return Access(
        forge="GitLab",
        base_url=environment.get(API_URL) or "https://gitlab.com/api/v4",
        url_variable=API_URL,
        variable=TOKEN,
        token=token,
        header="PRIVATE-TOKEN",
        permission=PERMISSION,
    )


class GitLab:
    """The project of the merge request, or else the project of the job."""

    name = "GitLab"
    max_bytes = 1_000_000
    """GitLab counts characters, of which there are never more than bytes."""

    def __init__(self, http: ForgeHttp, environment: Mapping[str, str]) -> None:
        self._http = http
        self._environment = environment
        # The pipeline of a fork runs in the project of the fork.
        project = environment.get("CI_MERGE_REQUEST_PROJECT_ID") or environment.get("CI_PROJECT_ID")
        if not re.fullmatch("[0-9]{1,18}", project or ""):
            raise WrongUsage("CI_PROJECT_ID is no number", hint="GitLab sets it in each job.")
        self._project = f"/projects/{project}"

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def find_pull_request(self) -> PullRequest:
        """Return the merge request of the pipeline, or else the merge request of the commit."""
        if (number := self._number()) is not None:
            return self._request(number)
        return choose_open(self._of_commit(), self._commit(), hint=_NO_REQUEST)

    def find_merged_pull_request(self) -> PullRequest:
        """Return the merge request that was merged as the commit."""
        if (number := self._number()) is not None:
            request = self._request(number)
            raise WrongUsage(
                f"this job is for {request.title}, which is {request.state}",
                hint="The digest is for the job that applies what was merged, on the branch.",
            )
        branch = self._environment.get("CI_COMMIT_BRANCH", "")
        return choose_merged(self._of_commit(), self._commit(), branch)

    def run_head(self) -> str:
        """Return the last commit of the source branch; a pipeline of merged results has another."""
        source = self._environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
        return source or self._environment.get("CI_COMMIT_SHA", "")

    def account(self) -> Account:
        """Return the account of the token. A project access token has an account of its own."""
        user = Fields(self.name, self._http.call("GET", "/user"))
        return Account(id=user.number("id"), name=user.text("username"))

    def list_comments(self, number: int) -> Sequence[Comment]:
        """Return all notes of a merge request, without those that GitLab itself writes."""
        path = f"{self._project}/merge_requests/{number}/notes?sort=asc&order_by=created_at"
        return [
            self._comment(number, item)
            for item in self._http.list_all(path)
            if not Fields(self.name, item).flag("system")
        ]

    def is_edited_by_others(self, comment: Comment, account: Account) -> bool:
        """Return false: the API has no editor. Only maintainers may edit notes of others."""
        del comment, account
        return False

    def create_comment(self, number: int, body: str) -> Comment:
        """Add a note."""
        path = f"{self._project}/merge_requests/{number}/notes"
        return self._comment(number, self._http.call("POST", path, json={"body": body}))

    def update_comment(self, number: int, comment_id: int, body: str) -> Comment:
        """Replace the text of a note."""
        path = f"{self._project}/merge_requests/{number}/notes/{comment_id}"
        return self._comment(number, self._http.call("PUT", path, json={"body": body}))

    def delete_comment(self, number: int, comment_id: int) -> None:
        """Remove a note."""
        self._http.call("DELETE", f"{self._project}/merge_requests/{number}/notes/{comment_id}")

    def list_issues(self, creator: Account) -> Sequence[Issue]:
        """Return the open issues of an account."""
        path = f"{self._project}/issues?state=opened&scope=all&author_id={creator.id}"
        found = self._http.list_all(path)
        return [self._issue(item) for item in found]

    def create_issue(self, title: str, body: str) -> Issue:
        """Open an issue."""
        fields = {"title": title, "description": body}
        return self._issue(self._http.call("POST", f"{self._project}/issues", json=fields))

    def update_issue(self, number: int, body: str, *, closes: bool = False) -> Issue:
        """Replace the text of an issue, and close it if ``closes``."""
        changes = {"description": body, **({"state_event": "close"} if closes else {})}
        return self._issue(self._http.call("PUT", f"{self._project}/issues/{number}", json=changes))

    def _number(self) -> int | None:
        number = self._environment.get("CI_MERGE_REQUEST_IID", "")
        return int(number) if re.fullmatch("[0-9]{1,9}", number) else None

    def _commit(self) -> str:
        commit = self._environment.get("CI_COMMIT_SHA", "")
        if not re.fullmatch("[0-9a-f]{40,64}", commit):
            raise WrongUsage(
                "this job is for no merge request, and CI_COMMIT_SHA is no commit",
                hint=_NO_REQUEST,
            )
        return commit

    def _request(self, number: int) -> PullRequest:
        return self._pull(self._http.call("GET", f"{self._project}/merge_requests/{number}"))

    def _of_commit(self) -> list[PullRequest]:
        path = f"{self._project}/repository/commits/{self._commit()}/merge_requests"
        return [self._pull(item) for item in self._http.list_all(path)]

    def _pull(self, item: Any) -> PullRequest:
        request = Fields(self.name, item)
        number, state, head = request.number("iid"), request.text("state"), request.text("sha")
        made = [request.text(name) for name in ("merge_commit_sha", "squash_commit_sha")]
        # Without a merge commit, the branch was moved forward to the head of the request.
        merged_as = tuple(commit for commit in made if commit) or tuple(filter(None, [head]))
        return PullRequest(
            number=number,
            title=f"merge request !{number}",
            state=_STATES.get(state, state),
            head=head,
            target=request.text("target_branch"),
            merged_as=merged_as,
        )

    def _comment(self, number: int, item: Any) -> Comment:
        note = Fields(self.name, item)
        project = self._environment.get(
            "CI_MERGE_REQUEST_PROJECT_URL", ""
        ) or self._environment.get("CI_PROJECT_URL", "")
        page = f"{project}/-/merge_requests/{number}#note_{note.number('id')}" if project else ""
        return Comment(
            id=note.number("id"),
            author=note.account("author", login="username"),
            body=note.text("body"),
            url=page,
        )

    def _issue(self, item: Any) -> Issue:
        issue = Fields(self.name, item)
        number = issue.number("iid")
        return Issue(
            number=number,
            title=f"issue #{number}",
            heading=issue.text("title"),
            author=issue.account("author", login="username"),
            body=issue.text("description"),
            url=issue.text("web_url"),
        )
