"""``segctl plan``: show what an apply would change."""

import click

from segctl.cli import ci_output, options
from segctl.cli.ci_output import CodeQuality, StepSummary, annotate_findings
from segctl.cli.common import common
from segctl.cli.json_output import DocumentFile, check_distinct, check_one_json
from segctl.cli.screen import Screen
from segctl.cli.views import FORMATS, check_view, plan_view
from segctl.core.approval import APPROVAL_DAYS
from segctl.plan.model import Plan
from segctl.render.member_format import MemberFormat
from segctl.render.report import unfinished_line
from segctl.render.style import escaped
from segctl.workflows.plan import PlanResult, plan_workspace

NO_CHANGES = 0
CHANGES = 2
REFUSED = 6


@click.command("plan", epilog="Example: segctl plan --out gold.segplan --target 'gold*'")
@click.option(
    "--out",
    metavar="FILE",
    type=options.NonEmptyText(),
    help="Save the plan, to apply exactly this plan later.",
)
@click.option(
    "--save",
    is_flag=True,
    help="Keep the plan with the state, to be approved and applied by its digest.",
)
@click.option(
    "--format", "view", type=click.Choice(FORMATS), help="How to print the plan.  [default: text]"
)
@options.as_json
@options.json_into
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 if there are changes.")
@options.targets
@options.excluded
@options.hold
@click.option("--destroy", is_flag=True, help="Plan to destroy all managed segments.")
@options.reread
@options.lock_timeout
@options.identities
@options.max_bytes
@ci_output.code_quality
@ci_output.step_summary
@options.limits
@common
def command(
    screen: Screen,
    *,
    out: str | None,
    save: bool,
    view: str | None,
    as_json: bool,
    json_into: str | None,
    detailed_exitcode: bool,
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    hold: bool,
    destroy: bool,
    reread: bool,
    lock_timeout: float,
    identities: str | None,
    max_bytes: int | None,
    code_quality: str | None,
    step_summary: bool,
) -> int:
    """Show what an apply would change.

    Reads the workspace and the state. Needs no credentials and changes nothing.
    Exits 6 if a guard refuses the plan, or if --hold holds a segment back.
    """
    view = check_view(screen, view, as_json=as_json)
    check_one_json(as_json=view == "json", json_into=json_into)
    check_distinct(screen, out=out, json_into=json_into, code_quality=code_quality)
    file = DocumentFile(screen, json_into) if json_into else None
    options.check_max_bytes(max_bytes, view=view)
    report, summary = CodeQuality(screen, code_quality), StepSummary(screen, wanted=step_summary)
    try:
        planned = plan_workspace(
            screen.context(),
            variables=screen.variables,
            targets=targets,
            excluded=excluded,
            hold=hold,
            destroy=destroy,
            reread=reread,
            out=screen.path(out) if out else None,
            save=save,
            lock_timeout=lock_timeout,
        )
    except Exception as error:
        report.add_error(error)
        summary.add_failure(error)
        raise
    mode = MemberFormat(mode=options.identities_mode(identities, view=view), key=planned.member_key)
    page = plan_view(
        planned.plan, view=view, identities=mode, style=screen.out_style, max_bytes=max_bytes
    )
    if file:
        file.put(plan_view(planned.plan, view="json", identities=mode, style=screen.out_style))
    screen.out(screen.add_run_options(page) if view == "text" else page)
    annotate_findings(screen, planned.plan.findings)
    report.add_findings(planned.plan.findings)
    summary.add_plan(planned.plan, mode)
    if planned.recovered:
        holder = planned.running
        running = f"process {holder.pid}, {holder.who}" if holder else ""
        screen.err(unfinished_line(planned.recovered, running=running) + "\n")
    report_saved(screen, planned, out=out, save=save, view=view)
    return exit_code(planned.plan, detailed=detailed_exitcode)


def report_saved(
    screen: Screen, planned: PlanResult, *, out: str | None, save: bool, view: str
) -> None:
    """Print where a plan was saved, or why it was not."""
    if planned.plan.error_findings:
        if save:
            screen.err("\nThe plan is not kept: it is refused, so nobody can approve it.\n")
        return
    if out:
        screen.err(_saved(screen, out))
    if planned.is_kept:
        # A result, as long as standard output is for people; the other formats have the digest.
        (screen.out if view == "text" else screen.err)(_kept(screen, planned.plan))
    if planned.keep_problem:
        screen.err(f"\nThe plan is not kept with the state: {escaped(planned.keep_problem)}\n")


def _saved(screen: Screen, out: str) -> str:
    apply = screen.command_line("apply", out)
    return f"\nSaved the plan to {escaped(out)}. To apply exactly this:\n  {escaped(apply)}\n"


def _kept(screen: Screen, plan: Plan) -> str:
    exactly = escaped(screen.command_line("apply", plan.digest))
    # What is left is planned again, with the same values.
    words = (*screen.variable_words, "--approved")
    rest = escaped(screen.command_line("apply", plan.digest, options=words))
    return (
        f"\nKept with the state for {APPROVAL_DAYS} days. To apply exactly this plan, or what is "
        f"left of it:\n  {exactly}\n  {rest}\n"
    )


def exit_code(plan: Plan, *, detailed: bool) -> int:
    """Return the exit code of a command that shows a plan."""
    if plan.error_findings or plan.held:
        return REFUSED
    return CHANGES if detailed and not plan.is_empty else NO_CHANGES
