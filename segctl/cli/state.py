"""``segctl state``: look into the state."""

import click

from segctl import operations
from segctl.address import matches
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.errors import WrongUsage
from segctl.render import state_view


@click.group("state", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look into the state."""


@command.command("list", epilog="Example: segctl state list 'rfm-*'")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@common
def list_addresses(screen: Screen, *, globs: tuple[str, ...]) -> None:
    """Print the addresses of the recorded segments, one a line."""
    state = operations.read_state(screen.context())
    screen.out(state_view.addresses(a for a in state.segments if matches(a, globs)))


@command.command("show", epilog="Example: segctl state show segment.gold")
@click.argument("address")
@common
def show(screen: Screen, *, address: str) -> None:
    """Print what is recorded of one segment."""
    state = operations.read_state(screen.context())
    found = [a for a in state.segments if address in {a, a.removeprefix("segment.")}]
    if not found:
        raise WrongUsage(
            f"the state has no segment {address}", hint="`segctl state list` prints all of them."
        )
    screen.out(state_view.segment(found[0], state.segments[found[0]], style=screen.out_style))
