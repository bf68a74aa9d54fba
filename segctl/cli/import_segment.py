"""``segctl import``: adopt a segment that exists already."""

from typing import Literal

import click

from segctl.cli import options
from segctl.cli.common import common
from segctl.cli.screen import Screen
from segctl.core.identity import Kind
from segctl.manifests.object_urls import is_url
from segctl.render import state_view
from segctl.workflows.import_segment import MembersFile, import_segment


@click.command("import", epilog="Example: segctl import segment.gold --members gold.csv")
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--members",
    metavar="FILE",
    help="Who is in it: csv, tsv, jsonl, parquet or txt, .gz and .zst too; a folder, a pattern, "
    "or the address of an object.",
)
@click.option(
    "--column", metavar="NAME", default="identity", show_default=True, help="FILE's column."
)
@click.option(
    "--kind",
    type=click.Choice(["identity", "guid"]),
    default="identity",
    show_default=True,
    help="What the column holds.",
)
@click.option(
    "--ct-segment-id",
    type=click.IntRange(min=1),
    metavar="N",
    help="Name it to CleverTap by this id, where it has no customerSegmentId.",
)
@options.lock_timeout
@options.limits
@common
def command(
    screen: Screen,
    *,
    address: str,
    members: str | None,
    column: str,
    kind: Literal["identity", "guid"],
    ct_segment_id: int | None,
    lock_timeout: float,
) -> None:
    """Adopt a segment that exists in CleverTap; nothing is sent.

    ADDRESS is declared in the workspace. FILE says who is in the segment now, as
    exported from the dashboard or the warehouse; without it the segment is taken
    for empty. The next plan shows what differs from the manifests.
    """
    file = None
    if members is not None:
        path = members if is_url(members) else str(screen.path(members))
        file = MembersFile(path=path, column=column, kind=Kind(kind))
    done = import_segment(
        screen.context(),
        address if address.startswith("segment.") else f"segment.{address}",
        members=file,
        ct_segment_id=ct_segment_id,
        variables=screen.variables,
        lock_timeout=lock_timeout,
        observe=screen.tell_recovered,
    )
    screen.out(
        state_view.render_import(
            done.address, key=done.key, members=done.members, duplicates=done.duplicates
        )
    )
