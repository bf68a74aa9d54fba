"""Find, renew and close the issue of a workspace: one for each workspace and environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segctl.core.errors import ForgeFailed
from segctl.forges.base import Forge, Issue
from segctl.forges.marker import IssueMarker, parse_issue_marker

_ATTEMPTS = 3
_SECONDS_BETWEEN = 2.0


@dataclass(frozen=True, kw_only=True)
class IssueRenewal:
    """What became of the issue: ``opened``, ``renewed``, ``closed`` or ``none``.

    ``others`` are older issues with the same key, which were closed.
    """

    what: str
    issue: Issue | None = None
    others: tuple[Issue, ...] = ()


def find_issues(forge: Forge, key: str) -> Sequence[Issue]:
    """Return the open issues of the token's account whose marker has this key, newest first."""
    account = forge.account()
    found = [
        issue
        for issue in forge.list_issues()
        if account.is_same(issue.author)
        and (marker := parse_issue_marker(issue.body))
        and marker.key == key
    ]
    return sorted(found, key=lambda issue: issue.number, reverse=True)


def find_holding(forge: Forge, key: str) -> Issue | None:
    """Return the newest open issue that holds runs which nobody approved."""
    for issue in find_issues(forge, key):
        if (marker := parse_issue_marker(issue.body)) and marker.holds:
            return issue
    return None


def renew_issue(
    forge: Forge, marker: IssueMarker, title: str, text: str, *, sleep: Callable[[float], None]
) -> IssueRenewal:
    """Replace the text of the newest issue with this key, and close older ones; else open one.

    If it is not certain whether one was opened, look again.
    """
    body = f"{marker}\n{text}"
    for attempt in range(1, _ATTEMPTS + 1):
        found = find_issues(forge, marker.key)
        if found:
            newest, *older = found
            renewed = forge.update_issue(newest.number, body)
            return IssueRenewal(what="renewed", issue=renewed, others=_close(forge, older, ""))
        try:
            return IssueRenewal(what="opened", issue=forge.create_issue(title, body))
        except ForgeFailed as error:
            if not error.uncertain or attempt == _ATTEMPTS:
                raise
            sleep(_SECONDS_BETWEEN)
    raise AssertionError


def close_issues(forge: Forge, key: str, note: str) -> IssueRenewal:
    """Close all issues with this key, with ``note`` at the end of their text."""
    found = find_issues(forge, key)
    if not found:
        return IssueRenewal(what="none")
    newest, *older = _close(forge, found, note)
    return IssueRenewal(what="closed", issue=newest, others=tuple(older))


def _close(forge: Forge, issues: Sequence[Issue], note: str) -> tuple[Issue, ...]:
    for issue in issues:
        body = f"{issue.body.rstrip()}\n\n{note}\n" if note else issue.body
        forge.update_issue(issue.number, body, closes=True)
    return tuple(issues)
