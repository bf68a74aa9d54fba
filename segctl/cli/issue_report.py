"""``--issue``: an issue on the forge says what a job in CI could not apply, until it can."""

import os
from collections.abc import Callable

import click

from segctl.cli.screen import Screen
from segctl.core.errors import (
    ApprovalUsed,
    GuardRefused,
    Interrupted,
    OperationError,
    Unfinished,
    WrongUsage,
)
from segctl.plan.freezes import CHANGE_FREEZE
from segctl.workflows.comment import TOKENS, find_place
from segctl.workflows.issue import WorkspaceIssue

issue = click.option(
    "--issue",
    "reports_issue",
    is_flag=True,
    help="Open or update an issue on GitHub or GitLab if this fails, and close it once all is "
    "applied.",
)


class IssueReport:
    """Reports on the forge how a command ended.

    Needs the token and the job's variables as ``segctl comment`` does, and raises the same errors
    before the command begins.
    """

    def __init__(self, screen: Screen) -> None:
        from segctl.render.issue_page import issue_title  # noqa: PLC0415 - rarely used

        self._screen = screen
        context = screen.context()
        self._place = find_place(context)
        title = issue_title(self._place.workspace, self._place.env_name)
        self._issue = WorkspaceIssue(context, self._place, title)
        # Programs that the run starts do not get it.
        for name in TOKENS:
            os.environ.pop(name, None)

    def check_not_held(self) -> None:
        """Raise ``StalePlan`` if what was merged last still waits for an approval."""
        self._issue.check_not_held()

    def run(self, command: Callable[[], int], *, holds: bool) -> int:
        """Run a command. If it raises an error, open the issue or update it, and raise the error.

        With ``holds``, runs without an approval send nothing while the issue is open. After a run
        that was ``Unfinished`` they may: the approval covered all that was to be sent.
        """
        try:
            return command()
        except (WrongUsage, Interrupted, ApprovalUsed, click.Abort):
            raise
        except Exception as error:
            self._report(error, holds=holds and not isinstance(error, Unfinished))
            raise

    def close(self) -> None:
        """Close the issue, if there is one. Raises ``ForgeFailed``."""
        from segctl.render.issue_page import closing_note, issue_lines  # noqa: PLC0415 - rarely used

        for line in issue_lines(self._issue.close(closing_note(self._issue.run_url))):
            self._screen.err(f"{line}\n")

    def _report(self, error: Exception, *, holds: bool) -> None:
        from segctl.cli.errors import exit_code  # noqa: PLC0415 - only after an error
        from segctl.render.issue_page import (  # noqa: PLC0415 - as above
            issue_lines,
            render_issue,
        )

        if not holds and _is_frozen(error):
            self._screen.err("No issue is opened: a change freeze ends by itself.\n")
            return
        text = render_issue(
            error,
            exit_code=exit_code(error),
            workspace=self._place.workspace,
            env_name=self._place.env_name,
            run_url=self._issue.run_url,
            holds=holds,
        )
        try:
            update = self._issue.report(text, holds=holds)
        except OperationError as failed:
            # The error of the command must not be hidden.
            self._screen.err(f"The issue could not be opened or updated: {failed.message}\n")
            return
        for line in issue_lines(update):
            self._screen.err(f"{line}\n")


def _is_frozen(error: Exception) -> bool:
    """Whether nothing but a change freeze keeps a plan from being applied."""
    findings = error.findings if isinstance(error, GuardRefused) else ()
    return bool(findings) and all(found.code == CHANGE_FREEZE for found in findings)
