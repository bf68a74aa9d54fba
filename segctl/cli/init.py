"""``segctl init``: make a workspace that plans cleanly."""

import shlex

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.render.style import escaped
from segctl.workflows.validate import create_workspace

_KEPT = """\
Kept your .gitignore; the state holds identities in full, so add to it:
  segctl.state.json
  segctl.state.json.*
  segctl.state.d/
  *.segplan
"""


@click.command("init", epilog="Example: segctl init audiences")
@click.argument("folder", metavar="[DIR]", default=".")
@common
def command(screen: Screen, *, folder: str) -> None:
    """Make a workspace that plans cleanly.

    Writes segctl.yaml and an example into DIR (the present folder by default);
    existing files are never overwritten.
    """
    path = screen.path(folder)
    written = create_workspace(path)
    for name in written:
        screen.out(f"Wrote {escaped(str(name))}\n")
    if ".gitignore" not in written:
        screen.out(_KEPT)
    here = "" if str(path) == "." else f" -C {escaped(shlex.quote(str(path)))}"
    screen.out(f"Next: segctl plan{here}\n")
