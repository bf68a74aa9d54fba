"""``segctl force-unlock``: break the lock of a run that has died."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.render.style import escaped
from segctl.workflows.state import force_unlock


@click.command("force-unlock", epilog="Example: segctl force-unlock 3f9a2c71")
@click.argument("lock_id", metavar="ID")
@options.as_json
@common
def command(screen: Screen, *, lock_id: str, as_json: bool) -> None:
    """Break the lock of a run that has died.

    The run that found the state locked printed ID. Make sure that the run holding
    the lock has ended: two runs at once could send a change twice.
    """
    force_unlock(screen.context(), lock_id)
    if as_json:
        print_facts(screen, broken_lock=lock_id)
        return
    screen.out(
        f"Lock {escaped(lock_id)} is broken. If its run is still alive, it stops before it records "
        "anything, and the next apply recovers what it sent.\n"
    )
