"""``segctl version``: print the version."""

import platform

import click

from segctl import __version__
from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen


@click.command("version", epilog="Example: segctl version")
@options.as_json
@common
def command(screen: Screen, *, as_json: bool) -> None:
    """Print the version."""
    if as_json:
        from segctl.cli.json_output import print_facts  # noqa: PLC0415 - heavy for one line

        print_facts(
            screen,
            segctl=__version__,
            python=platform.python_version(),
            system=platform.system(),
            machine=platform.machine(),
        )
        return
    where = f"{platform.system()} {platform.machine()}"
    screen.out(f"segctl {__version__}\nPython {platform.python_version()} on {where}\n")
