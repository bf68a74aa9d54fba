"""``segctl help``: print the help of a command, as ``--help`` does."""

import click

from segctl.cli.common import common
from segctl.cli.screen import Screen


@click.command("help", epilog="Example: segctl help state mv")
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@common
def command(screen: Screen, *, words: tuple[str, ...]) -> None:
    """Print the help of a command, as --help does."""
    context = click.get_current_context().find_root()
    for word in words:
        group = context.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{context.command_path}` has no commands", ctx=context)
        name, found, _ = group.resolve_command(context, [word])
        assert found is not None, word  # noqa: S101 - an unknown one was raised
        context = click.Context(found, info_name=name, parent=context)
    screen.out(context.get_help() + "\n")
