"""``segctl comment``: show the plan in a comment on the pull request of a CI job."""

from dataclasses import replace

import click

from segctl.cli import ci_output, issue_report, options
from segctl.cli.ci_output import CodeQuality, StepOutputs, StepSummary, annotate_findings
from segctl.cli.common import common
from segctl.cli.plan import NO_CHANGES, exit_code, report_saved
from segctl.cli.screen import Screen
from segctl.cli.views import plan_view
from segctl.core.errors import WrongUsage
from segctl.plan.model import Plan
from segctl.render.comment_page import (
    comment_lines,
    render_failure_comment,
    render_plan_comment,
)
from segctl.render.member_format import Identities, MemberFormat
from segctl.render.report import unfinished_line
from segctl.workflows.comment import CommentPlace, comment_plan, read_approved_digest
from segctl.workflows.plan import PlanResult

_SMALLEST = 8_192
"""In bytes. A comment also has a hidden line and the name of the workspace."""


@click.command("comment", epilog="Example: segctl comment -e production")
@click.option(
    "--plan",
    "saved",
    metavar="PLAN",
    type=options.NonEmptyText(),
    help="Show this saved plan, a file or a digest, instead of planning now.",
)
@click.option(
    "--save",
    is_flag=True,
    help="Keep the plan with the state, to be approved and applied by its digest.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=_SMALLEST),
    metavar="N",
    help="Cut the comment to this size.  [default: what the forge accepts]",
)
@click.option(
    "--digest",
    is_flag=True,
    help="Print the digest in the comment on the pull request that this commit was merged from.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 if there are changes.")
@options.targets
@options.excluded
@options.hold
@click.option("--destroy", is_flag=True, help="Plan to destroy all managed segments.")
@options.reread
@options.lock_timeout
@click.option(
    "--identities",
    type=click.Choice([Identities.MASKED.value, Identities.NONE.value]),
    default=Identities.MASKED.value,
    help="How to show members.",
)
@ci_output.code_quality
@ci_output.step_summary
@ci_output.step_outputs
@issue_report.issue
@options.limits
@common
def command(
    screen: Screen,
    *,
    saved: str | None,
    save: bool,
    max_bytes: int | None,
    digest: bool,
    detailed_exitcode: bool,
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    hold: bool,
    destroy: bool,
    reread: bool,
    lock_timeout: float,
    identities: str,
    code_quality: str | None,
    step_summary: bool,
    step_outputs: bool,
    reports_issue: bool,
) -> int:
    """Show the plan on the pull request of a CI job.

    Plans, and writes the plan as a comment on the pull or merge request of this job of
    GitHub or GitLab. The comment of an earlier run is updated in place; each workspace and
    environment has its own. Needs GITHUB_TOKEN or GITLAB_TOKEN, and no CleverTap
    credentials. Exits as `segctl plan` does.
    """
    if digest:
        unused = (saved, save, targets, excluded, hold, destroy, reread, step_summary)
        if any(unused) or screen.variables or step_outputs:
            raise WrongUsage(
                "--digest reads the comment on a merged pull request, and takes only --env and "
                "--issue"
            )
        return _print_digest(screen, reports_issue=reports_issue)
    if reports_issue:
        raise WrongUsage("--issue is for `segctl comment --digest` and `segctl apply`")
    if saved and (save or targets or excluded or hold or destroy or reread or screen.variables):
        raise WrongUsage(
            "a saved plan is shown as it is, without --save, --target, --exclude, --hold, "
            "--destroy, --reread, --var or --var-file"
        )
    output = _Output(
        screen, Identities(identities), code_quality, save=save, step_summary=step_summary
    )
    outputs = StepOutputs(wanted=step_outputs)
    try:
        result = comment_plan(
            screen.context(),
            saved=options.saved_plan(screen, saved),
            variables=screen.variables,
            targets=targets,
            excluded=excluded,
            hold=hold,
            destroy=destroy,
            reread=reread,
            save=save,
            lock_timeout=lock_timeout,
            max_bytes=max_bytes,
            writer=output,
            show=output.show,
        )
    except Exception as error:
        output.fail(error)
        raise
    if result.plan:
        outputs.add_plan(result.plan)
    for line in comment_lines(result.request, result.left_alone, result.update):
        screen.err(f"{line}\n")
    return exit_code(result.plan, detailed=detailed_exitcode) if result.plan else NO_CHANGES


def _print_digest(screen: Screen, *, reports_issue: bool) -> int:
    def read() -> int:
        screen.out(f"{read_approved_digest(context)}\n")
        return NO_CHANGES

    context = screen.context()
    if not reports_issue:
        return read()
    context = replace(context, environment=dict(context.environment))
    return issue_report.IssueReport(screen).run(read, holds=True)


class _Output:
    """Prints the plan in the log, and writes the text of the comment."""

    def __init__(
        self,
        screen: Screen,
        identities: Identities,
        code_quality: str | None,
        *,
        save: bool,
        step_summary: bool,
    ) -> None:
        self._screen = screen
        self._identities = MemberFormat(mode=identities)
        self._save = save
        self._report = CodeQuality(screen, code_quality)
        self._summary = StepSummary(screen, wanted=step_summary)
        self._is_shown = False

    def show(self, planned: PlanResult) -> None:
        """Print the plan in full, before anything is sent."""
        plan, style = planned.plan, self._screen.out_style
        self._identities = replace(self._identities, key=planned.member_key)
        self._is_shown = True
        self._screen.out(plan_view(plan, view="text", identities=self._identities, style=style))
        if planned.recovered:
            holder = planned.running
            running = f"process {holder.pid}, {holder.who}" if holder else ""
            self._screen.err(unfinished_line(planned.recovered, running=running) + "\n")
        report_saved(self._screen, planned, out=None, save=self._save, view="text")
        annotate_findings(self._screen, plan.findings)
        self._report.add_findings(plan.findings)
        self._summary.add_plan(plan, self._identities)

    def fail(self, error: Exception) -> None:
        """Record that there is no plan, unless one was shown."""
        if not self._is_shown:
            self._report.add_error(error)
            self._summary.add_failure(error)

    def write_plan(self, plan: Plan, place: CommentPlace, *, max_bytes: int) -> str:
        """Return the text for a plan."""
        return render_plan_comment(
            plan,
            workspace=place.workspace,
            identities=self._identities,
            max_bytes=max_bytes,
        )

    def write_failure(self, error: Exception, place: CommentPlace, *, max_bytes: int) -> str:
        """Return the text for a plan that could not be made."""
        return render_failure_comment(
            error, workspace=place.workspace, env_name=place.env_name, max_bytes=max_bytes
        )
