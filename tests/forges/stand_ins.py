"""GitHub and GitLab on loopback: what segctl uses of their APIs, with their real error answers.

``running_github()`` and ``running_gitlab()`` start one. ``add_request`` opens a request,
``job`` returns the environment of a CI job for it, and ``fail`` makes the next answers errors.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forges.stand_in_server import Answer, StandIn, serving

ACTIONS_BOT: dict[str, Any] = {"id": 41898282, "login": "github-actions[bot]"}
REPOSITORY = "acme/segments"
PROJECT = "42"
TOKEN = "token-of-the-job-1234"
NOT_ACCESSIBLE = {
    "message": "Resource not accessible by integration",
    "documentation_url": "https://docs.github.com/rest/issues/comments",
    "status": "403",
}


class GitHubStandIn(StandIn):
    """GitHub, with one repository. The token of the job belongs to ``github-actions[bot]``."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts[TOKEN] = ACTIONS_BOT
        self.has_graphql = True
        self.has_issues = True
        self.editors: dict[str, dict[str, str]] = {}

    def add_request(self, number: int, *, head: str = "a" * 40, base: str = "main") -> None:
        """Open a pull request."""
        self.requests[number] = {
            "number": number,
            "state": "open",
            "merged_at": None,
            "merge_commit_sha": "f" * 40,
            "head": {"sha": head, "ref": f"branch-{number}"},
            "base": {"ref": base},
        }
        self.comments.setdefault(number, [])

    def close(self, number: int, *, merged_as: str = "") -> None:
        """Close a pull request, or merge it as a commit."""
        merged = {"merged_at": "2026-11-01T10:00:00Z", "merge_commit_sha": merged_as}
        self.requests[number] |= {"state": "closed", **(merged if merged_as else {})}

    def push(self, number: int, head: str) -> None:
        """Push a commit to the branch of a pull request."""
        self.requests[number]["head"]["sha"] = head

    def add_comment(self, number: int, body: str, author: Mapping[str, Any]) -> dict[str, Any]:
        """Write a comment as anybody."""
        identifier = self.new_id()
        page = f"https://github.test/{REPOSITORY}/pull/{number}#issuecomment-{identifier}"
        comment = {
            "id": identifier,
            "node_id": f"IC_{identifier}",
            "body": body,
            "user": dict(author),
            "html_url": page,
        }
        self.comments[number].append(comment)
        return comment

    def job(self, folder: Path, number: int, **more: str) -> dict[str, str]:
        """Return the environment of a job for a pull request, whose event goes to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        event = folder / f"event-{number}.json"
        head = {"head": {"sha": self.requests[number]["head"]["sha"]}}
        repository = {"default_branch": "main"}
        event.write_text(
            json.dumps({"pull_request": {"number": number, **head}, "repository": repository})
        )
        return self._environment("pull_request", event) | {
            "GITHUB_REF": f"refs/pull/{number}/merge",
            "GITHUB_SHA": "e" * 40,
            **more,
        }

    def push_job(self, folder: Path, commit: str, branch: str = "main") -> dict[str, str]:
        """Return the environment of a job for a push."""
        folder.mkdir(parents=True, exist_ok=True)
        event = folder / "event-push.json"
        event.write_text(json.dumps({"after": commit, "ref": f"refs/heads/{branch}"}))
        return self._environment("push", event) | {
            "GITHUB_REF": f"refs/heads/{branch}",
            "GITHUB_SHA": commit,
        }

    def _environment(self, event_name: str, event: Path) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_EVENT_NAME": event_name,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": TOKEN,
        }

    def choose(self, items: list[Any], asked: Mapping[str, str]) -> list[Any]:
        if not (creator := asked.get("creator")):
            return items
        return [item for item in items if item["user"]["login"] == creator]

    def token_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("Authorization", "").removeprefix("Bearer ")

    def answer(  # noqa: PLR0911 - a route each
        self, method: str, path: str, token: str, body: Any
    ) -> Answer:
        account = self.accounts.get(token)
        if account is None:
            return 401, {"message": "Bad credentials", "status": "401"}
        if path == "/graphql" and self.has_graphql:
            return 200, {"data": self._graphql(body["query"], account)}
        if path == "/user":
            is_bot = account["login"].endswith("[bot]")
            return (403, NOT_ACCESSIBLE) if is_bot else (200, account)
        path = path.removeprefix(f"/repos/{REPOSITORY}")
        if found := re.fullmatch(r"/pulls/(\d+)", path):
            return self._found(self.requests.get(int(found[1])))
        if found := re.fullmatch(r"/commits/(\w+)/pulls", path):
            commits = found[1]
            return 200, [
                pull
                for pull in self.requests.values()
                if commits in (pull["head"]["sha"], pull["merge_commit_sha"])
            ]
        if found := re.fullmatch(r"/issues(?:/(\d+))?", path):
            return self._issue(method, found[1], account, body)
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            return self._of_request(method, int(found[1]), account, body)
        if found := re.fullmatch(r"/issues/comments/(\d+)", path):
            name = account["login"].removesuffix("[bot]")
            kind = "User" if name == account["login"] else "Bot"
            self.editors[f"IC_{found[1]}"] = {"__typename": kind, "login": name}
            return self._one(method, int(found[1]), body)
        return 404, {"message": "Not Found", "status": "404"}

    def _issue(self, method: str, number: str | None, account: Any, body: Any) -> Answer:
        if not self.has_issues:
            return 410, {"message": "Issues has been disabled in this repository.", "status": "410"}
        if number is None and method == "GET":  # pull requests are issues, too
            pulls = [{**pull, "pull_request": {}, "user": account} for pull in self._open_pulls()]
            return 200, [i for i in self.issues if i["state"] == "open"] + pulls
        if number is None:
            return 201, self.add_issue(body["title"], body["body"], account)
        issue = next((i for i in self.issues if str(i["number"]) == number), None)
        if issue is not None:
            issue.update(body)
        return self._found(issue)

    def _open_pulls(self) -> list[dict[str, Any]]:
        return [pull for pull in self.requests.values() if pull["state"] == "open"]

    def add_issue(self, title: str, body: str, author: Mapping[str, Any]) -> dict[str, Any]:
        """Open an issue as anybody."""
        number = self.new_id()
        issue = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "user": dict(author),
            "html_url": f"https://github.test/{REPOSITORY}/issues/{number}",
        }
        self.issues.append(issue)
        return issue

    def open_issues(self) -> list[str]:
        """Return the texts of the open issues."""
        return [issue["body"] for issue in self.issues if issue["state"] == "open"]

    def close_issue(self, number: int) -> None:
        """Close an issue by hand."""
        self._issue("PATCH", str(number), {}, {"state": "closed"})

    def edit(self, identifier: int, body: str, editor: str) -> None:
        """Edit a comment as anybody; the author stays the same."""
        self._one("PATCH", identifier, {"body": body})
        self.editors[f"IC_{identifier}"] = {"__typename": "User", "login": editor}

    def _graphql(self, query: str, account: Mapping[str, Any]) -> Any:
        if "viewer" in query:
            return {"viewer": {"login": account["login"], "databaseId": account["id"]}}
        node = re.search(r'node\(id: "(\w+)"\)', query)
        editor = self.editors.get(node[1] if node else "")
        at = "2026-11-28T08:00:00Z" if editor else None
        return {"node": {"lastEditedAt": at, "editor": editor}}

    def _of_request(self, method: str, number: int, account: Any, body: Any) -> Answer:
        if number not in self.comments:
            return 404, {"message": "Not Found", "status": "404"}
        if method == "GET":
            return 200, self.comments[number]
        if refusal := self._too_long(body):
            return refusal
        return 201, self.add_comment(number, body["body"], account)

    def _one(self, method: str, identifier: int, body: Any) -> Answer:
        for comments in self.comments.values():
            for comment in comments:
                if comment["id"] != identifier:
                    continue
                if method == "DELETE":
                    comments.remove(comment)
                    return 204, None
                if refusal := self._too_long(body):
                    return refusal
                comment["body"] = body["body"]
                return 200, comment
        return 404, {"message": "Not Found", "status": "404"}

    def _too_long(self, body: Any) -> Answer | None:
        if len(body["body"]) <= 65_536:
            return None
        error = {
            "resource": "IssueComment",
            "code": "unprocessable",
            "field": "data",
            "message": "Body is too long (maximum is 65536 characters)",
        }
        return 422, {"message": "Validation Failed", "errors": [error], "status": "422"}

    @staticmethod
    def _found(value: Any) -> Answer:
        return (200, value) if value else (404, {"message": "Not Found", "status": "404"})


class GitLabStandIn(StandIn):
    """GitLab, with one project. The token belongs to the bot of a project access token."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts[TOKEN] = {"id": 77, "username": "project_42_bot_1"}

    def add_request(self, number: int, *, head: str = "a" * 40, base: str = "main") -> None:
        """Open a merge request."""
        self.requests[number] = {
            "iid": number,
            "state": "opened",
            "sha": head,
            "target_branch": base,
            "merge_commit_sha": None,
            "squash_commit_sha": None,
        }
        self.comments.setdefault(number, [])

    def close(self, number: int, *, merged_as: str = "") -> None:
        """Close a merge request, or merge it as a commit."""
        changes = {"state": "merged", "merge_commit_sha": merged_as}
        self.requests[number] |= changes if merged_as else {"state": "closed"}

    def push(self, number: int, head: str) -> None:
        """Push a commit to the branch of a merge request."""
        self.requests[number]["sha"] = head

    def add_comment(
        self, number: int, body: str, author: Mapping[str, Any], *, system: bool = False
    ) -> dict[str, Any]:
        """Write a note as anybody."""
        note = {"id": self.new_id(), "body": body, "author": dict(author), "system": system}
        self.comments[number].append(note)
        return note

    def job(self, folder: Path, number: int, **more: str) -> dict[str, str]:
        """Return the environment of a job for a merge request."""
        del folder
        return self._environment() | {
            "CI_MERGE_REQUEST_IID": str(number),
            "CI_MERGE_REQUEST_PROJECT_ID": PROJECT,
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_COMMIT_SHA": self.requests[number]["sha"],
            **more,
        }

    def push_job(self, folder: Path, commit: str, branch: str = "main") -> dict[str, str]:
        """Return the environment of a job for a push."""
        del folder
        push = {"CI_COMMIT_SHA": commit, "CI_COMMIT_BRANCH": branch, "CI_PIPELINE_SOURCE": "push"}
        return self._environment() | push

    def _environment(self) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_PROJECT_ID": PROJECT,
            "CI_PROJECT_URL": "https://gitlab.test/acme/segments",
            "GITLAB_TOKEN": TOKEN,
        }

    def _issue(self, method: str, number: str | None, account: Any, body: Any) -> Answer:
        if number is None and method == "GET":
            return 200, [issue for issue in self.issues if issue["state"] == "opened"]
        if number is None:
            return 201, self.add_issue(body["title"], body["description"], account)
        issue = next((i for i in self.issues if str(i["iid"]) == number), None)
        if issue is None:
            return 404, {"message": "404 Not found"}
        changes = dict(body)
        if changes.pop("state_event", "") == "close":
            changes["state"] = "closed"
        issue.update(changes)
        return 200, issue

    def add_issue(self, title: str, body: str, author: Mapping[str, Any]) -> dict[str, Any]:
        """Open an issue as anybody."""
        number = self.new_id()
        issue = {
            "iid": number,
            "title": title,
            "description": body,
            "state": "opened",
            "author": dict(author),
            "web_url": f"https://gitlab.test/acme/segments/-/issues/{number}",
        }
        self.issues.append(issue)
        return issue

    def open_issues(self) -> list[str]:
        """Return the texts of the open issues."""
        return [issue["description"] for issue in self.issues if issue["state"] == "opened"]

    def close_issue(self, number: int) -> None:
        """Close an issue by hand."""
        self._issue("PUT", str(number), {}, {"state_event": "close"})

    def choose(self, items: list[Any], asked: Mapping[str, str]) -> list[Any]:
        if not (author := asked.get("author_id")):
            return items
        return [item for item in items if str(item["author"]["id"]) == author]

    def token_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("PRIVATE-TOKEN", "")

    def answer(  # noqa: PLR0911 - a route each
        self, method: str, path: str, token: str, body: Any
    ) -> Answer:
        account = self.accounts.get(token)
        if account is None:
            return 401, {"message": "401 Unauthorized"}
        path = path.removeprefix("/api/v4")
        if path == "/user":
            return 200, account
        path = path.removeprefix(f"/projects/{PROJECT}")
        if found := re.fullmatch(r"/issues(?:/(\d+))?", path):
            return self._issue(method, found[1], account, body)
        if found := re.fullmatch(r"/merge_requests/(\d+)", path):
            request = self.requests.get(int(found[1]))
            return (200, request) if request else (404, {"message": "404 Not found"})
        if found := re.fullmatch(r"/repository/commits/(\w+)/merge_requests", path):
            names = ("sha", "merge_commit_sha", "squash_commit_sha")
            of_commit = [
                request
                for request in self.requests.values()
                if found[1] in [request[name] for name in names]
            ]
            return 200, of_commit
        if found := re.fullmatch(r"/merge_requests/(\d+)/notes(?:/(\d+))?", path):
            return self._notes(method, int(found[1]), int(found[2] or 0), account, body)
        return 404, {"error": "404 Not Found"}

    def _notes(  # noqa: PLR0911 - a method each
        self, method: str, number: int, note: int, account: Any, body: Any
    ) -> Answer:
        notes = self.comments.get(number)
        if notes is None:
            return 404, {"message": "404 Not found"}
        if method == "GET":
            return 200, notes
        if body and len(body["body"]) > 1_000_000:
            reason = 'Note {:note=>["is too long (maximum is 1000000 characters)"]}'
            return 400, {"message": f"400 Bad request - {reason}"}
        if method == "POST":
            return 201, self.add_comment(number, body["body"], account)
        for found in notes:
            if found["id"] == note:
                if method == "DELETE":
                    notes.remove(found)
                    return 204, None
                found["body"] = body["body"]
                return 200, found
        return 404, {"message": "404 Note Not Found"}


@contextmanager
def running_github() -> Iterator[GitHubStandIn]:
    """Run a stand-in for GitHub."""
    stand_in = GitHubStandIn()
    with serving(stand_in):
        yield stand_in


@contextmanager
def running_gitlab() -> Iterator[GitLabStandIn]:
    """Run a stand-in for GitLab."""
    stand_in = GitLabStandIn()
    with serving(stand_in):
        yield stand_in
