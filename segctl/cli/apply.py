"""``segctl apply``: change CleverTap's segments to what is declared."""

import click

from segctl.cli import options
from segctl.cli.apply_run import JsonRun, Run, check_can_ask
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.errors import WrongUsage


@click.command("apply", epilog="Example: segctl apply gold.segplan")
@click.argument("file", metavar="[FILE]", required=False, type=options.Given())
@options.auto_approve
@click.option("--json", "as_json", is_flag=True, help="Stream JSON objects, one per line.")
@options.targets
@options.reread
@options.identities
@options.lock_timeout
@options.max_duration
@options.limits
@common
def command(
    screen: Screen,
    *,
    file: str | None,
    auto_approve: bool,
    as_json: bool,
    targets: tuple[str, ...],
    reread: bool,
    identities: str | None,
    lock_timeout: float,
    max_duration: float | None,
) -> int:
    """Change CleverTap's segments to what is declared.

    Plans and asks for confirmation, or applies FILE, a plan saved by `segctl plan
    --out`, exactly as it was reviewed. Ctrl-C finishes the requests in flight; run
    the same command again to continue. Needs CLEVERTAP_ACCOUNT_ID and
    CLEVERTAP_PASSCODE in the environment.
    """
    if file and (targets or screen.variables or reread):
        raise WrongUsage("a saved plan is applied as it is, without --target, --reread or --var")
    approved = auto_approve or file is not None
    if as_json:
        if not approved:
            raise WrongUsage("--json cannot ask; add --auto-approve or the FILE of a saved plan")
        run: Run = JsonRun(screen, verb="apply", saved=file)
    else:
        if not approved:
            check_can_ask("apply")
        run = Run(screen, verb="apply", asks=not approved, saved=file, identities=identities)
    return run.go(
        targets=targets,
        destroy=False,
        reread=reread,
        lock_timeout=lock_timeout,
        max_seconds=max_duration,
    )
