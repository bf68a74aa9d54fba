"""Issue: report on the forge of a CI job that a workspace could not be applied, until it can be."""

from contextlib import closing
from dataclasses import replace

from segctl.core.ci import run_url
from segctl.core.errors import StalePlan
from segctl.core.process_secrets import hide_variables
from segctl.forges.base import Forge
from segctl.forges.issues import IssueUpdate, close_issues, find_holding, post_issue
from segctl.forges.marker import IssueMarker, parse_issue_marker
from segctl.session.context import Context
from segctl.workflows.comment import TOKENS, CommentPlace, open_context_forge


class WorkspaceIssue:
    """The issue of a workspace and environment, with the ``heading`` that people see.

    Keeps the token of the forge, which programs of sources do not get. Raises ``WrongUsage``
    outside of a CI job, and ``CredentialsRefused`` without a token.
    """

    def __init__(self, context: Context, place: CommentPlace, heading: str) -> None:
        # The caller takes the token out of the environment, and programs do not get it.
        self._context = replace(context, environment=dict(context.environment))
        self._place = place
        self._heading = heading
        with self._forge():
            for name in TOKENS:
                hide_variables(name)

    @property
    def run_url(self) -> str:
        """The address of this run, empty if the job names none."""
        return run_url(self._context.environment)

    def check_not_held(self) -> None:
        """Raise ``StalePlan`` if an open issue holds runs that nobody approved."""
        with self._forge() as forge:
            found = find_holding(forge, self._place.key, self._heading)
        if not found:
            return
        if parse_issue_marker(found.body):
            reason = "what was merged last was not applied as it was approved"
        else:
            reason = "its first line, which said whether it holds this run, was edited"
        raise StalePlan(
            f"{found.title} is open: {reason}, and this run has no approval",
            hint="Have a new plan approved, in another pull request. Or close the issue: then the "
            f"next run applies what the guards allow. {found.url}",
        )

    def report(self, text: str, *, holds: bool) -> IssueUpdate:
        """Open the issue, or update it. Raises ``ForgeFailed``."""
        marker = IssueMarker(key=self._place.key, holds=holds)
        with self._forge() as forge:
            return post_issue(forge, marker, self._heading, text, sleep=self._context.sleep)

    def close(self, note: str) -> IssueUpdate:
        """Close the issue, if there is one. Raises ``ForgeFailed``."""
        with self._forge() as forge:
            return close_issues(forge, self._place.key, self._heading, note)

    def _forge(self) -> closing[Forge]:
        # An apply can last for hours, so that each use has a connection of its own.
        return closing(open_context_forge(self._context))
