"""``segctl destroy``: remove all members of the managed segments."""

import click

from segctl.cli import options
from segctl.cli.apply_run import JsonRun, Run, check_can_ask
from segctl.cli.common import common
from segctl.cli.json_output import check_distinct, check_one_json
from segctl.cli.recorders import open_recorders
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage


@click.command("destroy", epilog="Example: segctl destroy --target 'trial-*'")
@options.targets
@options.excluded
@options.auto_approve
@options.json_stream
@options.json_into
@options.report
@options.identities
@options.lock_timeout
@options.max_duration
@options.limits
@common
def command(
    screen: Screen,
    *,
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    auto_approve: bool,
    as_json: bool,
    json_into: str | None,
    report: str | None,
    identities: str | None,
    lock_timeout: float,
    max_duration: float | None,
) -> int:
    """Remove all members of the managed segments.

    CleverTap's API cannot delete a segment: the empty segment stays until it is
    deleted in the dashboard, and a manifest that returns adopts it again. Asks for
    confirmation.
    """
    check_one_json(as_json=as_json, json_into=json_into)
    check_distinct(screen, json_into=json_into, report=report)
    if as_json and not auto_approve:
        raise WrongUsage("--json cannot ask; add --auto-approve")
    if not auto_approve:
        check_can_ask("destroy", plan="plan --destroy")
    recorders = open_recorders(
        screen, verb="destroy", as_json=as_json, json_into=json_into, report=report
    )
    run: Run
    if as_json:
        run = JsonRun(screen, verb="destroy", saved=None, recorders=recorders)
    else:
        run = Run(
            screen,
            verb="destroy",
            asks=not auto_approve,
            saved=None,
            identities=identities,
            recorders=recorders,
        )
    return run.go(
        targets=targets,
        excluded=excluded,
        destroy=True,
        lock_timeout=lock_timeout,
        max_seconds=max_duration,
    )
