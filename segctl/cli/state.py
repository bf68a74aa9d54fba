"""``segctl state``: look into the state, and after it."""

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.address import is_targeted
from segctl.core.errors import WrongUsage
from segctl.render import state_view
from segctl.render.style import escaped
from segctl.workflows.fsck import check_state
from segctl.workflows.state import (
    collect_garbage,
    forget_segments,
    list_versions,
    move_segment,
    read_head,
    read_state,
)
from segctl.workflows.state_push import push_state

_LARGEST_HEAD = 64 << 20
"""Bytes; a head of 2,500 segments has three million."""


@click.group("state", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look into the state, and after it.

    Each change is one serial further and keeps the former head in the history.
    """


@command.command("list", epilog="Example: segctl state list 'rfm-*'")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@common
def list_addresses(screen: Screen, *, globs: tuple[str, ...]) -> None:
    """Print the addresses of the recorded segments, one a line."""
    state = read_state(screen.context())
    screen.out(state_view.render_addresses(a for a in state.segments if is_targeted(a, globs)))


@command.command("show", epilog="Example: segctl state show segment.gold")
@click.argument("address")
@common
def show(screen: Screen, *, address: str) -> None:
    """Print what is recorded of one segment."""
    state = read_state(screen.context())
    found = [a for a in state.segments if address in {a, a.removeprefix("segment.")}]
    if not found:
        raise WrongUsage(
            f"the state has no segment {address}", hint="`segctl state list` prints all of them."
        )
    screen.out(
        state_view.render_segment(found[0], state.segments[found[0]], style=screen.out_style)
    )


@command.command("mv", epilog="Example: segctl state mv segment.gold segment.vip")
@click.argument("source")
@click.argument("destination")
@options.lock_timeout
@common
def move(screen: Screen, *, source: str, destination: str, lock_timeout: float) -> None:
    """Give a recorded segment another address; nothing is sent.

    A manifest that keeps its customerSegmentId needs no such move: it is
    recognised.
    """
    move_segment(
        screen.context(),
        source,
        destination,
        lock_timeout=lock_timeout,
        observe=screen.tell_recovered,
    )
    screen.out(f"{source} is {destination} now.\n")


@command.command("rm", epilog="Example: segctl state rm segment.gold")
@click.argument("globs", metavar="GLOB...", nargs=-1, required=True)
@options.lock_timeout
@common
def remove(screen: Screen, *, globs: tuple[str, ...], lock_timeout: float) -> None:
    """Forget segments; they stay in CleverTap as they are.

    Tombstones, too. A manifest that still declares one will try to create it again: `segctl
    import` adopts it instead.
    """
    gone = forget_segments(
        screen.context(), globs, lock_timeout=lock_timeout, observe=screen.tell_recovered
    )
    screen.out("".join(f"Forgot {address}.\n" for address in gone))


@command.command("pull", epilog="Example: segctl state pull > head.json")
@common
def pull(screen: Screen) -> None:
    """Print the head of the state as it is stored."""
    # A damaged head is shown too, as far as it is text.
    screen.out(read_head(screen.context()).decode("utf-8", "backslashreplace"))


@command.command("push", epilog="Example: segctl state push head.json")
@click.argument("file", type=options.Given())
@click.option("--force", is_flag=True, help="Go back to an older head, or to another lineage.")
@options.lock_timeout
@common
def push(screen: Screen, *, file: str, force: bool, lock_timeout: float) -> None:
    """Put FILE in place of the head.

    FILE is a copy of a head, - standard input; the present one may be damaged or
    missing. Refuses the state of another workspace and one that is older than the present
    one, unless --force; and one whose member files are not there. `segctl state
    history` names the earlier heads, which stand in segctl.state.d/history.
    """
    state = push_state(
        screen.context(),
        _head(screen, file),
        force=force,
        lock_timeout=lock_timeout,
        observe=screen.tell_recovered,
    )
    screen.out(f"The state is at serial {state.serial} now.\n")


def _head(screen: Screen, file: str) -> bytes:
    name = file if file == "-" else str(screen.path(file))
    try:
        with click.open_file(name, "rb") as stream:
            data: bytes = stream.read(_LARGEST_HEAD + 1)
    except OSError as error:
        raise WrongUsage(
            f"{escaped(name)} cannot be read: {error.strerror}",
            hint="`segctl state history` names the earlier heads, which stand in "
            "segctl.state.d/history.",
        ) from error
    if len(data) > _LARGEST_HEAD:
        raise WrongUsage(f"{escaped(name)} is no head of a state: it has more than 64 MB")
    return data


@command.command("history", epilog="Example: segctl state history")
@common
def history(screen: Screen) -> None:
    """Print the versions of the state that are kept.

    Each with its serial, the name of its file in segctl.state.d/history, and how many
    segments and members it has; the present one last.
    """
    screen.out(state_view.render_history(list_versions(screen.context())))


@command.command("gc", epilog="Example: segctl state gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@options.lock_timeout
@common
def collect(screen: Screen, *, dry_run: bool, lock_timeout: float) -> None:
    """Remove what nothing needs any more.

    That is member files that no version of the state names, and the oldest versions.
    Whatever replaces the state does so at its end; this is for what a crash or an
    unreadable version left. The last 20 versions stay, fewer where their files
    take more than 1 GB.
    """
    found = collect_garbage(
        screen.context(),
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        observe=screen.tell_recovered,
    )
    screen.out(state_view.render_garbage(found, dry_run=dry_run))


@command.command("fsck", epilog="Example: segctl state fsck")
@options.limits
@common
def check(screen: Screen) -> int:
    """Prove that the state adds up.

    Checks head, member files, digests, history and journal against each other. Reads
    every member; changes nothing. Exit 1 where something does not add up.
    """
    checked = check_state(screen.context())
    screen.out(state_view.render_check(checked))
    return 1 if checked.problems else 0
