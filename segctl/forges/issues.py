"""Find, update and close the issue of a workspace: one for each workspace and environment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segctl.core.errors import ForgeFailed
from segctl.forges.base import Forge, Issue
from segctl.forges.marker import IssueMarker, parse_issue_marker

_ATTEMPTS = 3
_SECONDS_BETWEEN = 2.0


@dataclass(frozen=True, kw_only=True)
class IssueUpdate:
    """What became of the issue: ``opened``, ``updated``, ``closed`` or ``none``.

    ``others`` are older issues of the same workspace, which were closed.
    """

    action: str
    issue: Issue | None = None
    others: tuple[Issue, ...] = ()


def find_issues(forge: Forge, key: str, heading: str) -> Sequence[Issue]:
    """Return the open issues of the token's account for a workspace, newest first.

    They have a marker with this key. If somebody edited the first line, so that it is no marker,
    the heading of the issue counts.
    """
    account = forge.account()
    found = [
        issue
        for issue in forge.list_issues(account)
        if account.is_same(issue.author)
        and (
            marker.key == key
            if (marker := parse_issue_marker(issue.body))
            else issue.heading == heading
        )
    ]
    return sorted(found, key=lambda issue: issue.number, reverse=True)


def find_holding(forge: Forge, key: str, heading: str) -> Issue | None:
    """Return the newest open issue that holds runs which nobody approved.

    One without a readable marker does, since it may have held them.
    """
    for issue in find_issues(forge, key, heading):
        marker = parse_issue_marker(issue.body)
        if marker is None or marker.holds:
            return issue
    return None


def post_issue(
    forge: Forge, marker: IssueMarker, heading: str, text: str, *, sleep: Callable[[float], None]
) -> IssueUpdate:
    """Replace the text of the newest issue of the workspace, and close older ones; else open one.

    If it is not certain whether one was opened, look again.
    """
    body = f"{marker}\n{text}"
    for attempt in range(1, _ATTEMPTS + 1):
        found = find_issues(forge, marker.key, heading)
        if found:
            newest, *older = found
            updated = forge.update_issue(newest.number, body)
            return IssueUpdate(action="updated", issue=updated, others=_close(forge, older, ""))
        try:
            return IssueUpdate(action="opened", issue=forge.create_issue(heading, body))
        except ForgeFailed as error:
            if not error.uncertain or attempt == _ATTEMPTS:
                raise
            sleep(_SECONDS_BETWEEN)
    raise AssertionError


def close_issues(forge: Forge, key: str, heading: str, note: str) -> IssueUpdate:
    """Close all issues of the workspace, with ``note`` at the end of their text."""
    found = find_issues(forge, key, heading)
    if not found:
        return IssueUpdate(action="none")
    newest, *older = _close(forge, found, note)
    return IssueUpdate(action="closed", issue=newest, others=tuple(older))


def _close(forge: Forge, issues: Sequence[Issue], note: str) -> tuple[Issue, ...]:
    for issue in issues:
        body = f"{issue.body.rstrip()}\n\n{note}\n" if note else issue.body
        forge.update_issue(issue.number, body, closes=True)
    return tuple(issues)
