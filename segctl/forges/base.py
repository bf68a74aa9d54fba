"""What segctl needs of a forge: its pull requests, the comments on them, and issues.

A pull request is also a merge request of GitLab.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from segctl.core.errors import ForgeFailed, OperationError, WrongUsage

ADVICE_WITHOUT_DIGEST = (
    "Review and apply a plan by hand: `segctl plan --out FILE`, then `segctl apply FILE`."
)
"""What to do if no comment has the digest of an approved plan."""


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request. ``title`` is what messages call it, such as ``pull request #7``.

    ``state`` is ``open``, ``closed`` or ``merged``. ``head`` is the last commit of its branch and
    ``target`` the branch that it is merged into, both empty if the forge does not say.
    ``merged_as`` are the commits that its merge made.
    """

    number: int
    title: str
    state: str
    head: str = ""
    target: str = ""
    merged_as: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it can still be merged."""
        return self.state == "open"


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account of the forge. ``id`` is ``None`` if only the name is known."""

    id: int | None
    name: str

    def is_same(self, other: "Account") -> bool:
        """Whether both are the same account: by id where both have one, or else by name."""
        if self.id is not None and other.id is not None:
            return self.id == other.id
        return self.name == other.name


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A comment on a pull request. Later ones have higher ids.

    ``node`` is its id in GraphQL, empty if the forge has none.
    """

    id: int
    author: Account
    body: str
    url: str
    node: str = ""


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An open issue. Later ones have higher numbers.

    ``title`` is what messages call it, such as ``issue #7``, and ``heading`` what people see.
    """

    number: int
    title: str
    heading: str
    author: Account
    body: str
    url: str


class Forge(Protocol):
    """A forge, with the repository and the token of a CI job.

    Every function raises ``ForgeFailed``, or ``CredentialsRefused`` for the token.
    """

    name: str
    max_bytes: int
    """The size of a comment that the forge certainly accepts."""

    def find_pull_request(self) -> PullRequest:
        """Return the pull request that the job is for. Raises ``WrongUsage`` if there is none."""

    def find_merged_pull_request(self) -> PullRequest:
        """Return the pull request whose merge made the job's commit.

        Raises ``OperationError`` if there is none, or more than one.
        """

    def run_head(self) -> str:
        """Return the commit of the branch that the job is for, empty if unknown."""

    def account(self) -> Account:
        """Return the account that the token belongs to."""

    def list_comments(self, number: int) -> Sequence[Comment]:
        """Return all comments of a pull request."""

    def is_edited_by_others(self, comment: Comment, account: Account) -> bool:
        """Whether somebody else made the last edit. False if the forge does not say who did."""

    def create_comment(self, number: int, body: str) -> Comment:
        """Add a comment. After ``ForgeFailed`` with ``uncertain``, it may have been added."""

    def update_comment(self, number: int, comment_id: int, body: str) -> Comment:
        """Replace the text of a comment."""

    def delete_comment(self, number: int, comment_id: int) -> None:
        """Remove a comment."""

    def list_issues(self, creator: Account) -> Sequence[Issue]:
        """Return the open issues of the repository that an account opened."""

    def create_issue(self, title: str, body: str) -> Issue:
        """Open an issue. After ``ForgeFailed`` with ``uncertain``, it may have been opened."""

    def update_issue(self, number: int, body: str, *, closes: bool = False) -> Issue:
        """Replace the text of an issue, and close it if ``closes``."""

    def close(self) -> None:
        """Close the connection."""


def choose_open(requests: Sequence[PullRequest], commit: str, *, hint: str) -> PullRequest:
    """Return the open pull request whose last commit this is, or else the one merged as it.

    Raises ``WrongUsage`` if there is none, or more than one.
    """
    chosen = [r for r in requests if r.is_open and r.head == commit]
    chosen = chosen or [r for r in requests if r.state == "merged" and commit in r.merged_as]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise WrongUsage(
            f"this job is for several pull or merge requests: {_titles(chosen)}",
            hint="Run the command in a job for one of them.",
        )
    raise WrongUsage("this job is for no pull or merge request", hint=hint)


def choose_merged(requests: Sequence[PullRequest], commit: str, branch: str) -> PullRequest:
    """Return the pull request whose merge into a branch made a commit.

    Without ``branch``, a merge into any branch counts. Raises ``OperationError`` if there is none,
    or more than one.
    """
    merged = [
        r for r in requests if r.state == "merged" and (not r.merged_as or commit in r.merged_as)
    ]
    into = [r for r in merged if not (branch and r.target) or r.target == branch]
    if len(into) == 1:
        return into[0]
    if into:
        raise OperationError(
            f"commit {commit[:12]} was merged from several pull or merge requests: {_titles(into)}",
            hint=ADVICE_WITHOUT_DIGEST,
        )
    if merged:
        raise OperationError(
            f"commit {commit[:12]} was merged from {_titles(merged)}, but not into {branch}",
            hint=ADVICE_WITHOUT_DIGEST,
        )
    raise OperationError(
        f"commit {commit[:12]} was not merged from a pull or merge request, so nobody reviewed "
        "its plan there",
        hint=ADVICE_WITHOUT_DIGEST,
    )


def _titles(requests: Sequence[PullRequest]) -> str:
    return ", ".join(request.title for request in requests)


class Fields:
    """The fields of a JSON object in an answer. Raises ``ForgeFailed`` for one of another type."""

    def __init__(self, forge: str, value: Any) -> None:
        self._forge = forge
        self._value = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str:
        """Return a string, empty if it is null or missing."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, str):
            raise self._unexpected(name)
        return value or ""

    def number(self, name: str) -> int:
        """Return a whole number. Raises ``ForgeFailed`` if it is missing."""
        value = self._value.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._unexpected(name)
        return value

    def flag(self, name: str) -> bool:
        """Return whether a field is true."""
        return self._value.get(name) is True

    def fields(self, name: str) -> "Fields":
        """Return the fields of an object, none if it is null or missing."""
        return Fields(self._forge, self._value.get(name))

    def account(self, name: str, *, login: str) -> Account:
        """Return an account, without an id for one that was deleted."""
        value = self.fields(name)
        number = value._value.get("id")  # noqa: SLF001 - of the same class
        return Account(id=number if isinstance(number, int) else None, name=value.text(login))

    def _unexpected(self, name: str) -> ForgeFailed:
        return ForgeFailed(
            f"{self._forge} answered without a usable {name}",
            hint="Check the address of its API in the environment of the job.",
        )
