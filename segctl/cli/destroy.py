"""``segctl destroy``: remove all members of the managed segments."""

import click

from segctl.cli import options
from segctl.cli.apply_run import Run, check_can_ask
from segctl.cli.common import common
from segctl.cli.screen import Screen


@click.command("destroy", epilog="Example: segctl destroy --target 'trial-*'")
@options.targets
@options.auto_approve
@options.identities
@options.lock_timeout
@options.max_duration
@options.limits
@common
def command(
    screen: Screen,
    *,
    targets: tuple[str, ...],
    auto_approve: bool,
    identities: str | None,
    lock_timeout: float,
    max_duration: float | None,
) -> int:
    """Remove all members of the managed segments.

    CleverTap's API cannot delete a segment: the empty segment stays until it is
    deleted in the dashboard, and a manifest that returns adopts it again. Asks for
    confirmation.
    """
    if not auto_approve:
        check_can_ask("destroy", plan="plan --destroy")
    run = Run(screen, verb="destroy", asks=not auto_approve, saved=None, identities=identities)
    return run.go(
        targets=targets, destroy=True, lock_timeout=lock_timeout, max_seconds=max_duration
    )
