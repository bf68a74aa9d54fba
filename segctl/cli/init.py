"""``segctl init``: make a workspace that plans cleanly."""

import click

from segctl import operations
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.render.style import escaped


@click.command("init", epilog="Example: segctl init audiences")
@click.argument("folder", metavar="[DIR]", default=".")
@common
def command(screen: Screen, *, folder: str) -> None:
    """Make a workspace that plans cleanly.

    Writes segctl.yaml and an example into DIR (the present folder by default);
    existing files are never overwritten.
    """
    for name in operations.initialise(screen.path(folder)):
        screen.out(f"Wrote {escaped(str(name))}\n")
    here = "" if folder == "." else f" -C {escaped(folder)}"
    screen.out(f"Next: segctl{here} plan\n" if not here else f"Next: segctl plan{here}\n")
