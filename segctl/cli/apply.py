"""``segctl apply``: change CleverTap's segments to what is declared."""

from collections.abc import Callable

import click

from segctl.cli import ci_output, issue_report, options
from segctl.cli.apply_run import JsonRun, Run, check_can_ask
from segctl.cli.ci_output import StepSummary
from segctl.cli.common import common
from segctl.cli.json_output import check_distinct, check_one_json
from segctl.cli.recorders import open_recorders
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage


@click.command("apply", epilog="Example: segctl apply gold.segplan")
@click.argument("file", metavar="[FILE]", required=False, type=options.NonEmptyText())
@options.auto_approve
@click.option(
    "--approved",
    metavar="PLAN",
    type=options.NonEmptyText(),
    help="Plan from today's data, and apply it if it is this approved plan or a part of it.",
)
@options.json_stream
@options.json_into
@options.report
@options.targets
@options.excluded
@options.hold
@options.reread
@options.identities
@options.lock_timeout
@options.max_duration
@ci_output.step_summary
@issue_report.issue
@options.limits
@common
def command(
    screen: Screen,
    *,
    file: str | None,
    auto_approve: bool,
    approved: str | None,
    as_json: bool,
    json_into: str | None,
    report: str | None,
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    hold: bool,
    reread: bool,
    identities: str | None,
    lock_timeout: float,
    max_duration: float | None,
    step_summary: bool,
    reports_issue: bool,
) -> int:
    """Change CleverTap's segments to what is declared.

    Plans and asks for confirmation, or applies FILE, a saved plan, exactly as it was
    reviewed: a file of `segctl plan --out`, or the digest of a plan that is kept with
    the state. With --approved, plans from today's data, and applies what is left of the
    approved plan; what goes beyond it and its tolerance is refused (exit 4). With --hold,
    segments that are refused are held back, and the rest is applied (exit 6). Ctrl-C
    finishes the requests in flight; run the same command again to continue. Needs
    CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE in the environment.
    """
    if file and (targets or excluded or hold or screen.variables or reread):
        raise WrongUsage(
            "a saved plan is applied as it is, without --target, --exclude, --hold, --reread, "
            "--var or --var-file"
        )
    if file and approved:
        raise WrongUsage(
            "a plan is either applied as it is, or the approval for today's plan",
            hint="Leave FILE or --approved out.",
        )
    if approved and (targets or excluded):
        raise WrongUsage(
            "the approved plan says which segments it is for; leave --target and --exclude out"
        )
    check_one_json(as_json=as_json, json_into=json_into)
    check_distinct(screen, FILE=file, approved=approved, json_into=json_into, report=report)
    asks = not (auto_approve or file or approved)
    saved = options.saved_plan(screen, file)
    approval = options.saved_plan(screen, approved)
    summary = StepSummary(screen, wanted=step_summary)
    if asks and as_json:
        raise WrongUsage("--json cannot ask; add --auto-approve or the FILE of a saved plan")
    if asks:
        check_can_ask("apply")
    recorders = open_recorders(
        screen, verb="apply", as_json=as_json, json_into=json_into, report=report
    )
    run: Run
    if as_json:
        run = JsonRun(
            screen,
            verb="apply",
            saved=saved,
            approved=approval,
            recorders=recorders,
            summary=summary,
        )
    else:
        run = Run(
            screen,
            verb="apply",
            asks=asks,
            saved=saved,
            approved=approval,
            identities=identities,
            summary=summary,
            recorders=recorders,
        )

    def start() -> int:
        return run.go(
            targets=targets,
            excluded=excluded,
            hold=hold,
            destroy=False,
            reread=reread,
            lock_timeout=lock_timeout,
            max_seconds=max_duration,
        )

    return _with_issue(screen, run, start) if reports_issue else start()


def _with_issue(screen: Screen, run: Run, start: Callable[[], int]) -> int:
    issue = issue_report.IssueReport(screen)
    if not run.is_approved:
        issue.check_not_held()
    code = issue.run(start, holds=run.is_approved)
    # What was left out may be what the issue is about.
    if code == 0 and run.is_complete:
        issue.close()
    return code
