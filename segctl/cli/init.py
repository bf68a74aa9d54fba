"""``segctl init``: create a workspace that plans without errors."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.core.command_line import command_line
from segctl.render.style import escaped
from segctl.workflows.validate import create_workspace

_KEPT = """\
Kept your .gitignore. The state contains identities in full, so add these lines to it:
  segctl.state.json
  segctl.state.json.*
  segctl.state.d/
  *.segplan
"""


@click.command("init", epilog="Example: segctl init audiences")
@click.argument("folder", metavar="[DIR]", default=".")
@options.as_json
@common
def command(screen: Screen, *, folder: str, as_json: bool) -> None:
    """Create a workspace that plans without errors.

    Writes segctl.yaml and an example to DIR (default: the current folder). Existing
    files are never overwritten.
    """
    path = screen.path(folder)
    written = create_workspace(path)
    if as_json:
        print_facts(screen, folder=str(path), written=[str(name) for name in written])
        return
    for name in written:
        screen.out(f"Wrote {escaped(str(name))}\n")
    if ".gitignore" not in written:
        screen.out(_KEPT)
    plan = command_line("plan", folder=str(path), env_name=screen.env_name or "")
    screen.out(
        "Commit these files, and segctl.lock.yaml, which the first apply writes; the state and "
        f"saved plans stay out of git.\nNext: {escaped(plan)}\n"
    )
