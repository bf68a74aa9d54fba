"""``segctl force-unlock``: break a lock that a dead run left behind."""

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.render.style import escaped
from segctl.workflows.state import force_unlock


@click.command("force-unlock", epilog="Example: segctl force-unlock 3f9a2c71")
@click.argument("lock_id", metavar="ID")
@common
def command(screen: Screen, *, lock_id: str) -> None:
    """Break a lock that a dead run left behind.

    ID is told by the run that found the state locked. Make sure that the run
    that holds it is gone: two at once could send a change twice.
    """
    force_unlock(screen.context(), lock_id)
    screen.out(f"Lock {escaped(lock_id)} is broken.\n")
