"""``segctl force-unlock``: break the lock of a run that has died."""

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.render.style import escaped
from segctl.workflows.state import force_unlock


@click.command("force-unlock", epilog="Example: segctl force-unlock 3f9a2c71")
@click.argument("lock_id", metavar="ID")
@common
def command(screen: Screen, *, lock_id: str) -> None:
    """Break the lock of a run that has died.

    The run that found the state locked printed ID. Make sure that the run holding
    the lock has ended: two runs at once could send a change twice.
    """
    force_unlock(screen.context(), lock_id)
    screen.out(
        f"Lock {escaped(lock_id)} is broken. If its run is still alive, it stops before it records "
        "anything, and the next apply recovers what it sent.\n"
    )
