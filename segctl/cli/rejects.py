"""``segctl rejects``: entries that CleverTap refused after accepting the request."""

from dataclasses import asdict

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.json_output import print_facts
from segctl.cli.screen import Screen
from segctl.render import rejects_view
from segctl.render.member_format import MemberFormat
from segctl.workflows.member_key import find_member_key
from segctl.workflows.rejects import list_quarantined, load_rejects, retry_rejects


@click.group("rejects", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Load, list or retry what CleverTap refused.

    CleverTap can accept a request and still skip some of its entries; only the Error
    Stream in the dashboard reports them. These commands send nothing.
    """


@command.command("load", epilog="Example: segctl rejects load error-stream.csv")
@click.argument("file", metavar="FILE")
@options.as_json
@options.lock_timeout
@options.limits
@common
def load(screen: Screen, *, file: str, as_json: bool, lock_timeout: float) -> None:
    """Quarantine what an Error Stream reports as refused.

    FILE is CSV or JSON, exported or copied from the dashboard, with the columns
    Segment ID, Customer Segment ID, User Identity and type. Each row is matched to
    the last request for its user and segment.
    """
    result = load_rejects(
        screen.context(),
        screen.path(file),
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    if as_json:
        print_facts(screen, **asdict(result))
        return
    screen.out(screen.add_run_options(rejects_view.render_load_result(result)))


@command.command("list", epilog="Example: segctl rejects list --target gold")
@options.as_json
@options.targets
@options.identities
@options.limits
@common
def list_refused(
    screen: Screen, *, as_json: bool, targets: tuple[str, ...], identities: str | None
) -> None:
    """Print every refused membership and the reason, one per line."""
    mode = MemberFormat(
        mode=options.identities_mode(identities, view="text"),
        key=find_member_key(screen.context()),
    )
    found = list_quarantined(screen.context(), targets=targets)
    view = rejects_view.iter_json if as_json else rejects_view.iter_text
    for text in view(found, identities=mode):
        screen.out(text)


@command.command("retry", epilog="Example: segctl rejects retry --target gold")
@options.targets
@click.option(
    "--type", "type_", metavar="TYPE", help="Include only those refused for this reason, as listed."
)
@options.as_json
@options.lock_timeout
@options.limits
@common
def retry(
    screen: Screen,
    *,
    targets: tuple[str, ...],
    type_: str | None,
    as_json: bool,
    lock_timeout: float,
) -> None:
    """Let the next apply send refused memberships again.

    A segment that was missing counts as restored in the dashboard.
    """
    result = retry_rejects(
        screen.context(),
        targets=targets,
        type_=type_,
        lock_timeout=lock_timeout,
        observe=screen.tell,
    )
    if as_json:
        print_facts(screen, **asdict(result))
        return
    screen.out(screen.add_run_options(rejects_view.render_retry_result(result)))
