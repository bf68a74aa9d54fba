"""``segctl state``: read, edit and check the state."""

from dataclasses import asdict

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.core.address import is_targeted, segment_address
from segctl.core.errors import WrongUsage
from segctl.render import report, state_view
from segctl.render.style import escaped
from segctl.workflows.fsck import check_state
from segctl.workflows.state import (
    collect_garbage,
    forget_segments,
    list_versions,
    move_segment,
    read_head,
    read_state,
    start_over,
)
from segctl.workflows.state_migrate import migrate_state
from segctl.workflows.state_push import is_edited_head, push_state, read_earlier_head

_NOTHING_WRITTEN = "Nothing was written."
_LARGEST_HEAD = 64 << 20
"""Bytes. A head of 2,500 segments has three million."""


@click.group("state", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Read, edit and check the state.

    Each change increments the serial and keeps the previous head in the history.
    """


@command.command("list", epilog="Example: segctl state list 'rfm-*'")
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@options.as_json
@common
def list_addresses(screen: Screen, *, globs: tuple[str, ...], as_json: bool) -> None:
    """Print the addresses of the recorded segments, one per line."""
    state = read_state(screen.context())
    found = sorted(address for address in state.segments if is_targeted(address, globs))
    if as_json:
        print_facts(screen, lineage=state.lineage or None, serial=state.serial, addresses=found)
        return
    screen.out(state_view.render_addresses(found))


@command.command("show", epilog="Example: segctl state show segment.gold")
@click.argument("address")
@options.as_json
@common
def show(screen: Screen, *, address: str, as_json: bool) -> None:
    """Print what is recorded about one segment."""
    state = read_state(screen.context())
    found = [a for a in state.segments if address in {a, a.removeprefix("segment.")}]
    if not found:
        raise WrongUsage(
            f"the state has no segment {address}", hint="`segctl state list` prints all of them."
        )
    if as_json:
        segment = state_view.segment_object(found[0], state.segments[found[0]])
        print_facts(screen, lineage=state.lineage, serial=state.serial, segment=segment)
        return
    screen.out(
        state_view.render_segment(found[0], state.segments[found[0]], style=screen.out_style)
    )


@command.command("mv", epilog="Example: segctl state mv segment.gold segment.vip")
@click.argument("source")
@click.argument("destination")
@options.dry_run
@options.as_json
@options.lock_timeout
@common
def move(
    screen: Screen,
    *,
    source: str,
    destination: str,
    dry_run: bool,
    as_json: bool,
    lock_timeout: float,
) -> None:
    """Move a recorded segment to another address. Sends nothing.

    A manifest that keeps its customerSegmentId does not need this: the plan
    recognises it.
    """
    segment_id = move_segment(
        screen.context(),
        source,
        destination,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    if as_json:
        moved = [{"from": source, "to": destination}]
        print_facts(screen, moved=moved, dry_run=dry_run)
    elif dry_run:
        screen.out(f"{source} would be {destination}. {_NOTHING_WRITTEN}\n")
    else:
        screen.out(f"{source} is {destination} now.\n")
    if segment_id and segment_address(segment_id) == source and not as_json:
        screen.err(
            f"Write customerSegmentId: {escaped(segment_id)} in its manifest. Without it, the id "
            "is the new name, and the segment would be replaced.\n"
        )


@command.command("rm", epilog="Example: segctl state rm segment.gold")
@click.argument("globs", metavar="GLOB...", nargs=-1, required=True)
@options.dry_run
@options.as_json
@options.lock_timeout
@common
def remove(
    screen: Screen, *, globs: tuple[str, ...], dry_run: bool, as_json: bool, lock_timeout: float
) -> None:
    """Forget segments. They stay in CleverTap as they are.

    Forgets tombstones too. A manifest that still declares one will try to create it again;
    `segctl import` adopts it instead.
    """
    gone = forget_segments(
        screen.context(), globs, dry_run=dry_run, lock_timeout=lock_timeout, observe=screen.tell
    )
    if as_json:
        print_facts(screen, forgotten=list(gone), dry_run=dry_run)
        return
    word, end = ("Would forget", f"{_NOTHING_WRITTEN}\n") if dry_run else ("Forgot", "")
    screen.out("".join(f"{word} {address}.\n" for address in gone) + end)


@command.command("pull", epilog="Example: segctl state pull > head.json")
@common
def pull(screen: Screen) -> None:
    """Print the stored head of the state."""
    # A damaged head is printed too, as far as it is text.
    screen.out(read_head(screen.context()).decode("utf-8", "backslashreplace"))


@command.command("push", epilog="Example: segctl state push head.json")
@click.argument("file", type=options.NonEmptyText())
@click.option("--force", is_flag=True, help="Allow an older head, or another lineage.")
@options.dry_run
@options.as_json
@options.lock_timeout
@common
def push(
    screen: Screen, *, file: str, force: bool, dry_run: bool, as_json: bool, lock_timeout: float
) -> None:
    """Replace the head of the state by FILE.

    FILE is a copy of a head, - for standard input, or the name of an earlier head as
    `segctl state history` lists it. The current head may be damaged or missing. Refuses
    the state of another workspace and one older than the current state, unless --force;
    and always one whose member files are missing.
    """
    head = _head(screen, file)
    state = push_state(
        screen.context(),
        head,
        force=force,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    edited = is_edited_head(head)
    if as_json:
        print_facts(
            screen, lineage=state.lineage, serial=state.serial, edited=edited, dry_run=dry_run
        )
        return
    if dry_run:
        note = "The head was edited by hand; it would get a new checksum.\n" if edited else ""
        screen.out(f"{note}The state would be at serial {state.serial}. {_NOTHING_WRITTEN}\n")
        return
    if edited:
        screen.out("The pushed head was edited by hand; it has a new checksum now.\n")
    screen.out(f"The state is at serial {state.serial} now.\n")


def _head(screen: Screen, file: str) -> bytes:
    name = file if file == "-" else str(screen.path(file))
    try:
        with click.open_file(name, "rb") as stream:
            data: bytes = stream.read(_LARGEST_HEAD + 1)
    except OSError as error:
        earlier = None if file == "-" else read_earlier_head(screen.context(), file)
        if earlier is not None:
            return earlier
        raise WrongUsage(
            f"{escaped(name)} cannot be read: {error.strerror}",
            hint="`segctl state history` lists the names of the earlier heads.",
        ) from error
    if len(data) > _LARGEST_HEAD:
        raise WrongUsage(f"{escaped(name)} is not a head of a state: it is larger than 64 MB")
    return data


@command.command("new", epilog="Example: segctl state new --forget 3f2b…")
@click.option(
    "--forget",
    "lineage",
    metavar="LINEAGE",
    required=True,
    type=options.NonEmptyText(),
    help="The lineage of the lost state, as segctl.lock.yaml names it.",
)
@options.as_json
@common
def new(screen: Screen, *, lineage: str, as_json: bool) -> None:
    """Start over after the state was lost.

    Takes the lost state out of segctl.lock.yaml. The next apply creates every segment and
    adds every member again; adopt what exists with `segctl import` first. Refused while the
    state is there.
    """
    start_over(screen.context(), lineage)
    if as_json:
        print_facts(screen, forgotten_lineage=lineage)
        return
    message = (
        f"Lineage {escaped(lineage)} is forgotten. If there is no other state, the next plan "
        "creates every segment and adds every member; `segctl import` adopts segments that exist.\n"
    )
    screen.out(screen.add_run_options(message))


@command.command("migrate", epilog="Example: segctl state migrate --to s3://acme-segctl/growth")
@click.option(
    "--to",
    "destination",
    metavar="URL|local",
    required=True,
    help="A folder of a bucket (s3://, gs://, az://), local, or local:FOLDER.",
)
@options.as_json
@options.lock_timeout
@common
def migrate(screen: Screen, *, destination: str, as_json: bool, lock_timeout: float) -> None:
    """Move the state to another place, with its history.

    Copies everything, checks that it is there, and records in segctl.lock.yaml where the
    state is. The old place keeps its files, and refuses to be used.
    """
    context = screen.context()
    moved = migrate_state(context, destination, lock_timeout=lock_timeout, observe=screen.tell)
    if as_json:
        print_facts(screen, **asdict(moved))
        return
    where = f"spec.environments.{context.env_name}" if context.env_name else "spec"
    counts = (
        f"segments: {moved.segments:,}, member files: {moved.files:,}, earlier heads: "
        f"{moved.heads:,}, archived applies: {moved.applies:,}"
    )
    screen.out(
        f"The state is in {moved.place} now ({counts}).\n"
        f"Write to segctl.yaml, under {where}:\n\n  state: {moved.settings}\n\n"
        "Keep encryption and leaseSeconds there, if they are set. Commit it together with "
        "segctl.lock.yaml.\n"
    )


@command.command("history", epilog="Example: segctl state history")
@options.as_json
@common
def history(screen: Screen, *, as_json: bool) -> None:
    """Print the kept versions of the state.

    Prints the serial, the file in segctl.state.d/history, and the number of segments and
    members of each version, the current one last.
    """
    versions = list_versions(screen.context())
    if as_json:
        print_facts(screen, versions=[state_view.version_object(each) for each in versions])
        return
    screen.out(state_view.render_history(versions))


@command.command("gc", epilog="Example: segctl state gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@options.as_json
@options.lock_timeout
@common
def collect(screen: Screen, *, dry_run: bool, as_json: bool, lock_timeout: float) -> None:
    """Remove files that are no longer needed.

    These are member files that no version of the state uses, and the oldest versions.
    Every command that replaces the state does this at its end; this command is for what
    a crash or an unreadable version left. The last 20 versions are kept, fewer if their
    files take more than 1 GB.
    """
    found = collect_garbage(
        screen.context(),
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    if as_json:
        print_facts(screen, dry_run=dry_run, **asdict(found))
        return
    screen.out(state_view.render_garbage(found, dry_run=dry_run))


@command.command("fsck", epilog="Example: segctl state fsck")
@options.as_json
@options.limits
@common
def check(screen: Screen, *, as_json: bool) -> int:
    """Check that the state is consistent.

    Checks head, member files, digests, history and journal against each other. Reads
    every member and changes nothing. Exits 1 if there is a problem.
    """
    checked = check_state(screen.context())
    code = 1 if checked.problems else 0
    if as_json:
        print_facts(screen, consistent=not checked.problems, **asdict(checked))
        return code
    screen.out(screen.add_run_options(state_view.render_check(checked)))
    if checked.recovered:
        screen.out(report.unfinished_line(checked.recovered, running=checked.running) + "\n")
    return code
