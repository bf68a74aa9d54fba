"""``segctl version``: print the version."""

import platform

import click

from segctl import __version__
from segctl.cli.common import common
from segctl.cli.screen import Screen


@click.command("version", epilog="Example: segctl version")
@common
def command(screen: Screen) -> None:
    """Print the version."""
    where = f"{platform.system()} {platform.machine()}"
    screen.out(f"segctl {__version__}\nPython {platform.python_version()} on {where}\n")
