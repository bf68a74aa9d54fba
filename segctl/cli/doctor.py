"""``segctl doctor``: check the installation, the machine, the workspace and its state."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.health import has_problem
from segctl.render import doctor_view
from segctl.workflows.doctor import examine


@click.command("doctor", epilog="Example: segctl doctor -e production")
@options.as_json
@options.limits
@common
def command(screen: Screen, *, as_json: bool) -> int:
    """Check everything that a run depends on.

    Looks at installation, memory, disk, clock, credentials, service, workspace, state,
    lock and git, in a workspace or outside of one. Sends nothing to CleverTap, reads no
    source and changes nothing. Exits 1 if there is a problem.
    """
    checks = examine(screen.context(), variables=screen.variables)
    if as_json:
        screen.out(doctor_view.render_json(checks))
    else:
        screen.out(
            screen.add_run_options(doctor_view.render_checks(checks, style=screen.out_style))
        )
    return 1 if has_problem(checks) else 0
