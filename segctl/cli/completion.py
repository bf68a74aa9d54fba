"""``segctl completion``: print a completion script for a shell."""

import click
from click.shell_completion import get_completion_class

from segctl.cli.common import common
from segctl.cli.screen import Screen

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", epilog="Example: source <(segctl completion bash)")
@click.argument("shell", type=click.Choice(SHELLS))
@common
def command(screen: Screen, *, shell: str) -> None:
    """Print a completion script for a shell."""
    found = get_completion_class(shell)
    assert found is not None, shell  # noqa: S101 - click knows all of SHELLS
    root = click.get_current_context().find_root().command
    screen.out(found(root, {}, "segctl", "_SEGCTL_COMPLETE").source() + "\n")
